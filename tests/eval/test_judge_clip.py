import numpy as np
import pytest
from mini_data import MiniData, TruthEstimator, mini_protocol

from nearfar.errors import ConfigError, DataError
from nearfar.eval.judge import judge
from nearfar.eval.judge_clip import judge_clip
from nearfar.eval.measures import CLIP_METRICS
from nearfar.eval.results import OK, SKIPPED

PROTOCOL = mini_protocol("vda-synthetic", "dataset.count=5", "mask.empty='skip'")


def verdicts(data, estimator, protocol=PROTOCOL, count=4):
    records = [data.record(i) for i in range(count)]
    return judge_clip(records, list(range(count)), protocol, estimator)


def test_one_frame_is_judged_as_an_image():
    data = MiniData()
    (clip,) = verdicts(data, TruthEstimator(), count=1)
    alone = judge(data.record(0), 0, PROTOCOL, TruthEstimator())
    assert {name: clip.row.values[name] for name in alone.row.values} == alone.row.values
    assert (clip.row.scale, clip.row.shift) == (alone.row.scale, alone.row.shift)
    assert clip.row.sample_id == alone.row.sample_id


def test_all_frames_share_the_fit_and_are_scored_alone():
    def each_its_own(depth):
        return 0.5 * np.log1p(depth) - 0.2 + 0.02 * (depth[12, 16] > 1.65)

    found = verdicts(MiniData(), TruthEstimator(formula=each_its_own))
    assert len({(v.row.scale, v.row.shift) for v in found}) == 1
    errors = [v.row.values["abs_rel"] for v in found]
    assert all(0 < error < 0.1 for error in errors) and len(set(errors)) == 4
    assert all(v.preview is not None for v in found)


def test_metrics_of_the_clip_stand_in_the_row_of_its_first_scored_frame():
    def breathing(depth):
        return 0.5 * np.log1p(depth) - 0.2 + 0.02 * (depth[12, 16] > 1.65)

    found = verdicts(MiniData(empty=(0,)), TruthEstimator(formula=breathing))
    whole = [v.row.values.keys() & CLIP_METRICS for v in found]
    assert whole == [set(), set(CLIP_METRICS), set(), set()]
    values = found[1].row.values
    assert values["flicker"] > 0.01 and values["tae"] > 0.1 and values["opw"] > 0
    steady = verdicts(MiniData(empty=(0,)), TruthEstimator())[1].row
    assert steady.values["flicker"] < 1e-5 and 0 < steady.notes["static_share"] < 1
    frames = verdicts(
        MiniData(), TruthEstimator(), mini_protocol("vda-synthetic", "metrics=['rmse']")
    )
    assert all(v.row.values.keys() == {"rmse"} for v in frames)


def test_frames_without_truth_are_neither_fitted_nor_scored():
    found = verdicts(MiniData(empty=(1,)), TruthEstimator())
    assert [v.row.status for v in found] == [OK, SKIPPED, OK, OK]
    assert found[0].row.values["abs_rel"] < 1e-5
    nothing = verdicts(MiniData(empty=(0, 1, 2, 3)), TruthEstimator())
    assert {v.row.status for v in nothing} == {SKIPPED}


def test_an_estimator_of_clips_sees_all_frames_at_once():
    class Whole(TruthEstimator):
        seen = 0

        def estimate_clip(self, frames):
            frames = list(frames)
            self.seen = len(frames)
            yield from (self.estimate(frame) for frame in frames)

    estimator = Whole()
    assert verdicts(MiniData(), estimator)[3].row.values["abs_rel"] < 1e-5
    assert estimator.seen == 4


def test_a_frame_takes_its_share_of_the_time_of_its_clip():
    """The first frame of a window waits for all of it: a median over frames would say nothing."""

    class Windowed(TruthEstimator):
        def estimate_clip(self, frames):
            for i, frame in enumerate(frames):
                yield self.estimate(frame)._replace(seconds=8.0 if i == 0 else 0.02)

    found = verdicts(MiniData(), Windowed())
    assert [v.row.seconds for v in found] == pytest.approx([(8 + 3 * 0.02) / 4] * 4)
    assert [v.row.seconds for v in verdicts(MiniData(), TruthEstimator())] == [0.25] * 4


def test_faults_name_the_clip():
    broken = TruthEstimator(formula=lambda d: d * np.nan)
    with pytest.raises(DataError, match="mini/0"):
        verdicts(MiniData(), broken)
    with pytest.raises(ConfigError, match="no test-time averaging"):
        verdicts(
            MiniData(), TruthEstimator(), mini_protocol("vda-synthetic", "inference.tta='flip'")
        )
