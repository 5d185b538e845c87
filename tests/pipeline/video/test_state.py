import json

import numpy as np
import torch

from nearfar.models.base import KeyFrames
from nearfar.pipeline.video.cuts import CutMemory
from nearfar.pipeline.video.state import ShotMetres, StreamState, restore


def test_a_state_comes_back_exactly():
    generator = torch.Generator().manual_seed(0)
    state = StreamState(
        frames=29,
        cuts=CutMemory(
            cells=np.random.default_rng(0).random((18, 32, 3), np.float32), scores=(0.1, 1 / 3)
        ),
        references=KeyFrames(
            torch.rand(3, 3, 8, 9, generator=generator), torch.randn(3, 8, 9, generator=generator)
        ),
        metres=ShotMetres(scale=1 / 3, shift=0.1, low=0.2, high=9.0, reference="tiny"),
        fov_x_deg=61.1,
    )
    back = restore(json.loads(json.dumps(state.facts())), state.arrays())
    assert (back.frames, back.metres, back.fov_x_deg) == (29, state.metres, 61.1)
    assert back.cuts.scores == state.cuts.scores
    assert np.array_equal(back.cuts.cells, state.cuts.cells)
    assert torch.equal(back.references.frames_T3hw, state.references.frames_T3hw)
    assert torch.equal(back.references.depth_Thw, state.references.depth_Thw)


def test_an_empty_state_comes_back():
    back = restore(json.loads(json.dumps(StreamState().facts())), StreamState().arrays())
    assert (back.frames, back.references, back.metres, back.cuts.cells) == (0, None, None, None)
