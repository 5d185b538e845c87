"""Metrics against released code, against plain numpy, and against values worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from nearfar.errors import ConfigError, DataError
from nearfar.eval.align import cap_depth
from nearfar.eval.metrics.image import (
    METRICS,
    abs_rel,
    align_log1p,
    aligned_scores,
    as_log_depth,
    delta1,
    flat_map,
    image_metrics,
    row_ramp,
)
from nearfar.eval.prepare import box_mask, find_box, range_mask
from nearfar.result import DepthKind

GOLDEN = Path(__file__).parents[2] / "golden" / "eval"
TRUTH = np.array([[1.0, 2.0], [4.0, 8.0]])
ALL = np.ones((2, 2), dtype=bool)


def test_abs_rel_by_hand():
    depth = np.array([[1.1, 2.0], [3.0, 8.0]], dtype=np.float32)
    assert abs_rel(depth, TRUTH, ALL) == pytest.approx((0.1 + 0 + 0.25 + 0) / 4, abs=1e-7)


def test_delta1_is_strict_about_the_bound_and_about_negative_depth():
    depth = np.array([[1.25, 2.4], [-4.0, 8.0]])  # exactly 1.25 is out; negative is out
    assert delta1(depth, TRUTH, ALL) == 0.5


def test_only_valid_pixels_count():
    depth = np.array([[1.0, np.nan], [4.0, 80.0]])
    valid = np.array([[True, False], [True, False]])
    assert abs_rel(depth, TRUTH, valid) == 0.0
    assert delta1(depth, TRUTH, valid) == 1.0


def test_alignment_recovers_any_affine_of_log_depth():
    prediction = (np.log1p(TRUTH) - 0.7) / 3.0
    assert np.allclose(align_log1p(prediction, TRUTH, ALL), TRUTH, rtol=1e-12)
    scores = aligned_scores(prediction, TRUTH, ALL)
    assert scores.abs_rel < 1e-12
    assert scores.delta1 == 1.0


def test_flat_map_becomes_the_best_constant_in_log():
    metres = align_log1p(flat_map((2, 2)), TRUTH, ALL)
    assert np.allclose(metres, np.expm1(np.log1p(TRUTH).mean()))


def test_row_ramp_is_far_at_the_top_and_fits_a_ramp_exactly():
    ramp = row_ramp((5, 3))
    assert ramp[0, 0] == 1.0
    assert ramp[-1, -1] == 0.0
    truth = np.expm1(0.5 + 2 * ramp)
    assert aligned_scores(ramp, truth, np.ones((5, 3), bool)).abs_rel < 1e-12


def test_negative_slope_is_kept():
    metres = align_log1p(-np.log1p(TRUTH), TRUTH, ALL)
    assert np.allclose(metres, TRUTH)


def test_as_log_depth_knows_the_kind():
    assert np.allclose(as_log_depth(TRUTH, DepthKind.METRIC), np.log1p(TRUTH))
    assert np.array_equal(as_log_depth(TRUTH, DepthKind.AFFINE_LOG_DEPTH), TRUTH)


@pytest.mark.parametrize(
    ("depth", "truth", "valid"),
    [
        (TRUTH, TRUTH, ~ALL),
        (TRUTH[:1], TRUTH, ALL),
        (TRUTH, TRUTH * 0, ALL),
        (TRUTH * np.nan, TRUTH, ALL),
    ],
    ids=["no pixel", "shape", "zero truth", "nan prediction"],
)
def test_unusable_pairs_are_refused(depth, truth, valid):
    with pytest.raises(DataError):
        abs_rel(depth, truth, valid)


def random_pair(size=(300, 400), seed=0):
    """A pair of several blocks, with holes."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.3, 12, size).astype(np.float32)
    depth = (truth * np.exp(0.3 * rng.standard_normal(size))).astype(np.float32)
    return depth, truth, rng.random(size) > 0.1


