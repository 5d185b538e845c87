from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from nearfar.errors import ConfigError, DataError
from nearfar.eval.align import (
    ALIGNMENTS,
    AlignOptions,
    cap_depth,
    converted,
    find_alignment,
    reduced_columns,
)
from nearfar.eval.metrics.edges import windowed_boundary_f1
from nearfar.eval.metrics.image import image_metrics

FOLDER = Path(__file__).parents[1] / "golden"
MARIGOLD = dict(np.load(FOLDER / "eval" / "marigold.npz"))
MOGE = dict(np.load(FOLDER / "eval" / "moge_metrics.npz"))
MOGE_BOUNDARY = dict(np.load(FOLDER / "eval" / "moge_boundary.npz"))
RANGES = {"nyu": (1e-3, 10), "kitti": (1e-5, 80), "eth3d": (1e-5, np.inf)}
MARIGOLD_NAMES = [
    *("abs_rel", "sq_rel", "rmse", "rmse_log", "log10"),
    *("delta1", "delta2", "delta3", "i_rmse", "silog"),
]
CASES = sorted(name.removesuffix(".metrics") for name in MARIGOLD if name.endswith(".metrics"))
RNG = np.random.default_rng(3)
TRUTH = RNG.uniform(0.5, 9, (40, 52))
VALID = RNG.random(TRUTH.shape) > 0.2
TO_SPACE = {"depth": lambda z: z, "disparity": lambda z: 1 / z, "log1p": np.log1p, "log": np.log}
SCALE_ONLY = ("none", "median_ratio", "ratio_of_medians", "l1_scale")


def align(name, prediction, truth=TRUTH, valid=VALID, **options):
    generator = np.random.default_rng(0)
    return ALIGNMENTS[name].align(
        prediction, truth, valid, options=AlignOptions(**options), generator=generator
    )


@pytest.mark.parametrize("case", CASES)
def test_whole_chain_is_marigolds(case):
    prediction, truth, mask, final, metrics = (
        MARIGOLD[f"{case}.{name}"] for name in ("pred", "gt", "mask", "final", "metrics")
    )
    options = {"fit_resolution": 32} if case.endswith("maxres") else {}
    fit_mask = MARIGOLD.get(f"{case}.fit_mask", mask)
    name = "lstsq_disparity" if case.endswith("disparity") else "lstsq_depth"
    aligned = align(name, prediction, truth, fit_mask, **options)
    if name == "lstsq_depth":
        np.testing.assert_allclose(
            aligned.depth_HW, MARIGOLD[f"{case}.aligned"], rtol=1e-5, atol=2e-5
        )
    low, high = RANGES[case.split(".")[0]]
    depth = cap_depth(aligned.depth_HW, low=low, high=high)
    np.testing.assert_allclose(depth, final, rtol=1e-4, atol=2e-5)
    scores = image_metrics(depth, truth, mask, names=MARIGOLD_NAMES)
    for name, wanted in zip(MARIGOLD_NAMES, metrics):
        wild = case.endswith("maxres") and name in ("rmse_log", "i_rmse", "silog")
        assert scores[name] == pytest.approx(wanted, rel=1e-2 if wild else 1e-4, abs=1e-4), name


def test_eth3d_reduces_only_the_width():
    columns = reduced_columns((60, 90), 32)
    np.testing.assert_array_equal(
        MARIGOLD["eth3d.maxres.gt"][:, columns], MARIGOLD["eth3d.maxres.gt_downsampled"][0]
    )
    assert len(reduced_columns((4032, 6048), 1024)) == 1024
    assert reduced_columns((60, 90), 512).tolist() == list(range(90))
    assert reduced_columns((90, 60), 30).tolist() == list(range(0, 60, 3))  # the height counts


MOGE_GROUPS = [
    ("metric", "depth_metric", "metric", "none", "none"),
    *[(kind, "depth_scale_invariant", None, "l1_scale", "none") for kind in ("metric", "scale")],
    *[
        (kind, "depth_affine_invariant", None, "l1_affine", "none")
        for kind in ("metric", "scale", "affine", "affine_bad")
    ],
    *[
        (kind, "disparity_affine_invariant", None, "lstsq_disparity", "disparity")
        for kind in ("metric", "scale", "disparity")
    ],
]


