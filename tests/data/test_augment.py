import math

import pytest
import torch

from nearfar.data.augment import (
    AugmentOptions,
    Crop,
    augment_batch,
    cut,
    recolor,
    rotate,
    whole_view,
)
from nearfar.data.sample import DepthBatch
from nearfar.errors import ConfigError

HW = (24, 32)
OFF = dict(
    gamma=0, gain=0, contrast=0, saturation=0, grey=0, invert=0, blur=0, noise=0, strong=0,
    rotate=0, random_filter=0, fourier=0, flatten=0, erase=0,
)  # fmt: skip


def batch(count=4, size_hw=HW):
    """A photo whose red is the source column and green the row; depth is column + 1."""
    height, width = size_hw
    x = (torch.arange(width) + 0.5).expand(height, width) / width
    y = ((torch.arange(height) + 0.5) / height)[:, None].expand(height, width)
    image = torch.stack([x, y, torch.full_like(x, 0.5)]).repeat(count, 1, 1, 1)
    depth = (torch.arange(width) + 1.0).expand(count, height, width).clone()
    sky = torch.zeros(count, height, width, dtype=torch.bool)
    sky[:, :4] = True
    depth[sky] = 0
    return DepthBatch(image, depth, depth > 0, sky, torch.full((count,), 70.0))


def crop(left, top, width, height, flip=False, count=4):
    numbers = (torch.full((count,), float(v)) for v in (left, top, width, height))
    return Crop(*numbers, torch.full((count,), flip))


def test_a_crop_takes_that_part_of_everything():
    out = cut(batch(), crop(8, 6, 16, 12), size_hw=(12, 16))
    source = batch()
    torch.testing.assert_close(out.image_B3HW, source.image_B3HW[:, :, 6:18, 8:24])
    assert torch.equal(out.depth_BHW, source.depth_BHW[:, 6:18, 8:24])
    assert torch.equal(out.sky_BHW, source.sky_BHW[:, 6:18, 8:24])
    expected = 2 * math.degrees(math.atan(0.5 * math.tan(math.radians(35))))
    torch.testing.assert_close(out.fov_x_deg_B, torch.full((4,), expected))


def test_a_flip_mirrors_image_and_depth_alike():
    out = cut(batch(), crop(0, 0, 32, 24, flip=True), size_hw=HW)
    torch.testing.assert_close(out.image_B3HW, batch().image_B3HW.flip(-1))
    assert torch.equal(out.depth_BHW, batch().depth_BHW.flip(-1))
    torch.testing.assert_close(out.fov_x_deg_B, torch.full((4,), 70.0))


def test_shrinking_averages_photos_and_picks_depths():
    source = batch()
    source.image_B3HW[:] = (torch.arange(32) % 2).float()  # stripes of one pixel
    out = cut(source, crop(0, 0, 32, 24), size_hw=(6, 8))
    assert (out.image_B3HW - 0.5).abs().max() < 0.13
    assert set(out.depth_BHW.unique().tolist()) <= set(source.depth_BHW.unique().tolist())


def test_whole_view_cuts_to_the_aspect_only():
    out = whole_view(batch(), size_hw=(24, 16))
    torch.testing.assert_close(out.image_B3HW, batch().image_B3HW[..., 8:24])
    assert out.fov_x_deg_B[0] < 70
    same = whole_view(batch(), size_hw=HW)
    torch.testing.assert_close(same.image_B3HW, batch().image_B3HW)
    torch.testing.assert_close(same.fov_x_deg_B, batch().fov_x_deg_B)


def test_augmentation_follows_its_generator_and_keeps_pixels_together():
    def run(seed, **options):
        g, chosen = torch.Generator().manual_seed(seed), AugmentOptions(**options)
        return augment_batch(batch(16), size_hw=(18, 24), generator=g, options=chosen)

    one, again, other = run(1), run(1), run(2)
    assert all(torch.equal(a, b) for a, b in zip(one, again))
    assert not torch.equal(one.image_B3HW, other.image_B3HW)
    assert one.image_B3HW.min() >= 0 and one.image_B3HW.max() <= 1
    plain = run(1, **OFF)
    column = plain.image_B3HW[:, 0] * 32  # red says which source column a pixel shows
    on = plain.valid_BHW
    assert (column - plain.depth_BHW + 0.5)[on].abs().max() < 1.05
    assert (plain.fov_x_deg_B <= 70.01).all() and plain.fov_x_deg_B.std() > 1
    assert torch.equal(plain.sky_BHW & plain.valid_BHW, torch.zeros_like(on))
    halves = (plain.depth_BHW[..., -1] > plain.depth_BHW[..., 5]).float().mean((1,))
    assert 0 < (halves > 0.5).sum() < 16  # some are mirrored


