"""One image through protocols: identity, invariance, refusals, notes, uncertainty, previews."""

from pathlib import Path

import numpy as np
import pytest
from mini_data import FORMULAS, MiniData, TruthEstimator, mini_protocol, truth

from nearfar.errors import ConfigError, DataError
from nearfar.eval.judge import (
    blend_windows,
    flip_average,
    judge,
    split_windows,
    table_columns,
)
from nearfar.eval.measures import CLIP_METRICS, UNCERTAINTY
from nearfar.eval.results import OK, SKIPPED

DAR = dict(np.load(Path(__file__).parents[1] / "golden" / "eval" / "dar_metrics.npz"))


def test_blend_is_dars():
    out = blend_windows(DAR["blend.left"], DAR["blend.right"])
    np.testing.assert_allclose(out, DAR["blend.out"], rtol=1e-5)


@pytest.mark.parametrize(("window", "width"), [(640, 1216), (8, 16), (8, 8)])
def test_windows_of_one_map_blend_back_to_it(window, width):
    whole = np.random.default_rng(0).random((3, width))
    windows = split_windows(whole, window=window)
    assert windows.left.shape == windows.right.shape == (3, window)
    np.testing.assert_allclose(blend_windows(*windows, width=width), whole)


def test_windows_that_leave_a_gap_are_refused():
    with pytest.raises(ConfigError):
        split_windows(np.zeros((3, 1300)))
    with pytest.raises(ConfigError):
        blend_windows(np.zeros((3, 8)), np.zeros((3, 8)), width=20)


def test_flip_average_mirrors_the_second_map():
    first, second = np.array([[1.0, 2, 3]]), np.array([[5.0, 4, 3]])
    assert flip_average(first, second).tolist() == [[2, 3, 4]]
    assert np.array_equal(flip_average(first, first[:, ::-1]), first)
    with pytest.raises(ConfigError):
        flip_average(first, second[:, :2])


# protocol -> (a value space it accepts, the metric that must be 0, tolerance)
IDENTITY = {
    "marigold-scannet": ("affine_depth", "abs_rel", 1e-5),
    "marigold-scannet-disp": ("affine_disparity", "abs_rel", 1e-5),
    "marigold-diode": ("scale", "abs_rel", 1e-5),
    "ppd-scannet": ("affine_log1p", "abs_rel_ppd", 2e-5),
    "ppd-diode": ("metric", "abs_rel_ppd", 2e-5),
    "depthart-ibims": ("scale", "abs_rel", 1e-5),
    "depthpro-metric-sintel": ("metric", "abs_rel", 1e-5),
    "real-folder": ("affine_log1p", "rmse", 1e-5),
    "synthetic": ("metric", "abs_rel", 1e-5),
}


def judged(name, estimator, *changes, data=None, index=1):
    data = data or MiniData()
    (result,) = judge([data.record(index)], [index], mini_protocol(name, *changes), estimator)
    return result


@pytest.mark.parametrize("name", IDENTITY)
def test_the_truth_in_any_value_space_scores_perfectly(name):
    value_space, metric, tolerance = IDENTITY[name]
    # at the photo's own size: resizing is tested in test_prepare
    native = ("image.resize=none", "truth.resize=none")
    row = judged(name, TruthEstimator(value_space, FORMULAS[value_space]), *native).row
    assert abs(row.values[metric]) < tolerance
    assert row.values.get("delta1", row.values.get("delta1_ppd", 1.0)) == 1
    assert row.notes["negative_scale"] == 0 and row.notes["nonpositive_share"] == 0


def test_edges_of_the_truth_score_perfectly():
    values = judged("synthetic", TruthEstimator()).row.values
    assert values["boundary_f1_masked"] == pytest.approx(1)
    assert values["edge_chamfer_m"] < 1e-5 and values["flying_rate"] == 0