@pytest.mark.parametrize(("kind", "group", "_unused", "name", "conversion"), MOGE_GROUPS)
def test_scores_are_moges(kind, group, _unused, name, conversion):
    prediction = next(v for key, v in MOGE.items() if key.startswith(f"{kind}.in."))
    values = converted(prediction, "none" if kind == "disparity" else conversion)
    aligned = align(name, values, MOGE["gt.depth"], MOGE["gt.mask"], variant="moge")
    scores = image_metrics(
        aligned.depth_HW, MOGE["gt.depth"], MOGE["gt.mask"], names=("abs_rel_moge", "delta1")
    )
    wanted = MOGE[f"{kind}.out.{group}.rel"][0]
    assert scores["abs_rel_moge"] == pytest.approx(wanted, rel=1e-4)
    assert scores["delta1"] == pytest.approx(MOGE[f"{kind}.out.{group}.delta1"][0], abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("metric", "none"),
        ("scale", "l1_scale"),
        ("affine", "l1_affine"),
        ("affine_bad", "l1_affine"),
        ("disparity", "lstsq_disparity"),
    ],
)
def test_boundaries_are_moges(kind, name):
    """Of a disparity those beyond the farthest truth count, up to 1e6 m."""
    prediction = next(v for key, v in MOGE.items() if key.startswith(f"{kind}.in."))
    aligned = align(name, prediction, MOGE["gt.depth"], MOGE["gt.mask"], variant="moge")
    depth = aligned.boundary_depth_HW
    assert (depth is not None) == (kind == "disparity")
    depth = aligned.depth_HW if depth is None else depth
    for radius in (1, 2, 3):
        found = windowed_boundary_f1(depth, MOGE["gt.depth"], MOGE["gt.mask"], radius=radius).f1
        wanted = MOGE_BOUNDARY[f"{kind}.out.boundary.radius{radius}_f1"][0]
        assert found == pytest.approx(wanted, abs=1e-6)


def test_clip_is_video_depth_anythings():
    video = dict(np.load(FOLDER / "eval" / "video.npz"))
    top, bottom, left, right = video["crop"]
    truth = video["gt_mm"].astype(np.float64)[:, top:bottom, left:right] / 1000
    truth = truth.astype(np.float32)
    disparity = torch.nn.functional.interpolate(
        torch.from_numpy(video["pred_disparity"])[:, None], truth.shape[1:], mode="bilinear"
    )[:, 0].numpy()
    high = float(video["max_depth"][0])
    valid = (truth > 1e-3) & (truth < high)
    kept = np.flatnonzero(valid.any(axis=(1, 2)))[: len(video["video.mask"])]
    aligned = align("lstsq_disp_video", disparity[kept], truth[kept], valid[kept], max_depth=high)
    assert (aligned.scale, aligned.shift) == pytest.approx(tuple(video["video.scale_shift"]))
    np.testing.assert_allclose(aligned.depth_HW, video["video.pred_depth"], rtol=1e-4)
    scores = [
        image_metrics(d, g, m, names=("abs_rel", "rmse", "delta1"))
        for d, g, m in zip(aligned.depth_HW, truth[kept], valid[kept])
    ]
    for name, wanted in zip(("abs_rel", "rmse", "delta1"), video["video.metrics"]):
        assert np.mean([s[name] for s in scores]) == pytest.approx(wanted, rel=1e-5), name
    assert ALIGNMENTS["lstsq_disp_video"].scope == "clip"


def test_clip_is_clipped_before_the_fit_and_before_the_inversion():
    disparity = (1 / TRUTH - 0.2)[None]  # far pixels fall below 1e-3
    aligned = align("lstsq_disp_video", disparity, TRUTH[None], VALID[None])
    lowest = aligned.scale * 1e-3 + aligned.shift
    assert 1 / aligned.depth_HW.max() == pytest.approx(lowest) and lowest > 1e-3
    assert (aligned.depth_HW == aligned.depth_HW.max()).sum() == (disparity <= 1e-3).sum() > 100


@pytest.mark.parametrize("case", ["clean", "negative_slope"])
def test_ransac_chain_is_ppds(case):
    golden = load_file(FOLDER / "ppd" / "eval_align.safetensors")
    truth, valid = golden["gt"], golden["mask"] & (golden["gt"] > 1e-3)
    aligned = align("ransac_log1p", golden[f"{case}.pred"], truth, valid)
    depth = cap_depth(aligned.depth_HW, low=1e-3, high=float(truth[valid].max()))
    names = ("abs_rel_ppd", "delta0.5_ppd", "delta1_ppd", "delta2_ppd", "delta3_ppd")
    scores = image_metrics(depth, truth, valid, names=names)
    assert list(scores.values()) == pytest.approx(golden[f"{case}.metrics"], rel=1e-5, abs=1e-5)
    assert aligned.notes["fallback"] == (case == "negative_slope")


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_identity_scores_perfectly(name):
    prediction = TO_SPACE[ALIGNMENTS[name].space](TRUTH)
    scores = image_metrics(
        align(name, prediction).depth_HW, TRUTH, VALID, names=("abs_rel", "delta1", "rmse_log")
    )
    assert scores["abs_rel"] < 1e-5 and scores["delta1"] == 1 and scores["rmse_log"] < 1e-5


