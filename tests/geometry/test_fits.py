from pathlib import Path

import numpy as np
import pytest

from nearfar.errors import ConfigError, DataError
from nearfar.geometry.fits import (
    fit_line,
    fit_lstsq_depth,
    fit_lstsq_disp_video,
    fit_lstsq_disparity,
    fit_lstsq_log,
    fit_lstsq_log1p,
    fit_median_ratio,
    fit_ratio_of_medians,
    lower_median,
    valid_pairs,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "eval"
MARIGOLD = dict(np.load(GOLDEN / "marigold.npz"))
RNG = np.random.default_rng(5)
TRUTH = RNG.uniform(0.5, 9, (12, 15))
ALL = np.ones(TRUTH.shape, bool)


def cases(suffix):
    return sorted(name.removesuffix(suffix) for name in MARIGOLD if name.endswith(suffix))


def golden(case, name):
    return MARIGOLD[f"{case}.{name}"]


@pytest.mark.parametrize("case", [c for c in cases(".aligned") if "maxres" not in c])
def test_lstsq_depth_is_marigolds(case):
    fit = fit_lstsq_depth(golden(case, "pred"), golden(case, "gt"), golden(case, "mask"))
    assert fit.scale == pytest.approx(float(golden(case, "scale")[0]), rel=5e-6)
    assert fit.shift == pytest.approx(float(golden(case, "shift")[0]), rel=5e-6)
    assert fit.degenerate == case.endswith("constant")


@pytest.mark.parametrize("case", cases(".disparity_aligned"))
def test_lstsq_disparity_is_marigolds(case):
    fit = fit_lstsq_disparity(golden(case, "pred"), golden(case, "gt"), golden(case, "mask"))
    assert fit.scale == pytest.approx(float(golden(case, "scale")[0]), rel=5e-6)
    assert fit.shift == pytest.approx(float(golden(case, "shift")[0]), rel=5e-6)


def test_moge_variant_uses_pixels_that_marigolds_leaves_out():
    prediction = 1 / TRUTH
    prediction[0] = -0.2
    marigold = fit_lstsq_disparity(prediction, TRUTH, ALL)
    assert marigold.scale == pytest.approx(1) and marigold.shift == pytest.approx(0, abs=1e-12)
    moge = fit_lstsq_disparity(prediction, TRUTH, ALL, variant="moge")
    wanted = np.linalg.lstsq(
        np.stack([prediction.ravel(), np.ones(TRUTH.size)], 1), 1 / TRUTH.ravel(), rcond=None
    )[0]
    assert moge[:2] == pytest.approx(tuple(wanted))
    with pytest.raises(ConfigError):
        fit_lstsq_disparity(prediction, TRUTH, ALL, variant="other")
    with pytest.raises(DataError):
        fit_lstsq_disparity(-prediction * 0 - 1, TRUTH, ALL)


@pytest.mark.parametrize("kind", ["noise", "negative", "offset", "constant", "zero", "one"])
def test_line_is_numpys_minimum_norm_solution(kind):
    x = RNG.standard_normal(1 if kind == "one" else 500)
    y = 3 - 2 * x + 0.1 * RNG.standard_normal(x.size)
    x = {"negative": -x, "offset": 1e-4 * x + 1e4, "constant": x * 0 + 0.5, "zero": x * 0}.get(
        kind, x
    )
    wanted = np.linalg.lstsq(np.stack([x, np.ones_like(x)], 1), y, rcond=None)
    fit = fit_line(x, y)
    assert fit.degenerate == (wanted[2] < 2)
    rel = 1e-4 if kind == "offset" else 1e-9
    assert fit[:2] == pytest.approx(tuple(wanted[0]), rel=rel, abs=1e-12)


def test_video_fit_is_video_depth_anythings():
    video = np.load(GOLDEN / "ppvd_scale_shift.npz")
    target = video["ss.target"].astype(np.float64)
    wanted = video["ss.scale_shift"]
    assert fit_line(
        video["ss.pred"][video["ss.mask"]].astype(np.float64), target[video["ss.mask"]]
    )[:2] == pytest.approx(tuple(wanted), rel=1e-5)

    prediction = np.maximum(0.5 / TRUTH - 0.08, -1)  # partly below the clip
    wanted = np.polyfit(np.maximum(prediction, 1e-3).ravel(), 1 / (TRUTH.ravel() + 1e-8), 1)
    assert fit_lstsq_disp_video(prediction, TRUTH, ALL)[:2] == pytest.approx(tuple(wanted))
    assert fit_lstsq_disp_video(prediction[None], TRUTH[None], ALL[None])[:2] == pytest.approx(
        tuple(wanted)
    )


def test_logarithmic_fits_recover_their_line():
    fit = fit_lstsq_log1p((np.log1p(TRUTH) - 0.4) / -1.7, TRUTH, ALL)
    assert fit[:2] == pytest.approx((-1.7, 0.4))  # a negative slope is kept
    fit = fit_lstsq_log((np.log(TRUTH) - 0.4) / 1.7, TRUTH, ALL)
    assert fit[:2] == pytest.approx((1.7, 0.4))


def test_the_two_median_scales_differ():
    truth, prediction = np.array([[1.0, 2, 3, 10]]), np.array([[1.0, 1, 6, 4]])
    valid = np.ones((1, 4), bool)
    assert fit_median_ratio(prediction, truth, valid).scale == 1.0  # lower of 1 and 2
    assert fit_ratio_of_medians(prediction, truth, valid).scale == 1.0  # 2.5 / 2.5
    prediction[0, 3] = 1
    assert fit_median_ratio(prediction, truth, valid).scale == 1.0
    assert fit_ratio_of_medians(prediction, truth, valid).scale == 2.5
    for fit in (fit_median_ratio, fit_ratio_of_medians):
        with pytest.raises(DataError, match="0"):
            fit(prediction * 0, truth, valid)


def test_lower_median_is_torchs():
    assert lower_median(np.array([4.0, 1, 3, 2])) == 2
    assert lower_median(np.array([5.0, 1, 3])) == 3


def test_only_valid_pixels_count_and_nan_there_is_an_error():
    prediction = 2 * TRUTH + 1
    valid = ALL.copy()
    valid[0] = False
    prediction[0] = np.nan
    assert fit_lstsq_depth(prediction, TRUTH, valid)[:2] == pytest.approx((0.5, -0.5))
    with pytest.raises(DataError, match="not finite in 15 of 180"):
        fit_lstsq_depth(prediction, TRUTH, ALL)
    for truth, mask in ((TRUTH, ~ALL), (TRUTH * 0, ALL), (TRUTH * np.nan, ALL), (TRUTH[1:], ALL)):
        with pytest.raises(DataError):
            valid_pairs(TRUTH, truth, mask)