def test_an_affine_change_changes_nothing():
    def scored(formula):
        noise = np.random.default_rng(3).normal(size=(24, 32)) * 0.1
        one = TruthEstimator("affine_log1p", lambda d: formula(np.log1p(d) + noise))
        return judged("real-folder", one).row.values

    plain, moved = scored(lambda p: p), scored(lambda p: 7 * p - 3)
    assert plain == pytest.approx(moved, rel=1e-9) and plain["abs_rel"] > 0.01


def test_value_spaces_not_accepted_are_refused():
    one = TruthEstimator("affine_disparity", FORMULAS["affine_disparity"])
    with pytest.raises(ConfigError, match="affine_disparity"):
        judged("real-folder", one)


def test_a_falling_prediction_keeps_its_negative_slope_and_is_counted():
    row = judged("real-folder", TruthEstimator("affine_log1p", lambda d: -np.log1p(d))).row
    assert row.notes["negative_scale"] == 1 and row.values["abs_rel"] < 1e-6
    flat = judged("real-folder", TruthEstimator("affine_log1p", np.zeros_like)).row
    assert flat.notes["degenerate"] == 1


def test_what_is_not_finite_fails_the_run():
    with pytest.raises(DataError, match=r"mini/0/1.*not finite in 768"):
        judged("real-folder", TruthEstimator("affine_log1p", lambda d: d * np.nan))


def test_sky_of_the_prediction_counts_as_its_farthest_depth():
    class WithSky(TruthEstimator):
        def estimate(self, rgb_HW3):
            found = super().estimate(rgb_HW3)
            sky = np.zeros(found.map_HW.shape, bool)
            sky[:3] = True
            return found._replace(map_HW=np.where(sky, np.nan, found.map_HW), sky_HW=sky)

    row = judged("real-folder", WithSky()).row
    assert row.notes["sky_share"] == pytest.approx(3 / 24)
    assert 0 < row.values["abs_rel"] < 0.2
    with pytest.raises(DataError, match="not finite"):
        judged("real-folder", WithSky(), "prediction.sky=fail")


def test_dar_puts_nan_at_its_least_and_infinity_at_its_largest_depth():
    """The released code does so inside the mask; everywhere else such a map ends the run."""

    class Broken(TruthEstimator):
        def estimate(self, rgb_HW3):
            found = super().estimate(rgb_HW3)
            map_HW = found.map_HW.copy()
            map_HW[12, 20], map_HW[12, 22], map_HW[12, 24] = np.nan, np.inf, -np.inf
            return found._replace(map_HW=map_HW)

    inside = ("mask.terms=['file', 'range']", "image.crop=none", "truth.crop=none")
    off = (*inside, "inference.tta=none")
    data = MiniData()
    for name, high in (("dar-nyu", 10.0), ("dar-kitti", 80.0), ("dar-sunrgbd", 8.0)):
        row = judged(name, Broken("metric", lambda d: d), *off, data=data).row
        g = truth(1).astype(np.float64)
        errors = [(g[12, 20] - 1e-3) / g[12, 20], (high - g[12, 22]) / g[12, 22]]
        errors.append((g[12, 24] - 1e-3) / g[12, 24])
        assert row.values["abs_rel"] == pytest.approx(sum(errors) / row.n_valid, rel=1e-6)
        assert row.notes["nonfinite_share"] == pytest.approx(3 / g.size)
    # averaged with its mirror image, a pixel with one NaN is NaN, and then the least depth
    row = judged("dar-nyu", Broken("metric", lambda d: d), *inside, data=data).row
    assert row.notes["nonfinite_share"] == pytest.approx(6 / g.size)
    with pytest.raises(DataError, match="not finite in 3 pixels"):
        judged("eigen-metric-nyu", Broken("metric", lambda d: d), *inside)
    with pytest.raises(ConfigError, match="needs metric maps and caps"):
        mini_protocol("marigold-nyuv2", "prediction.sky='farthest, else caps'")