@pytest.mark.parametrize("name", sorted(set(ALIGNMENTS) - {"none"}))
def test_a_free_scale_and_shift_change_nothing(name):
    prediction = TO_SPACE[ALIGNMENTS[name].space](TRUTH * np.exp(0.2 * RNG.random(TRUTH.shape)))
    shift = 0.0 if name in SCALE_ONLY else 0.7
    first, second = align(name, prediction), align(name, 3.5 * prediction + shift)
    np.testing.assert_allclose(second.depth_HW, first.depth_HW, rtol=1e-6)
    assert second.scale == pytest.approx(first.scale / 3.5, rel=1e-6)


def test_none_is_not_invariant():
    assert np.array_equal(align("none", 2 * TRUTH).depth_HW, 2 * TRUTH)


@pytest.mark.parametrize("name", ["lstsq_depth", "l1_affine", "lstsq_log1p", "lstsq_log"])
def test_negative_scale_is_kept_and_noted(name):
    aligned = align(name, -TO_SPACE[ALIGNMENTS[name].space](TRUTH))
    np.testing.assert_allclose(aligned.depth_HW, TRUTH, rtol=1e-6)
    assert aligned.scale < 0 and aligned.notes["negative_scale"] == 1


@pytest.mark.parametrize("name", sorted(set(ALIGNMENTS) - set(SCALE_ONLY) - {"ransac_log1p"}))
def test_constant_prediction_is_noted_as_degenerate(name):
    aligned = align(name, np.full(TRUTH.shape, 0.5))
    assert aligned.notes["degenerate"] == 1
    assert np.ptp(aligned.depth_HW) == 0 and 0.5 < aligned.depth_HW[0, 0] < 9


def test_disparity_floors_differ_and_are_counted():
    disparity = 1 / TRUTH
    disparity[5] = -3
    moge = align("lstsq_disparity", disparity, variant="moge")
    assert moge.depth_HW.max() == pytest.approx(TRUTH[VALID].max())
    assert moge.notes["clipped_share"] > 0
    marigold = align("lstsq_disparity", disparity)
    assert marigold.depth_HW.max() == 1000
    assert marigold.notes["clipped_share"] == VALID[5].sum() / VALID.sum()


def test_truncation_and_samples_reach_the_l1_fits():
    prediction = TRUTH.copy()
    prediction[:22] = 10 * TRUTH[:22][:, ::-1]  # most pixels are rubbish
    plain = align("l1_scale", prediction, samples_hw=(8, 8))
    assert plain.notes["samples"] <= 64
    assert align("l1_scale", prediction, truncation=0.05).scale == pytest.approx(1)
    assert abs(align("l1_scale", prediction).scale - 1) > 0.1


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_nan_and_empty_masks_are_refused(name):
    prediction = np.where(VALID, TRUTH, np.nan)
    assert np.isfinite(align(name, prediction).depth_HW[VALID]).all()  # outside the mask: fine
    prediction[VALID.nonzero()[0][0], VALID.nonzero()[1][0]] = np.nan
    with pytest.raises(DataError, match="not finite"):
        align(name, prediction)
    with pytest.raises(DataError, match="no valid"):
        align(name, TRUTH, valid=VALID & False)


@pytest.mark.parametrize(
    "options",
    [
        {"variant": "other"},
        {"truncation": 0},
        {"max_depth": -1},
        {"samples_hw": (0, 64)},
        {"fit_resolution": 0},
        {"trials": 0},
    ],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ConfigError):
        AlignOptions(**options)


def test_conversions():
    depth = np.array([0.5, 2, 0, -1], np.float32)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(converted(depth, "none"), depth)
        np.testing.assert_array_equal(converted(depth, "disparity"), [2, 0.5, np.nan, np.nan])
        np.testing.assert_allclose(converted(depth[:2], "log1p"), np.log1p(depth[:2]), rtol=1e-6)
        np.testing.assert_allclose(converted(depth[:2], "log"), np.log(depth[:2]), rtol=1e-6)
    with pytest.raises(ConfigError):
        converted(depth, "inverse")


def test_caps():
    depth = np.array([np.nan, -1, 1e-9, 5, 20, np.inf])
    np.testing.assert_array_equal(
        cap_depth(depth, low=1e-3, high=10, replace_nan=True), [1e-3, 1e-3, 1e-3, 5, 10, 10]
    )
    capped = cap_depth(depth, high=10)
    assert np.isnan(capped[0]) and capped[1:].tolist() == [1e-6, 1e-6, 5, 10, 10]
    with pytest.raises(ConfigError):
        cap_depth(depth, low=2, high=1)


def test_table_says_what_it_accepts():
    assert find_alignment("lstsq_log1p").value_spaces == ("metric", "affine_log1p")
    assert [name for name, row in ALIGNMENTS.items() if row.random] == ["ransac_log1p"]
    assert set(ALIGNMENTS) == {
        *("none", "median_ratio", "ratio_of_medians", "lstsq_depth", "lstsq_disparity"),
        *("lstsq_disp_video", "l1_scale", "l1_affine", "ransac_log1p", "lstsq_log1p", "lstsq_log"),
    }
    with pytest.raises(ConfigError, match="lstsq_depth"):
        find_alignment("least_squares")
