"""Metres from a reference: the robust line, the clip, the spread; the camera's order of trust."""

import math

import numpy as np
import pytest

from nearfar.pipeline.ensemble import Ensemble
from nearfar.pipeline.metres import (
    Reference,
    can_measure,
    choose_camera,
    is_nearly_sky,
    note_sky,
    plausible_range,
    reference_of,
    to_metres,
)
from nearfar.result import DepthKind, DepthResult

LOG = DepthKind.AFFINE_LOG_DEPTH


def truth(height=40, width=50):
    rows = np.linspace(9, 1, height)[:, None] + np.zeros(width)
    return (rows + np.random.default_rng(0).random((height, width))).astype(np.float32)


def reference(metres, valid=None, fov=60.0):
    everywhere = np.ones(metres.shape, bool)
    return Reference(metres, everywhere if valid is None else valid, fov, "fake")


def fit(merged, ref, kind=LOG):
    return to_metres(merged, ref, kind=kind, generator=np.random.default_rng(1))


def latent(metres, scale=2.5, shift=0.4):
    return ((np.log1p(metres) - shift) / scale).astype(np.float32)


def test_metres_are_recovered_despite_a_third_of_wrong_reference_pixels():
    metres = truth()
    wrong = metres.copy()
    wrong[np.random.default_rng(2).random(metres.shape) < 0.33] = 40.0
    found = fit(Ensemble(latent(metres), None), reference(wrong))
    assert np.abs(found.depth_HW / metres - 1).mean() < 0.02
    assert found.uncertainty_HW is None


def test_pixels_outside_the_mask_do_not_count():
    metres = truth()
    valid = np.ones(metres.shape, bool)
    valid[:25] = False  # more than half
    wrong = np.where(valid, metres, 500).astype(np.float32)
    found = fit(Ensemble(latent(metres), None), reference(wrong, valid))
    assert np.abs(found.depth_HW[valid] / metres[valid] - 1).max() < 1e-3


def test_uncertainty_is_scaled_by_the_local_slope():
    metres = truth()
    spread = np.full(metres.shape, 0.01, np.float32)
    found = fit(Ensemble(latent(metres), spread), reference(metres))
    assert np.allclose(found.uncertainty_HW, 0.01 * 2.5 * (metres + 1), rtol=1e-3)
    flat = fit(Ensemble(metres / 3, spread), reference(metres), DepthKind.AFFINE_DEPTH)
    assert np.allclose(flat.uncertainty_HW, 0.03, rtol=1e-3)


def test_metres_stay_positive_and_within_twice_the_reference():
    metres = truth()
    wild = latent(metres)
    wild[0, 0], wild[0, 1] = -9, 9
    found = fit(Ensemble(wild, None), reference(metres)).depth_HW
    assert found[0, 0] == pytest.approx(metres.min() / 2)
    assert found[0, 1] == pytest.approx(metres.max() * 2)


@pytest.mark.parametrize("map_of", [lambda m: -latent(m), lambda m: np.zeros_like(m)])
def test_a_useless_map_still_gives_positive_finite_metres(map_of):
    metres = truth()
    found = fit(Ensemble(map_of(metres), None), reference(metres)).depth_HW
    assert np.isfinite(found).all()
    assert (found > 0).all()


def test_one_usable_pixel_gives_metres_and_none_gives_nothing():
    metres = truth()
    valid = np.zeros(metres.shape, bool)
    spread = np.full(metres.shape, 0.01, np.float32)
    nothing = fit(Ensemble(latent(metres), spread), reference(metres, valid))
    assert np.isnan(nothing.depth_HW).all() and np.isnan(nothing.uncertainty_HW).all()
    valid[3, 4] = True
    found = fit(Ensemble(latent(metres), None), reference(metres, valid)).depth_HW
    assert found[3, 4] == pytest.approx(metres[3, 4], rel=1e-3)
    assert (found > metres[3, 4] / 2.01).all() and (found < metres[3, 4] * 2.01).all()


