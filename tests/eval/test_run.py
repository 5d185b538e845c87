"""Runs from the first sample to the result: resume, shares, subsets, refusals."""

import shutil

import numpy as np
import pytest
from mini_dar import estimator_of, micro_model
from mini_data import FORMULAS, MiniData, Noisy, TruthEstimator, mini_protocol
from mini_layouts import LAYOUTS, opened

from nearfar.data.catalog import open_dataset
from nearfar.errors import ConfigError, DataError
from nearfar.eval.measures import CLIP_METRICS
from nearfar.eval.predictions import Estimate
from nearfar.eval.protocol import load_protocol, protocol_ids
from nearfar.eval.results import load_preview, load_result, preview_path, read_table
from nearfar.eval.run import RunPlan, require_measurable, run_protocol, select


def run(folder, *, data=None, estimator=None, protocol=None, **plan):
    return run_protocol(
        protocol or mini_protocol("real-folder"),
        data or MiniData(),
        estimator or Noisy(0.05),
        folder=folder,
        plan=RunPlan(settings={"seed": 0}, **plan),
    )


class KilledAt(Noisy):
    """Ends the run before its n-th photo, as Ctrl-C would."""

    def __init__(self, photos):
        super().__init__(0.05)
        self.photos = photos

    def estimate(self, rgb_HW3):
        if len(self.calls) == self.photos:
            raise KeyboardInterrupt
        return super().estimate(rgb_HW3)


class Counted:
    def __init__(self):
        self.worked = []

    def say(self, text):
        raise AssertionError(text)

    def advance(self, *, worked=True):
        self.worked.append(worked)


def test_a_run_leaves_table_pictures_and_result(tmp_path):
    result = load_result(run(tmp_path / "run", data=MiniData(5, empty=(3,))))
    table = read_table(tmp_path / "run" / "samples.csv")
    assert [row.index for row in table.rows] == [0, 1, 2, 3, 4]
    assert load_preview(preview_path(tmp_path / "run", 4)) is not None
    assert load_preview(preview_path(tmp_path / "run", 3)) is None
    data = result.dataset
    assert (data["listed"], data["evaluated"], data["skipped"]) == (5, 4, 1)
    assert data["skipped_samples"][0]["id"] == "mini/1/3"
    assert result.comparable and result.protocol["hash"] == mini_protocol("real-folder").hash
    assert result.metrics["abs_rel"].n == 4 and 0 < result.metrics["abs_rel"].mean < 0.5
    assert result.timing["seconds_median"] == 0.25 and result.timing["peak_rss_mb"] > 10
    assert {"version", "git_commit", "dirty", "packages", "command"} <= set(result.tool)
    assert {"processor", "threads", "device", "dtype"} <= set(result.machine)
    assert set(result.subsets) == {"scene", "place", "range"} or "scene" in result.subsets


def test_resume_after_a_kill_gives_the_same_result(tmp_path):
    whole = load_result(run(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "part", estimator=KilledAt(2))
    table = tmp_path / "part" / "samples.csv"
    table.write_text(table.read_text() + "2,mini/1/2,half a li")
    estimator, progress = Noisy(0.05), Counted()
    path = run_protocol(
        mini_protocol("real-folder"),
        MiniData(),
        estimator,
        folder=tmp_path / "part",
        plan=RunPlan(settings={"seed": 0}, resume=True),
        progress=progress,
    )
    assert estimator.calls == [2, 3, 4] and progress.worked == [False] * 2 + [True] * 3
    resumed = load_result(path)
    assert (resumed.metrics, resumed.csv_sha256) == (whole.metrics, whole.csv_sha256)


def test_resume_checks_that_finished_samples_are_unchanged(tmp_path):
    run(tmp_path)

    class Changed(MiniData):
        def record(self, index):
            record = super().record(index)
            record.depth_HW[5, 5] += index == 3
            return record

    with pytest.raises(DataError, match=r"mini/1/3.*has changed"):
        run(tmp_path, data=Changed(), resume=True)


def test_other_settings_do_not_resume(tmp_path):
    run(tmp_path)
    with pytest.raises(ConfigError, match="--resume or another"):
        run(tmp_path)
    with pytest.raises(ConfigError, match=r"model.name = 'truth', now it is 'other'"):
        run(tmp_path, estimator=Noisy(0.05, name="other"), resume=True)
    with pytest.raises(ConfigError, match="dataset"):
        run(tmp_path, limit=2, resume=True)


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_and_give_bit_equal_numbers(tmp_path, world):
    alone = load_result(run(tmp_path / "alone"))
    done = [run(tmp_path / "all", share=(rank, world)) for rank in reversed(range(world))]
    assert done[:-1] == [None] * (world - 1)
    together = load_result(done[-1])
    assert together.metrics == alone.metrics and together.subsets == alone.subsets
    assert together.degenerate == alone.degenerate
    # the tables are equal but for nothing: seconds are those of the estimator
    assert together.csv_sha256 == alone.csv_sha256


def test_a_killed_share_goes_on(tmp_path):
    assert run(tmp_path, share=(1, 2)) is None
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, share=(0, 2), estimator=KilledAt(1))
    with pytest.raises(ConfigError, match="--resume"):
        run(tmp_path, share=(0, 2))
    assert run(tmp_path, share=(0, 2), resume=True) is not None


