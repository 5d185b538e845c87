"""Windows of clips: which frames, the same cut and colors for all of them, determinism."""

from dataclasses import replace

import pytest
import torch

from nearfar.data.clip_views import ClipAugmentOptions, augment_clips, whole_clips, window_slots
from nearfar.data.sample import DepthBatch
from nearfar.errors import ConfigError

PLAIN = ClipAugmentOptions(
    crop_min=1.0, flip=0.0, gamma=0, gain=0, contrast=0, saturation=0, grey=0, invert=0, blur=0,
    noise=0, strong=0, random_filter=0, flatten=0, window=4, later=0.0, reverse=0.0,
)  # fmt: skip


def clips(count=2, frames=7, height=12, width=16):
    """Frame t of clip b has depth 1 + t + 100 b everywhere; photos are equal within a clip."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(count, 1, 3, height, width, generator=generator)
    depth = torch.arange(frames).float() + 1 + 100 * torch.arange(count).float()[:, None]
    depth = depth[:, :, None, None].expand(count, frames, height, width)
    sky = torch.zeros(depth.shape, dtype=torch.bool)
    image = image.expand(-1, frames, -1, -1, -1)
    return DepthBatch(image, depth, ~sky, sky, torch.full((count,), 60.0))


def view(options, seed=0, size_hw=(12, 16), **shape):
    return augment_clips(
        clips(**shape),
        size_hw=size_hw,
        generator=torch.Generator().manual_seed(seed),
        options=options,
    )


def order(batch, clip=0):
    return [int(d) - 1 - 100 * clip for d in batch.depth_BHW[clip, :, 0, 0]]


def test_neighbors_or_key_frames():
    assert window_slots(12, 8, start=0.0, later=False) == list(range(8))
    assert window_slots(12, 8, start=1.0, later=False) == list(range(4, 12))
    assert window_slots(12, 8, start=0.3, later=True) == [0, 3, 6, 7, 8, 9, 10, 11]
    assert window_slots(8, 8, start=0.3, later=True) == list(range(8))
    assert window_slots(5, 2, start=0.0, later=True) == [0, 1]
    with pytest.raises(ConfigError, match="8 frames of clips that have 7"):
        window_slots(7, 8, start=0.0, later=False)


def test_plain_view_is_a_part_of_the_clip():
    found = view(PLAIN)
    assert found.image_B3HW.shape == (2, 4, 3, 12, 16)
    first = order(found)[0]
    assert order(found) == [first, first + 1, first + 2, first + 3]
    torch.testing.assert_close(found.image_B3HW, clips().image_B3HW[:, :4], atol=2e-4, rtol=0)
    later, back = view(replace(PLAIN, later=1.0)), view(replace(PLAIN, reverse=1.0))
    assert order(later, 1) == [0, 2, 5, 6]
    assert order(back) == [6 - f for f in order(view(PLAIN))]


def test_frames_of_a_clip_are_cut_and_colored_alike():
    options = ClipAugmentOptions(window=4, noise=0.0, blur=0.0, random_filter=0.0, flatten=0.0)
    found = view(options, size_hw=(6, 8))
    for clip in range(2):
        frames = found.image_B3HW[clip]
        torch.testing.assert_close(frames[1:], frames[:1].expand(3, -1, -1, -1))
    assert not torch.allclose(found.image_B3HW[0], found.image_B3HW[1], atol=0.05)
    assert found.fov_x_deg_B.shape == (2,) and (found.fov_x_deg_B <= 60.001).all()


def test_numbers_come_from_the_generator():
    options = ClipAugmentOptions(window=3)
    assert torch.equal(view(options).image_B3HW, view(options).image_B3HW)
    assert not torch.equal(view(options).image_B3HW, view(options, seed=1).image_B3HW)


def test_held_out_view_is_the_first_window():
    found = whole_clips(clips(), size_hw=(6, 8), window=5)
    assert order(found) == [0, 1, 2, 3, 4] and found.image_B3HW.shape == (2, 5, 3, 6, 8)
    assert found.valid_BHW.all() and found.fov_x_deg_B.tolist() == pytest.approx([60, 60])


def test_impossible_options_are_refused():
    for change, named in (({"window": 0}, "window"), ({"rotate": 0.3}, "rotate"),
                          ({"later": 2.0}, "later"), ({"flip": 3.0}, "flip")):  # fmt: skip
        with pytest.raises(ConfigError, match=named):
            ClipAugmentOptions(**change)