def plain_metrics(depth, truth, valid):
    """Every metric as its formula reads, in float64 over all pixels at once."""
    d, g = depth[valid].astype(np.float64), truth[valid].astype(np.float64)
    e, off = np.log(d) - np.log(g), np.abs(d - g)
    ratio = np.maximum(d / g, g / d)
    ratio_ppd = np.maximum(g / (d + 1e-5), d / (g + 1e-5))
    return {
        "abs_rel": np.mean(off / g),
        "sq_rel": np.mean(off**2 / g),
        "rmse": np.sqrt(np.mean(off**2)),
        "rmse_log": np.sqrt(np.mean(e**2)),
        "log10": np.mean(np.abs(np.log10(d) - np.log10(g))),
        **{f"delta{k:g}": np.mean(ratio < 1.25**k) for k in (0.5, 1, 2, 3)},
        "i_rmse": np.sqrt(np.mean((1 / d - 1 / g) ** 2)),
        "silog": 100 * np.sqrt(np.mean(e**2) - np.mean(e) ** 2),
        "mae": np.mean(off),
        "mse": np.mean(off**2),
        "silog_dav2": np.sqrt(np.mean(e**2) - 0.5 * np.mean(e) ** 2),
        "silog_loss": 10 * np.sqrt(np.mean(e**2) - 0.85 * np.mean(e) ** 2),
        "silog_unidepth": 100 * np.std(e, ddof=1),
        "abs_rel_ppd": np.mean(off / (g + 1e-5)),
        **{f"delta{k:g}_ppd": np.mean(ratio_ppd < 1.25**k) for k in (0.5, 1, 2, 3)},
        "abs_rel_moge": np.mean(off / (g + 1e-6)),
        **{f"delta{k}_error": np.mean(ratio > 1.25**k) for k in (1, 2, 3)},
        **{f"ratio_{t:.2f}_error": np.mean(ratio > t) for t in (1.02, 1.05, 1.1)},
        "nonpositive_share": 0.0,
    }


def test_every_metric_is_its_formula():
    pair = random_pair()
    wanted = plain_metrics(*pair)
    assert set(wanted) == set(METRICS)
    found = image_metrics(*pair, names=list(METRICS))
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, rel=1e-10, abs=1e-5 if "delta" in name else 0)


def test_variants_are_not_the_same_number():
    values = image_metrics(*random_pair((60, 80)), names=list(METRICS))
    groups = (
        ("silog", "silog_dav2", "silog_loss", "silog_unidepth"),
        ("abs_rel", "abs_rel_ppd", "abs_rel_moge"),
        ("delta0.5", "delta1", "delta2", "delta3"),
    )
    for group in groups:
        assert len({values[name] for name in group}) == len(group)


def test_order_and_blocks_do_not_matter():
    depth, truth, valid = random_pair()
    first = image_metrics(depth, truth, valid, names=list(METRICS))
    order = np.random.default_rng(1).permutation(depth.size)
    shuffled = (v.ravel()[order].reshape(v.shape) for v in (depth, truth, valid))
    second = image_metrics(*shuffled, names=list(METRICS))
    assert first == pytest.approx(second, rel=1e-12)
    assert list(image_metrics(depth, truth, valid, names=("rmse", "abs_rel"))) == [
        "rmse",
        "abs_rel",
    ]


@pytest.mark.parametrize(("key", "box"), [("garg_crop", "garg"), ("eigen_crop", "eigen_kitti")])
def test_nine_metrics_are_dars(key, box):
    golden = np.load(GOLDEN / "dar_metrics.npz")
    depth = golden["kitti.pred_raw"].view(np.uint16).astype(np.float32) / 256
    truth = golden["kitti.gt_raw"].view(np.uint16).astype(np.float32) / 256
    valid = range_mask(truth, 1e-3, 80) & box_mask(truth.shape, find_box(box, truth.shape))
    assert valid.sum() == golden[f"kitti_{key}.n_valid"][0]
    depth = cap_depth(depth.astype(np.float64), low=1e-3, high=80, replace_nan=True)
    names = ["delta1", "delta2", "delta3", "abs_rel", "sq_rel", "rmse", "rmse_log", "log10"]
    scores = image_metrics(depth, truth, valid, names=[*names, "silog"])
    wanted = golden[f"kitti_{key}.metrics"]
    assert list(scores.values()) == pytest.approx(wanted, rel=1e-5)