def test_order_of_samples_changes_no_row(tmp_path):
    class Reversed(MiniData):
        @property
        def sample_ids(self):
            return list(reversed(super().sample_ids))

        def record(self, index):
            return MiniData.record(MiniData(self.count), self.count - 1 - index)

    forward, backward = run(tmp_path / "a"), run(tmp_path / "b", data=Reversed())
    a, b = (load_result(p).metrics["abs_rel"].mean for p in (forward, backward))
    assert a == pytest.approx(b, rel=1e-12)


def test_subsets_and_custom_protocols_are_not_comparable(tmp_path):
    part = load_result(run(tmp_path / "a", limit=3))
    assert not part.comparable and "subset: the first 3 of 5" in part.remarks[0]
    from nearfar.eval.protocol import override

    custom = override(mini_protocol("real-folder"), ["mask.max=5.0"])
    result = load_result(run(tmp_path / "b", protocol=custom))
    assert not result.comparable and "custom" in result.remarks[0]
    assert result.title.startswith("custom-real-folder@1#")


def test_a_wrong_count_or_list_fails():
    protocol = load_protocol("marigold-scannet")
    with pytest.raises(DataError, match="5 samples, marigold-scannet expects 800"):
        select(protocol, MiniData().sample_ids, None)
    with pytest.raises(DataError, match="give the list nyuv2_labeled_test with --list"):
        select(load_protocol("ppd-nyuv2"), MiniData().sample_ids, None)
    with pytest.raises(DataError, match="same id"):
        select(mini_protocol("real-folder"), ["a", "a"], None)
    with pytest.raises(DataError, match="no samples"):
        select(mini_protocol("real-folder"), [], None)


def test_a_foreign_fingerprint_fails(tmp_path):
    protocol = mini_protocol("real-folder", "dataset.fingerprint=" + "a" * 64)
    with pytest.raises(DataError, match="fingerprint bbbb"):
        run(tmp_path, protocol=protocol, dataset={"fingerprint": "bbbb" * 16})


def test_frames_of_clips_are_chosen_by_first_and_stride():
    ids = [f"bonn/{clip}/{frame}" for clip in "ab" for frame in range(10)]
    protocol = mini_protocol("perframe-bonn", "video.first=1", "video.stride=3", "video.frames=2")
    assert select(protocol, ids, None) == [1, 4, 11, 14]
    assert select(protocol, ids, 3) == [1, 4, 11]


def test_frames_of_clips_run_for_image_models(tmp_path):
    protocol = mini_protocol("perframe-bonn")
    result = load_result(run(tmp_path, protocol=protocol, estimator=TruthEstimator()))
    assert result.protocol["scope"] == "image" and result.metrics["abs_rel"].mean < 1e-5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("opw", "opw follows an optical flow that is not in nearfar"),
        ("moge-affine", "Name one: moge-affine-nyuv2"),
    ],
)
def test_what_cannot_run_yet_says_so(name, message):
    with pytest.raises(ConfigError, match=message):
        require_measurable(load_protocol(name))


