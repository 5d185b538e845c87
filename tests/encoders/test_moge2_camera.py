"""Focal, shift and field of view come back from synthetic affine point maps."""

import math

import pytest
import torch

from nearfar.encoders.moge2_camera import metric_from_affine, recover_focal_shift, view_plane


def scene(height, width, fov_x_deg, *, shift=0.0, scale=1.0, seed=0):
    """Metres [H,W], and the affine point map (points / scale, z less shift) of a bumpy scene."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, 5, 6, generator=generator, dtype=torch.float64)
    depth = 1.5 + 4 * torch.nn.functional.interpolate(
        coarse, size=(height, width), mode="bilinear", align_corners=False
    )
    depth = depth[0, 0]
    aspect = width / height
    focal = aspect / math.hypot(1, aspect) / math.tan(math.radians(fov_x_deg) / 2)
    xy = view_plane(height, width).double() * depth[..., None] / focal
    points = torch.cat([xy, depth[..., None]], dim=-1) / scale
    points[..., 2] -= shift
    return depth.float(), points.float(), focal


@pytest.mark.parametrize("size_hw", [(48, 64), (100, 40), (7, 9)])
@pytest.mark.parametrize("fov_x_deg", [25.0, 63.0, 110.0])
@pytest.mark.parametrize("shift", [-0.8, 0.0, 0.6])
def test_focal_and_shift_are_recovered(size_hw, fov_x_deg, shift):
    _, points, focal = scene(*size_hw, fov_x_deg, shift=shift, scale=1.7)
    fit = recover_focal_shift(points, usable_HW=torch.ones(size_hw, dtype=torch.bool))
    assert fit.focal == pytest.approx(focal, rel=1e-3)
    assert fit.shift == pytest.approx(shift, abs=1e-3)


def test_metres_and_field_of_view_round_trip():
    sizes = (60, 84)
    maps = [
        scene(*sizes, fov, shift=s, scale=k, seed=i)
        for i, (fov, s, k) in enumerate([(50.0, 0.4, 2.0), (90.0, -0.3, 0.5)])
    ]
    points = torch.stack([m[1] for m in maps])
    mask = torch.ones(2, *sizes, dtype=torch.bool)
    mask[:, :10] = False
    points[:, :10] = 1e4  # sky: nonsense that the mask must keep out
    guess = metric_from_affine(points, mask_BHW=mask, scale_B=torch.tensor([2.0, 0.5]))
    assert torch.equal(guess.valid_BHW, mask)
    for i, fov in enumerate([50.0, 90.0]):
        assert float(guess.fov_x_deg_B[i]) == pytest.approx(fov, abs=0.05)
        truth = maps[i][0]
        torch.testing.assert_close(guess.depth_BHW[i, 10:], truth[10:], rtol=1e-3, atol=1e-3)
        assert (guess.depth_BHW[i, :10] == 0).all()


def test_noise_moves_the_field_of_view_only_a_little():
    _, points, focal = scene(90, 120, 60.0, shift=0.5)
    generator = torch.Generator().manual_seed(3)
    noisy = points * (1 + 0.02 * torch.randn(points.shape, generator=generator))
    fit = recover_focal_shift(noisy, usable_HW=torch.ones(90, 120, dtype=torch.bool))
    assert fit.focal == pytest.approx(focal, rel=0.03)


def test_small_maps_give_their_pixels_more_than_once():
    """Of 3 rows the released code takes rows 0, 1, 2 for 22, 21 and 21 of its 64."""
    _, points, _ = scene(3, 3, 70.0)
    points = points + 0.1 * torch.randn(points.shape, generator=torch.Generator().manual_seed(5))
    fit = recover_focal_shift(points, usable_HW=torch.ones(3, 3, dtype=torch.bool))
    repeats = torch.tensor([22, 21, 21])
    weight = (repeats[:, None] * repeats)[..., None]

    def cost(focal, shift):
        projected = focal * points[..., :2] / (points[..., 2:] + shift)
        return float((weight * (projected - view_plane(3, 3)) ** 2).double().sum())

    step = 1e-3
    for df, ds in [(step, 0), (-step, 0), (0, step), (0, -step)]:
        assert cost(fit.focal + df, fit.shift + ds) > cost(*fit)


def test_the_fit_is_the_least_squares_minimum():
    _, points, _ = scene(32, 32, 70.0, shift=0.2)
    generator = torch.Generator().manual_seed(4)
    points = points + 0.05 * torch.randn(points.shape, generator=generator)
    fit = recover_focal_shift(points, usable_HW=torch.ones(32, 32, dtype=torch.bool))

    def cost(focal, shift):
        projected = focal * points[..., :2] / (points[..., 2:] + shift)
        return float(((projected - view_plane(32, 32)) ** 2).double().sum())

    best = cost(*fit)
    for df, ds in [(0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01), (0.01, 0.01), (-0.01, -0.01)]:
        assert cost(fit.focal + df, fit.shift + ds) > best


@pytest.mark.parametrize("case", ["empty", "two", "nan", "mirrored"])
def test_points_that_no_camera_sees_give_no_valid_pixel(case):
    points = torch.rand(8, 8, 3, generator=torch.Generator().manual_seed(0)) + 0.5
    usable = torch.ones(8, 8, dtype=torch.bool)
    if case == "empty":
        usable[:] = False
    elif case == "two":
        usable[:] = False
        usable[0, :2] = True
    elif case == "nan":
        points[:] = torch.nan
    else:  # left is right and up is down: the best focal is negative
        points[..., :2] = -view_plane(8, 8)
        points[..., 2] = 1
    assert recover_focal_shift(points, usable_HW=usable) is None
    guess = metric_from_affine(points[None], mask_BHW=usable[None], scale_B=torch.ones(1))
    assert not guess.valid_BHW.any() and not guess.depth_BHW.any()
    assert guess.fov_x_deg_B.isnan().all()


def test_view_plane_is_centered_with_unit_half_diagonal():
    places = view_plane(3, 4)
    assert places.shape == (3, 4, 2)
    torch.testing.assert_close(places.mean(dim=(0, 1)), torch.zeros(2), atol=1e-6, rtol=0)
    step_u, step_v = places[0, 1, 0] - places[0, 0, 0], places[1, 0, 1] - places[0, 0, 1]
    torch.testing.assert_close(step_u, step_v)  # square pixels
    edge = places[-1, -1] + torch.stack([step_u, step_v]) / 2
    assert float(edge.norm()) == pytest.approx(1.0, abs=1e-6)
