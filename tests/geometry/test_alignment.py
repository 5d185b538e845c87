from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from nearfar.errors import ConfigError, InputError
from nearfar.geometry.alignment import apply_affine, fit_affine, fit_affine_ransac

GOLDEN = load_file(Path(__file__).parents[1] / "golden" / "ppd" / "eval_align.safetensors")
KINDS = ("metric", "scale_invariant", "affine_depth", "affine_log_depth")


def rng(seed=0):
    return np.random.default_rng(seed)


def golden_usable():
    return GOLDEN["mask"] & (GOLDEN["gt"] > 1e-3)


def abs_rel(metres, reference, usable):
    metres = np.clip(metres, 1e-3, reference[usable].max())
    return (np.abs(metres - reference) / (reference + 1e-5))[usable].mean()


def scene(kind, scale, shift, shape=(30, 40)):
    """A map and the metres it stands for."""
    reference = rng().uniform(1, 9, shape).astype(np.float32)
    target = np.log1p(reference) if kind == "affine_log_depth" else reference
    return ((target - shift) / scale).astype(np.float32), reference


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ransac", [False, True])
def test_recovers_scale_and_shift(kind, ransac):
    shift = 0.3 if kind.startswith("affine") else 0.0
    depth, reference = scene(kind, 1.7, shift)
    usable = np.ones(depth.shape, bool)
    if ransac:
        fit = fit_affine_ransac(depth, reference, usable, kind=kind, generator=rng())
    else:
        fit = fit_affine(depth, reference, usable, kind=kind)
    assert fit.scale == pytest.approx(1.7, rel=1e-4)
    assert fit.shift == pytest.approx(shift, abs=1e-4)
    metres = apply_affine(depth, scale=fit.scale, shift=fit.shift, kind=kind)
    assert metres.dtype == np.float32
    np.testing.assert_allclose(metres, reference, rtol=1e-4)


def test_unusable_pixels_do_not_count():
    depth, reference = scene("affine_depth", 2.0, 1.0)
    usable = np.ones(depth.shape, bool)
    usable[0] = False
    depth[0], depth[1], reference[2], reference[3] = 1e6, np.nan, 0, np.nan
    fit = fit_affine(depth, reference, usable, kind="affine_depth")
    assert (fit.scale, fit.shift) == (pytest.approx(2, rel=1e-4), pytest.approx(1, abs=1e-4))
    assert fit.inliers.sum() == 26 * 40 and not fit.inliers[:4].any()


@pytest.mark.parametrize("case", ["clean", "noisy", "outliers", "negative_slope"])
def test_ransac_replays_the_official_alignment(case):
    depth, reference, usable = GOLDEN[f"{case}.pred"], GOLDEN["gt"], golden_usable()
    fit = fit_affine_ransac(depth, reference, usable, kind="affine_log_depth", generator=rng())
    metres = apply_affine(depth, scale=fit.scale, shift=fit.shift, kind="affine_log_depth")
    error, official = abs_rel(metres, reference, usable), GOLDEN[f"{case}.metrics"][0]
    if case in ("clean", "negative_slope"):
        aligned = np.clip(metres, 1e-3, reference[usable].max())
        np.testing.assert_allclose(aligned, GOLDEN[f"{case}.aligned"], atol=1e-4)
        assert error == pytest.approx(official, rel=1e-5, abs=1e-5)
    else:
        assert error == pytest.approx(official, rel=0.05)
        assert (fit.scale, fit.shift) == pytest.approx(tuple(GOLDEN[f"{case}.ab"]), rel=0.05)


def test_ransac_withstands_what_least_squares_does_not():
    depth, reference, usable = GOLDEN["outliers.pred"], GOLDEN["gt"], golden_usable()
    errors = []
    for fit in (
        fit_affine(depth, reference, usable, kind="affine_log_depth"),
        fit_affine_ransac(depth, reference, usable, kind="affine_log_depth", generator=rng()),
    ):
        metres = apply_affine(depth, scale=fit.scale, shift=fit.shift, kind="affine_log_depth")
        errors.append(abs_rel(metres, reference, usable))
    assert errors[0] > 0.7 and errors[1] < 0.18


def test_ransac_of_a_large_map_finds_the_inliers():
    depth, reference = scene("affine_depth", 3.0, -0.5, (200, 200))
    wrong = rng(1).random(depth.shape) < 0.3
    depth[wrong] = rng(2).uniform(20, 30, int(wrong.sum()))
    fit = fit_affine_ransac(
        depth, reference, np.ones(depth.shape, bool), kind="affine_depth", generator=rng()
    )
    assert fit.scale == pytest.approx(3, rel=1e-4) and fit.shift == pytest.approx(-0.5, abs=1e-3)
    assert fit.inliers[~wrong].mean() > 0.99 and fit.inliers[wrong].mean() < 0.05


def test_ransac_depends_on_its_generator_only():
    depth, reference, usable = GOLDEN["noisy.pred"], GOLDEN["gt"], golden_usable()

    def fit(seed):
        generator = np.random.default_rng(seed)
        return fit_affine_ransac(
            depth, reference, usable, kind="affine_log_depth", generator=generator
        )

    assert fit(5)[:2] == fit(5)[:2]


@pytest.mark.parametrize("ransac", [False, True])
@pytest.mark.parametrize("depth", [[2.0], [2.0, 2.0], [0.0, 0.0], [-1.0, -2.0]])
@pytest.mark.parametrize("kind", KINDS)
def test_degenerate_maps_give_a_finite_rising_line(kind, depth, ransac):
    depth = np.array([depth], np.float32)
    reference = np.linspace(3, 4, depth.size, dtype=np.float32)[None]
    usable = np.ones(depth.shape, bool)
    if ransac:
        fit = fit_affine_ransac(depth, reference, usable, kind=kind, generator=rng())
    else:
        fit = fit_affine(depth, reference, usable, kind=kind)
    assert fit.scale > 0 and np.isfinite([fit.scale, fit.shift]).all()


def test_apply_keeps_order_and_never_overflows():
    depth = np.array([[-1e30, 0, 1, 50, 1e30, np.nan]], np.float32)
    metres = apply_affine(depth, scale=1e20, shift=0.1, kind="affine_log_depth")[0]
    assert np.isfinite(metres[:5]).all() and np.isnan(metres[5])
    assert (np.diff(metres[:5]) >= 0).all() and metres[0] == -1
    assert np.isfinite(apply_affine(depth, scale=1e30, shift=0, kind="affine_depth")[0, :5]).all()


def test_errors_say_what_is_wrong():
    ones = np.ones((2, 2), np.float32)
    with pytest.raises(InputError, match="no pixel"):
        fit_affine(ones, ones * 0, ones > 0, kind="metric")
    with pytest.raises(InputError, match="differ in size"):
        fit_affine(ones, np.ones((3, 2), np.float32), ones > 0, kind="metric")
    with pytest.raises(ConfigError, match="disparity"):
        fit_affine(ones, ones, ones > 0, kind="disparity")