def test_a_clip_has_one_fit_and_goes_on_where_it_was_killed(tmp_path):
    """Clips of two frames; rows of a clip that was cut off are filled in, none is doubled."""
    protocol = mini_protocol("vda-synthetic", "dataset.count=5")

    class Drifts(TruthEstimator):
        """Every second frame has another scale: one fit per clip cannot take it away."""

        def estimate(self, rgb_HW3):
            found = super().estimate(rgb_HW3)
            return found._replace(map_HW=found.map_HW * (1 + 0.1 * (rgb_HW3[0, 0, 0] % 2)))

    steady = load_result(run(tmp_path / "a", protocol=protocol, estimator=TruthEstimator()))
    assert steady.protocol["scope"] == "clip" and steady.metrics["abs_rel"].mean < 1e-5
    whole = run(tmp_path / "b", protocol=protocol, estimator=Drifts())
    assert load_result(whole).metrics["abs_rel"].mean > 0.01
    rows = read_table(whole.parent / "samples.csv").rows
    assert [row.index for row in rows] == list(range(5))
    assert rows[0].scale == rows[1].scale != rows[2].scale == rows[3].scale
    changes = ("dataset.count=5", "alignment.scope='image'", "metrics=['abs_rel']")
    image = mini_protocol("vda-synthetic", *changes)
    apart = load_result(run(tmp_path / "c", protocol=image, estimator=Drifts()))
    assert apart.metrics["abs_rel"].mean < 1e-5
    table = whole.parent / "samples.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:-2]))  # the last frame of clip 1 and clip 2 are missing
    whole.unlink()
    estimator = Drifts()
    resumed = run(tmp_path / "b", protocol=protocol, estimator=estimator, resume=True)
    assert len(estimator.calls) == 3
    again = read_table(resumed.parent / "samples.csv").rows
    assert [row.index for row in again] == list(range(5))
    for row, before in zip(again, rows):  # the last clip has one frame and no motion: NaN
        np.testing.assert_equal(dict(row.values), dict(before.values))
    flicker = load_result(resumed).metrics["flicker"]
    assert (flicker.n, load_result(resumed).degenerate["undefined_flicker"]) == (2, 1)
    assert flicker.mean > load_result(tmp_path / "a").metrics["flicker"].mean + 0.01


def test_metrics_of_clips_want_one_fit_for_the_clip_and_poses(tmp_path):
    image = mini_protocol("vda-synthetic", "dataset.count=5", "alignment.scope='image'")
    with pytest.raises(ConfigError, match="tae is of whole clips; alignment.scope must be clip"):
        require_measurable(image)
    protocol, _ = opened("tae-scannet", tmp_path / "data")
    data = open_dataset("scannet", tmp_path / "data")
    with pytest.raises(DataError, match="scene0000_00/000020: has no pose"):
        run_protocol(protocol, data, Slope("metric"), folder=tmp_path / "a", plan=RunPlan())
    last = LastClip(data)
    path = run_protocol(protocol, last, Slope("metric"), folder=tmp_path / "b", plan=RunPlan())
    summary = load_result(path).metrics["tae"]
    assert summary.n == 1 and 0 < summary.mean < 100


class LastClip:
    """The second clip of a data set of two, two frames each."""

    def __init__(self, data):
        self._data = data
        self.sample_ids = data.sample_ids[2:]

    def record(self, index):
        return self._data.record(index + 2)


def test_shares_of_clips_are_whole_clips(tmp_path):
    protocol = mini_protocol("vda-synthetic", "dataset.count=5")
    estimators = [TruthEstimator(), TruthEstimator()]
    for rank, estimator in enumerate(estimators):
        plan = RunPlan(share=(rank, 2))
        done = run_protocol(protocol, MiniData(), estimator, folder=tmp_path, plan=plan)
    assert [len(estimator.calls) for estimator in estimators] == [3, 2]
    assert load_result(done).metrics["abs_rel"].n == 5


class Slope(TruthEstimator):
    """A floor seen from above, whatever the photo, in any value space; with the sky unsaid."""

    def estimate(self, rgb_HW3):
        rows, columns = np.mgrid[0 : rgb_HW3.shape[0], 0 : rgb_HW3.shape[1]]
        depth = 5.0 - 3 * rows / rgb_HW3.shape[0] + 0.01 * columns / rgb_HW3.shape[1]
        return Estimate(FORMULAS[self.value_space](depth), self.value_space, None, None, 60.0, 0.1)