def test_unknown_field_of_view_stays_unknown():
    source = batch()._replace(fov_x_deg_B=torch.full((4,), float("nan")))
    g = torch.Generator().manual_seed(0)
    out = augment_batch(source, size_hw=HW, generator=g, options=AugmentOptions())
    assert out.fov_x_deg_B.isnan().all()


def test_each_color_change_happens():
    image = batch(64).image_B3HW
    image[::2] = image[::2].flip(-1) * 0.7  # two kinds of photos

    def change(**on):
        g = torch.Generator().manual_seed(0)
        return recolor(image, generator=g, options=AugmentOptions(**(OFF | on)))

    torch.testing.assert_close(change(), image, atol=1e-5, rtol=0)
    torch.testing.assert_close(change(invert=1.0), 1 - image, atol=1e-5, rtol=0)
    grey = change(grey=1.0)
    assert (grey.amax(1) - grey.amin(1)).max() < 1e-5
    assert change(gamma=0.3).mean((1, 2, 3)).std() > 0.02
    assert change(noise=0.1).sub(image).std() > 0.01
    assert change(blur=1.0).sub(image).abs().max() > 1e-3
    for name in ("random_filter", "fourier", "flatten", "erase"):
        assert change(**{name: 1.0}).sub(image).abs().max() > 0.01, name
    calm, strong = change(gamma=0.1), change(gamma=0.1, strong=1.0)
    assert strong.mean((1, 2, 3)).std() > 1.3 * calm.mean((1, 2, 3)).std()
    gains = change(gain=0.2).mean((2, 3))
    assert (gains[:, 0] / gains[:, 2]).std() > 0.05


@pytest.mark.parametrize(
    "values",
    [
        {"crop_min": 0.0},
        {"flip": 2.0},
        {"noise": -1.0},
        {"erase": 1.1},
        {"rotate": -0.1},
        {"roll": -1.0},
    ],
)
def test_impossible_options_are_refused(values):
    with pytest.raises(ConfigError):
        AugmentOptions(**values)


def test_turning_keeps_pixels_together_and_marks_the_corners():
    source = batch()
    angle = torch.tensor([0.0, 0.08, -0.08, 0.05])
    out = rotate(source, angle)
    assert torch.equal(out.depth_BHW[0], source.depth_BHW[0])
    assert torch.equal(out.image_B3HW[0], source.image_B3HW[0])
    on = out.valid_BHW & (out.depth_BHW > 1) & (out.depth_BHW < 31)
    column = out.image_B3HW[:, 0] * 32
    assert (column - out.depth_BHW + 0.5)[on].abs().max() < 0.6
    assert not (out.valid_BHW & out.sky_BHW).any()
    known = out.valid_BHW | out.sky_BHW
    assert known[0].all() and not known[1:, 0, 0].all() and known[1:, 12, 16].all()
    assert (out.depth_BHW[~known] == 0).all()
    assert torch.equal(out.fov_x_deg_B, source.fov_x_deg_B)
    # Turned one way, the left border (column 0) comes down or goes up.
    row = out.image_B3HW[:, 1, 12, 2] - source.image_B3HW[:, 1, 12, 2]
    assert row[1] * row[2] < 0


def test_batches_are_turned_at_the_rate_asked_for():
    def invalid(rotate):
        g, chosen = torch.Generator().manual_seed(0), AugmentOptions(**(OFF | {"rotate": rotate}))
        out = augment_batch(batch(40), size_hw=HW, generator=g, options=chosen)
        return (~(out.valid_BHW | out.sky_BHW)).flatten(1).any(1).float().mean()

    assert invalid(0.0) == 0 and invalid(1.0) > 0.35 and 0.05 < invalid(0.3) < 0.3
