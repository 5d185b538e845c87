from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from nearfar.errors import ConfigError, DataError
from nearfar.geometry.robust_fits import (
    POINT_MODES,
    fit_ransac_log1p,
    l1_affine,
    l1_points,
    l1_scale,
    weighted_median,
)

GOLDEN_FOLDER = Path(__file__).parents[1] / "golden"
GOLDEN = {
    name: values.astype(np.float64)
    for name, values in np.load(GOLDEN_FOLDER / "eval" / "moge_align.npz").items()
}
PPD = load_file(GOLDEN_FOLDER / "ppd" / "eval_align.safetensors")
ROWS = [(size, row) for size in ("n17", "n64") for row in range(3)]
TRUNCATIONS = [(None, ""), (0.3, "_trunc0.3")]


def row_of(size, row, *names):
    return [GOLDEN[f"{size}.{name}"][row] for name in names]


@pytest.mark.parametrize(("size", "row"), ROWS)
@pytest.mark.parametrize(("truncation", "suffix"), TRUNCATIONS)
def test_scale_and_affine_are_moges(size, row, truncation, suffix):
    x, y, y_affine, w = row_of(size, row, "x", "y", "y_affine", "w")
    fit = l1_scale(x, y, w, truncation=truncation)
    a, loss = row_of(size, row, f"scale{suffix}.a", f"scale{suffix}.loss")
    assert (fit.scale, fit.loss) == pytest.approx((a, loss), rel=1e-6)
    fit = l1_affine(x, y_affine, w, truncation=truncation)
    names = [f"affine{suffix}.{name}" for name in ("scale", "shift", "loss")]
    assert fit[:3] == pytest.approx(row_of(size, row, *names), rel=1e-6)
    assert not fit.degenerate


@pytest.mark.parametrize(("size", "row"), ROWS)
def test_negative_x_flips_both_signs(size, row):
    x, y, w = row_of(size, row, "signed.x", "signed.y", "w")
    fit = l1_scale(x, y, w)
    wanted = row_of(size, row, "signed.a", "signed.loss")
    assert (fit.scale, fit.loss) == pytest.approx(tuple(wanted), rel=1e-6)


@pytest.mark.parametrize("name", ["pts", "pts_z", "pts_xyz"])
@pytest.mark.parametrize(("truncation", "suffix"), [(None, ""), (0.2, ".trunc0.2")])
@pytest.mark.parametrize("row", [0, 1])
def test_points_are_moges(name, truncation, suffix, row):
    x, y, w = row_of(name, row, "src", "tgt", "w")
    keys = {"scale": "scale_only", "shift_z": "z_shift", "shift_xyz": "xyz_shift"}
    for mode in POINT_MODES:
        fit = l1_points(x, y, w, mode=mode, truncation=truncation)
        key = f"{name}{suffix}.{keys.get(mode, mode)}"
        if mode == "scale":
            scale, shift = GOLDEN[key][row], np.zeros(3)
        elif mode.startswith("shift"):
            scale, shift = 1.0, GOLDEN[key][row]
        else:
            scale, shift = GOLDEN[f"{key}.scale"][row], GOLDEN[f"{key}.shift"][row]
        assert fit.scale == pytest.approx(float(scale), rel=1e-6), mode
        np.testing.assert_allclose(fit.shift_3, shift, atol=2e-6, err_msg=mode)
        terms = w[:, None] * np.abs(fit.scale * x + fit.shift_3 - y)
        terms = terms if truncation is None else np.minimum(terms, truncation)
        assert fit.loss == pytest.approx(terms.sum())


def test_unknown_point_mode_is_refused():
    with pytest.raises(ConfigError, match="scale_xyz"):
        l1_points(np.ones((2, 3)), np.ones((2, 3)), np.ones(2), mode="rotation")


def test_affine_ignores_a_third_of_outliers():
    rng = np.random.default_rng(0)
    x = rng.random(4096)
    y = 2 * x + 1
    y[::3] = rng.uniform(0, 50, y[::3].size)
    fit = l1_affine(x, y, 1 / y)
    assert fit[:2] == pytest.approx((2, 1), abs=1e-9)


def test_affine_of_a_constant_is_the_weighted_median():
    fit = l1_affine(np.full(5, 0.3), np.array([1.0, 2, 3, 4, 100]), np.ones(5))
    assert fit[:2] == (0.0, 3.0) and fit.degenerate and fit.loss == 101
    with pytest.raises(DataError):
        l1_affine(np.arange(3.0), np.arange(3.0), np.zeros(3))


def test_samples_without_weight_do_not_count():
    x, y = np.array([0.0, 1, 2, 3]), np.array([1.0, 3, 5, -40])
    assert l1_affine(x, y, np.array([1.0, 1, 1, 0]))[:2] == pytest.approx((2, 1))


def test_weighted_median_by_hand():
    values = np.array([5.0, 1, 3])
    assert weighted_median(values, np.ones(3)) == 3
    assert weighted_median(values, np.array([10.0, 1, 1])) == 5
    two_camps = np.array([0.0, 0.1, 7, 7.1, 7.2])
    assert weighted_median(two_camps, np.ones(5), truncation=0.5) == pytest.approx(7.1)


@pytest.mark.parametrize("case", ["clean", "noisy", "outliers", "negative_slope"])
def test_ransac_scores_as_the_released_evaluation(case):
    usable = PPD["mask"] & (PPD["gt"] > 1e-3)
    prediction, truth = PPD[f"{case}.pred"], PPD["gt"]
    fit = fit_ransac_log1p(prediction, truth, usable, generator=np.random.default_rng(0))
    assert fit.fallback == (case == "negative_slope")
    metres = np.expm1(fit.scale * prediction.astype(np.float64) + fit.shift)
    metres = np.clip(metres, 1e-3, truth[usable].max())
    score = (np.abs(metres - truth) / (truth + 1e-5))[usable].mean()
    if case in ("clean", "negative_slope"):
        assert score == pytest.approx(PPD[f"{case}.metrics"][0], rel=1e-5, abs=1e-6)
        np.testing.assert_allclose(metres, PPD[f"{case}.aligned"], rtol=1e-5)
    else:
        assert score == pytest.approx(PPD[f"{case}.metrics"][0], rel=0.05)
    assert 0 < fit.inlier_share <= 1


def test_ransac_refuses_nan():
    with pytest.raises(DataError, match="not finite"):
        fit_ransac_log1p(
            np.full((2, 2), np.nan),
            np.ones((2, 2)),
            np.ones((2, 2), bool),
            generator=np.random.default_rng(0),
        )