@pytest.mark.parametrize("name", protocol_ids())
def test_every_protocol_runs_on_the_layout_of_its_data(name, tmp_path):
    """From files to result.json, each once; what needs an optical flow says so."""
    if name not in LAYOUTS:
        protocol = load_protocol(name)
        assert protocol.kind == "video" and protocol.alignment.scope != "image"
        with pytest.raises(ConfigError, match="an optical flow that is not in nearfar"):
            require_measurable(protocol)
        return
    protocol, data = opened(name, tmp_path / "data")
    value_space = next(iter(protocol.prediction.accepts))
    plan = RunPlan(limit=1)
    path = run_protocol(protocol, data, Slope(value_space), folder=tmp_path / "run", plan=plan)
    (row,) = read_table(path.parent / "samples.csv").rows
    assert row.status == "ok" and set(protocol.metrics) == set(row.values)
    assert row.n_valid > 0 or not protocol.mask.terms
    absent = ("pe_", "dbe_", "edge_", "flying")  # no plane or edge in a flat picture
    for metric, value in row.values.items():  # one frame is no clip yet
        assert np.isfinite(value) or metric.startswith(absent) or metric in CLIP_METRICS, metric
    assert load_result(path).protocol["hash"] == protocol.hash


def test_what_fails_leaves_what_was_done(tmp_path):
    class Breaks(TruthEstimator):
        def estimate(self, rgb_HW3):
            found = super().estimate(rgb_HW3)
            return found._replace(
                map_HW=found.map_HW * (1 if len(self.calls) < 3 else float("nan"))
            )

    with pytest.raises(DataError, match="not finite"):
        run(tmp_path, estimator=Breaks())
    assert len(read_table(tmp_path / "samples.csv").rows) == 2
    assert not (tmp_path / "result.json").exists()
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("name", ["dar-nyu", "dar-kitti", "dar-kitti-eigen", "dar-sunrgbd"])
def test_dars_protocols_average_what_the_network_says(name, tmp_path):
    """A DAR network from files to result.json: flips and windows by hand give the same numbers."""
    protocol, data = opened(name, tmp_path / "data")
    model = micro_model()
    estimator = estimator_of(model, protocol)
    path = run_protocol(protocol, data, estimator, folder=tmp_path / "run", plan=RunPlan(limit=1))
    (row,) = read_table(path.parent / "samples.csv").rows

    record = data.record(0)
    rgb = record.rgb_HW3
    truth = np.where(record.valid_HW, record.depth_HW, 0)
    asked = [rgb]
    if "kitti" in name:
        top, left = rgb.shape[0] - 352, (rgb.shape[1] - 1216) // 2
        rgb, truth = (a[top:, left : left + 1216] for a in (rgb, truth))
        asked = [rgb[:, :640], rgb[:, 576:]]
    if name != "dar-sunrgbd":
        asked = [*asked, *(photo[:, ::-1] for photo in asked)]
    assert {photo.tobytes() for photo in model.photos} == {photo.tobytes() for photo in asked}
    assert len(model.photos) == len(asked)

    def depth(photo):
        return model.predict(np.ascontiguousarray(photo), metric=True).depth.astype(np.float64)

    def flipped(photo):
        if name == "dar-sunrgbd":
            return depth(photo)
        return (depth(photo) + depth(photo[:, ::-1])[:, ::-1]) / 2

    found = flipped(rgb) if "kitti" not in name else np.zeros(truth.shape)
    if "kitti" in name:
        weight = np.concatenate([np.ones(576), np.linspace(1, 0, 64), np.zeros(576)])
        found[:, :640] += weight[:640] * flipped(rgb[:, :640])
        found[:, 576:] += (1 - weight[576:]) * flipped(rgb[:, 576:])
    boxes = {
        "dar-nyu": np.s_[45:471, 41:601],
        "dar-kitti": np.s_[143:349, 43:1172],
        "dar-kitti-eigen": np.s_[117:321, 43:1172],
    }
    high = {"dar-nyu": 10.0, "dar-sunrgbd": 8.0}.get(name, 80.0)
    inside = np.zeros(truth.shape, bool)
    inside[boxes.get(name, np.s_[:])] = True
    scored = inside & (truth > 1e-3) & (truth < high)
    p, g = np.clip(found[scored], 1e-3, high), truth[scored].astype(np.float64)
    assert row.n_valid == scored.sum() > 0
    assert row.values["abs_rel"] == pytest.approx(np.mean(np.abs(p - g) / g), rel=1e-6)
    assert row.values["rmse"] == pytest.approx(np.sqrt(np.mean((p - g) ** 2)), rel=1e-6)
    delta = np.log(p) - np.log(g)
    assert row.values["silog"] == pytest.approx(100 * delta.std(), rel=1e-5, abs=1e-4)
    result = load_result(path)
    assert result.model["name"] == "dar-micro" and "silog" in result.metrics