def test_other_sizes_are_resized_as_stated():
    class Half(TruthEstimator):
        def estimate(self, rgb_HW3):
            found = super().estimate(rgb_HW3)
            return found._replace(map_HW=found.map_HW[:, : rgb_HW3.shape[1] // 2])

    with pytest.raises(DataError, match="for a photo of"):
        judged("real-folder", Half())
    data = MiniData(size_hw=(48, 64))
    small = ("image.resize=long_side", "image.size=[32]", "image.interpolation=area")
    with pytest.raises(DataError, match="nothing is resized"):
        judged("real-folder", TruthEstimator(), *small, data=data)


def test_flip_and_windows_average():
    def calls(name, size_hw):
        class Seen(TruthEstimator):
            def estimate(self, rgb_HW3):
                self.calls.append(rgb_HW3.shape)
                depth = rgb_HW3[..., 1].astype(np.float64) / 30
                return super().estimate(rgb_HW3)._replace(map_HW=np.maximum(depth, 0.1))

        one = Seen("metric", lambda d: d)
        row = judged(name, one, "mask.terms=['file', 'range']", data=MiniData(size_hw=size_hw)).row
        return [c for c in one.calls if isinstance(c, tuple)], row

    shapes, row = calls("dar-nyu", (24, 32))
    assert len(shapes) == 2 and row.values["abs_rel"] < 0.02 and row.seconds == 0.5
    shapes, row = calls("dar-kitti", (352, 1216))
    assert shapes == [(352, 640, 3)] * 4 and row.values["abs_rel"] < 0.02


def test_images_without_a_pixel_are_skipped_or_fail():
    data = MiniData(empty=(1,))
    row = judged("real-folder", TruthEstimator(), data=data).row
    assert row.status == SKIPPED and "0 scored pixels" in row.reason
    with pytest.raises(DataError, match="expects no such image"):
        judged("synthetic", TruthEstimator(), data=data)
    few = judged("synthetic", TruthEstimator(), "expected_skips=['mini/0/1']", data=data)
    assert few.row.status == SKIPPED


def test_ransac_draws_by_seed_and_place_alone():
    def scale(index, *changes):
        one = TruthEstimator("affine_log1p", lambda d: np.log1p(d) + 0.3 * np.sin(40 * d))
        data = MiniData()
        protocol = mini_protocol("ppd-scannet", *changes)
        return judge([data.record(1)], [index], protocol, one)[0].row.scale

    assert scale(1) == scale(1)
    assert len({scale(1), scale(2), scale(1, "alignment.seed=9")}) == 3


def test_uncertainty_is_carried_to_metres():
    error = np.linspace(-0.1, 0.1, 24 * 32).reshape(24, 32)
    one = TruthEstimator(
        "metric", lambda d: d * (1 + error), sigma=lambda d: np.abs(error) * d + 1e-3
    )
    result = judged("eigen-metric-nyu", one, "mask.terms=['file', 'range']", "inference.tta=none")
    values = result.row.values
    assert values["coverage_95"] == 1 and values["spearman"] > 0.9
    assert values["aurg_abs_rel"] > 0 and values["ause_abs_rel"] < 0.01
    assert result.preview.risk_101.shape == (101,) and result.preview.uncertainty is not None
    metrics, _ = table_columns(mini_protocol("eigen-metric-nyu"), uncertainty=True)
    assert list(values) == metrics


class SkyWithoutSigma(TruthEstimator):
    """An ensemble of a model that calls the upper rows sky: neither depth nor spread there."""

    rows = 3

    def estimate(self, rgb_HW3):
        found = super().estimate(rgb_HW3)
        sky = np.zeros(found.map_HW.shape, bool)
        sky[: self.rows] = True
        maps = (np.where(sky, np.nan, a) for a in (found.map_HW, found.uncertainty_HW))
        return found._replace(**dict(zip(("map_HW", "uncertainty_HW"), maps)), sky_HW=sky)


def test_sky_has_no_part_in_uncertainty_scores():
    one = SkyWithoutSigma("affine_log1p", FORMULAS["affine_log1p"], sigma=lambda d: 0.01 * d)
    result = judged("synthetic", one)
    row = result.row
    scored = 24 * 32 - 6
    assert row.notes["no_sigma_share"] == pytest.approx((3 * 32 - 6) / scored)
    assert all(np.isfinite(row.values[name]) for name in UNCERTAINTY)
    assert np.isfinite(result.preview.risk_101).all()
    assert np.isnan(result.preview.uncertainty[:3]).all()
    assert "no_sigma_share" in table_columns(mini_protocol("synthetic"), uncertainty=True)[1]
    one.rows = 24 - 1  # all but one row: scores of what is left; then nothing but sky is scored
    assert np.isfinite(judged("synthetic", one).row.values["coverage_50"])
    row = judged("synthetic", one, "mask.max=2.0").row
    assert np.isnan(row.values["coverage_50"]) and row.notes["no_sigma_share"] == 1


def test_sigma_stated_for_sky_is_dropped():
    """Where the map says nothing, a spread of any size is NaN, as in a preview and a table."""

    class Bold(SkyWithoutSigma):
        def estimate(self, rgb_HW3):
            found = super().estimate(rgb_HW3)
            return found._replace(uncertainty_HW=np.full(found.map_HW.shape, 0.1))

    result = judged("synthetic", Bold(sigma=lambda d: d))
    assert result.row.notes["no_sigma_share"] == pytest.approx((3 * 32 - 6) / (24 * 32 - 6))
    assert np.isnan(result.preview.uncertainty[:3]).all()


def test_sigma_must_be_finite_where_there_is_depth():
    one = TruthEstimator(sigma=lambda d: np.where(d > 2, 0.1, np.nan))
    with pytest.raises(DataError, match=r"mini/0/1: uncertainty: is not finite in \d+ pixels"):
        judged("synthetic", one)


def test_previews_are_small_and_true():
    data = MiniData(size_hw=(60, 400))
    preview = judged("real-folder", TruthEstimator(), data=data).preview
    assert preview.rgb.shape == (29, 192, 3) and preview.rgb.dtype == np.uint8
    known = preview.valid & np.isfinite(preview.truth)
    np.testing.assert_allclose(preview.prediction[known], preview.truth[known], rtol=2e-3)
    assert np.isnan(preview.truth[~known]).all() and preview.uncertainty is None


def test_every_image_protocol_accepts_what_it_says():
    """A positive map of every accepted value space goes through each released image protocol."""
    from nearfar.eval.protocol import load_protocol, protocol_ids

    cheap = ("real-folder", "synthetic", "boundary-f1-masked", "eigen-metric-kitti", "dc-nyuv2")
    for name in protocol_ids():
        protocol = load_protocol(name)
        if protocol.kind != "image" or name not in cheap or protocol.table.get("sets"):
            continue
        for value_space in protocol.prediction.accepts:
            one = TruthEstimator(value_space, FORMULAS[value_space])
            plain = ("mask.terms=['file', 'range']", "image.crop=none", "truth.crop=none")
            row = judged(name, one, *plain).row
            assert all(np.isfinite(v) for v in row.values.values()), (name, value_space)


def test_truth_of_the_mini_room_has_a_step():
    depth = truth(0)
    assert depth.min() < 2 < 5 < depth.max()


PROTOCOL = mini_protocol("vda-synthetic", "dataset.count=5", "mask.empty='skip'")


def results(data, estimator, protocol=PROTOCOL, count=4):
    records = [data.record(i) for i in range(count)]
    return judge(records, list(range(count)), protocol, estimator)


def test_one_frame_is_judged_as_an_image():
    data = MiniData()
    (clip,) = results(data, TruthEstimator(), count=1)
    image = mini_protocol("vda-synthetic", "alignment.scope='image'", "metrics=['abs_rel', 'rmse']")
    (alone,) = results(data, TruthEstimator(), image, count=1)
    assert {name: clip.row.values[name] for name in alone.row.values} == alone.row.values
    assert (clip.row.scale, clip.row.shift) == (alone.row.scale, alone.row.shift)
    assert clip.row.sample_id == alone.row.sample_id


def test_all_frames_share_the_fit_and_are_scored_alone():
    def each_its_own(depth):
        return 0.5 * np.log1p(depth) - 0.2 + 0.02 * (depth[12, 16] > 1.65)

    found = results(MiniData(), TruthEstimator(formula=each_its_own))
    assert len({(v.row.scale, v.row.shift) for v in found}) == 1
    errors = [v.row.values["abs_rel"] for v in found]
    assert all(0 < error < 0.1 for error in errors) and len(set(errors)) == 4
    assert all(v.preview is not None for v in found)


def test_metrics_of_the_clip_stand_in_the_row_of_its_first_scored_frame():
    def breathing(depth):
        return 0.5 * np.log1p(depth) - 0.2 + 0.02 * (depth[12, 16] > 1.65)

    found = results(MiniData(empty=(0,)), TruthEstimator(formula=breathing))
    whole = [v.row.values.keys() & CLIP_METRICS for v in found]
    assert whole == [set(), set(CLIP_METRICS), set(), set()]
    values = found[1].row.values
    assert values["flicker"] > 0.01 and values["tae"] > 0.1 and values["opw"] > 0
    steady = results(MiniData(empty=(0,)), TruthEstimator())[1].row
    assert steady.values["flicker"] < 1e-5 and 0 < steady.notes["static_share"] < 1
    frames = results(
        MiniData(), TruthEstimator(), mini_protocol("vda-synthetic", "metrics=['rmse']")
    )
    assert all(v.row.values.keys() == {"rmse"} for v in frames)


def test_frames_without_truth_are_neither_fitted_nor_scored():
    found = results(MiniData(empty=(1,)), TruthEstimator())
    assert [v.row.status for v in found] == [OK, SKIPPED, OK, OK]
    assert found[0].row.values["abs_rel"] < 1e-5
    unasked = TruthEstimator()
    nothing = results(MiniData(empty=(0, 1, 2, 3)), unasked)
    assert {v.row.status for v in nothing} == {SKIPPED} and unasked.calls == []


def test_an_estimator_of_clips_sees_all_frames_at_once():
    class Whole(TruthEstimator):
        seen = 0

        def estimate_clip(self, frames):
            frames = list(frames)
            self.seen = len(frames)
            yield from (self.estimate(frame) for frame in frames)

    estimator = Whole()
    assert results(MiniData(), estimator)[3].row.values["abs_rel"] < 1e-5
    assert estimator.seen == 4


def test_a_frame_takes_its_share_of_the_time_of_its_clip():
    """The first frame of a window waits for all of it: a median over frames would say nothing."""

    class Windowed(TruthEstimator):
        def estimate_clip(self, frames):
            for i, frame in enumerate(frames):
                yield self.estimate(frame)._replace(seconds=8.0 if i == 0 else 0.02)

    found = results(MiniData(), Windowed())
    assert [v.row.seconds for v in found] == pytest.approx([(8 + 3 * 0.02) / 4] * 4)
    assert [v.row.seconds for v in results(MiniData(), TruthEstimator())] == [0.25] * 4


def test_faults_name_the_clip():
    broken = TruthEstimator(formula=lambda d: d * np.nan)
    with pytest.raises(DataError, match="mini/0"):
        results(MiniData(), broken)
    with pytest.raises(ConfigError, match="no test-time averaging"):
        results(
            MiniData(), TruthEstimator(), mini_protocol("vda-synthetic", "inference.tta='flip'")
        )