def test_error_shares_are_deptharts():
    golden = np.load(GOLDEN / "depthart.npz")
    keys = {
        "delta1_error": "d1",
        "delta2_error": "d2",
        "delta3_error": "d3",
        "ratio_1.02_error": "d102",
        "ratio_1.05_error": "d105",
        "ratio_1.10_error": "d110",
        **{"abs_rel": "absrel", "sq_rel": "sqrel", "mae": "mae", "mse": "mse"},
    }
    rows = [
        image_metrics(aligned[0], truth[0], mask[0], names=list(keys))
        for aligned, truth, mask in zip(
            golden["out.si_l1.aligned"], golden["in.target"], golden["in.mask"]
        )
    ]
    for name, key in keys.items():
        mean = np.mean([row[name] for row in rows])
        assert mean == pytest.approx(golden[f"out.si_l1.{key}"][0], rel=1e-5, abs=1e-7), name


def test_median_ratio_is_deptharts():
    from nearfar.geometry.fits import fit_median_ratio

    golden = np.load(GOLDEN / "depthart.npz")
    for row in range(2):
        prediction = golden["in.pred"][row]
        fit = fit_median_ratio(prediction, golden["in.target"][row], golden["in.mask"][row])
        np.testing.assert_allclose(
            fit.scale * prediction, golden["out.si_l1.aligned"][row], rtol=1e-6
        )


def test_negative_depth_is_correct_in_parity_mode_and_wrong_in_strict_mode():
    golden = np.load(GOLDEN / "moge_metrics.npz")
    pair = golden["neg.pred"][None], golden["neg.gt"][None], np.ones((1, 7), bool)
    parity = image_metrics(*pair, names=("abs_rel_moge", "delta1"))
    assert parity["delta1"] == pytest.approx(golden["neg.delta1"][0], abs=1e-6)
    assert parity["abs_rel_moge"] == pytest.approx(golden["neg.rel"][0], rel=1e-6)
    strict = image_metrics(*pair, names=("abs_rel_moge", "delta1"), strict=True)
    assert strict["delta1"] == pytest.approx(2 / 7)
    assert strict["nonpositive_share"] == pytest.approx(3 / 7)
    assert "nonpositive_share" not in parity
    assert strict["abs_rel_moge"] == parity["abs_rel_moge"]


def test_ratio_of_exactly_the_limit_is_outside():
    depth = np.array([[1.25, 1.5625, 1.953125, 1.0]])
    scores = image_metrics(
        depth,
        np.ones((1, 4)),
        np.ones((1, 4), bool),
        names=("delta1", "delta2", "delta3", "delta1_error"),
    )
    assert list(scores.values()) == [0.25, 0.5, 0.75, 0.5]


def test_millimetre_ties_are_decided_in_float32_as_in_released_code():
    truth = (np.arange(4, 8000, 4) / 1000).astype(np.float32)[None]
    depth = (np.arange(5, 10000, 5) / 1000).astype(np.float32)[None]
    wanted = np.mean(depth / truth < np.float32(1.25))
    assert wanted != np.mean(depth.astype(np.float64) / truth < 1.25)
    valid = np.ones(truth.shape, bool)
    assert image_metrics(depth, truth, valid, names=("delta1",))["delta1"] == wanted


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", ["rmse_log", "log10", "silog", "silog_dav2", "silog_unidepth"])
def test_logarithm_of_nothing_is_refused(name, strict):
    depth = TRUTH.copy()
    depth[0, 0] = 0
    with pytest.raises(DataError, match="1 of 4 valid pixels"):
        image_metrics(depth, TRUTH, ALL, names=(name,), strict=strict)


def test_numbers_that_are_not_finite_are_refused():
    depth = TRUTH.copy()
    depth[0, 0] = 0
    with pytest.raises(DataError, match="i_rmse"):
        image_metrics(depth, TRUTH, ALL, names=("abs_rel", "i_rmse"))
    with pytest.raises(DataError, match="two valid"):
        image_metrics(TRUTH, TRUTH, TRUTH == 1, names=("silog_unidepth",))
    for value in (np.nan, np.inf):
        depth[0, 0] = value
        with pytest.raises(DataError, match="not finite in 1 of 4"):
            image_metrics(depth, TRUTH, ALL, names=("delta1",))


def test_unknown_metric_is_refused_with_the_list():
    with pytest.raises(ConfigError, match="delta4.*abs_rel"):
        image_metrics(TRUTH, TRUTH, ALL, names=("delta4",))


def test_identity_is_perfect():
    scores = image_metrics(TRUTH, TRUTH, ALL, names=list(METRICS), strict=True)
    for name, score in scores.items():
        good = name.startswith("delta") and not name.endswith("_error")
        assert score == pytest.approx(1.0 if good else 0.0, abs=1e-12), name
