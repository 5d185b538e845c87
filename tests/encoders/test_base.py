"""A photo encoder used frame by frame answers for every frame what it says about that photo."""

import torch

from nearfar.encoders.base import FrameByFrame
from nearfar.encoders.tiny import PRESETS, TinyEncoder


def test_frame_by_frame_is_the_photo_encoder():
    encoder = TinyEncoder(PRESETS["micro"]).eval().requires_grad_(False)
    frames = torch.rand(2, 3, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    clip = FrameByFrame(encoder)
    found = clip.clip_semantics(frames)
    torch.testing.assert_close(found[1], encoder.semantics(frames[1]), atol=1e-5, rtol=0)
    assert (clip.name, clip.width, clip.stride) == (encoder.name, encoder.width, encoder.stride)