def test_transparent_pixels_do_not_count():
    metres = truth()
    opaque = np.zeros(metres.shape, bool)
    opaque[25:] = True
    wrong = np.where(opaque, metres, 500).astype(np.float32)
    found = to_metres(
        Ensemble(latent(metres), None),
        reference(wrong),
        kind=LOG,
        generator=np.random.default_rng(1),
        opaque_HW=opaque,
    )
    assert np.abs(found.depth_HW[opaque] / metres[opaque] - 1).max() < 1e-3


def test_much_sky_is_told_with_the_photos_name(caplog):
    depth = np.ones((10, 10), np.float32)
    for rows, words in {9: "", 10: "100 %", 5: "", 0: ""}.items():
        sky = np.zeros(depth.shape, bool)
        sky[:rows] = True
        note_sky(DepthResult(depth=depth, kind=DepthKind.METRIC, valid=~sky, sky=sky), "a.jpg")
        assert bool(caplog.messages) == bool(words)
        assert all(words in text and text.startswith("a.jpg: ") for text in caplog.messages)
        caplog.clear()
    transparent = np.zeros(depth.shape, bool)
    sky[0] = True
    cutout = DepthResult(depth=depth, kind=DepthKind.METRIC, valid=transparent, sky=sky)
    assert is_nearly_sky(cutout)
    assert not is_nearly_sky(DepthResult(depth=depth, kind=DepthKind.METRIC, valid=transparent))


def test_a_reference_measures_unless_what_is_not_sky_has_no_metres():
    metres, everywhere = truth(), np.ones((40, 50), bool)
    assert can_measure(reference(metres), everywhere)
    assert can_measure(reference(metres, ~everywhere), everywhere)  # all sky: nothing to measure
    assert not can_measure(reference(-metres), everywhere)


def test_camera_order_user_then_exif_then_reference():
    ref = reference(truth(), fov=60.0)
    size = (480, 640)
    user = choose_camera(size, fov_x_deg=90.0, focal_px=500.0, reference=ref)
    assert user.intrinsics_33[0, 0] == pytest.approx(320)
    assert user.fov_x_deg == 90
    exif = choose_camera(size, fov_x_deg=None, focal_px=500.0, reference=ref)
    assert exif.intrinsics_33[1, 1] == 500
    assert exif.fov_x_deg == pytest.approx(2 * math.degrees(math.atan(320 / 500)))
    guess = choose_camera(size, fov_x_deg=None, focal_px=None, reference=ref)
    assert guess.fov_x_deg == 60
    assert guess.intrinsics_33[0, 2] == 320
    none = choose_camera(size, fov_x_deg=None, focal_px=None, reference=None)
    assert none == (None, None)


def test_plausible_range_is_half_the_nearest_to_twice_the_farthest():
    assert plausible_range(np.array([0.5, 3.0, 8.0], np.float32)) == (0.25, 16.0)
    assert plausible_range(np.array([1e-4, 1.0], np.float32)) == (1e-3, 2.0)


def test_another_models_metres_are_read_at_the_maps_own_size():
    depth = np.arange(24.0, dtype=np.float32).reshape(4, 6) + 1
    depth[0, 0] = np.nan
    result = DepthResult(
        depth=depth,
        kind=DepthKind.METRIC,
        valid=np.isfinite(depth),
        fov_x_deg=61.0,
        model="other",
        metric_reference="other",
    )
    found = reference_of(result, (2, 3))
    assert found.depth_HW.tolist() == [[8, 10, 12], [20, 22, 24]] and found.valid_HW.all()
    assert (found.fov_x_deg, found.name) == (61.0, "other")
    same = reference_of(result, (4, 6))
    assert not same.valid_HW[0, 0] and same.depth_HW[0, 0] == 0
    assert np.array_equal(same.depth_HW[1:], depth[1:])
