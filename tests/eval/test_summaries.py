import json
from pathlib import Path

import numpy as np
import pytest
from mini_data import MiniData, Noisy, TruthEstimator, mini_protocol

from nearfar.errors import ConfigError, DataError
from nearfar.eval import summaries as module
from nearfar.eval.protocol import AveragePart
from nearfar.eval.results import SKIPPED, SampleRow, SampleTable, load_result
from nearfar.eval.run import RunPlan, run_protocol
from nearfar.eval.summaries import (
    assemble,
    bootstrap_interval,
    column,
    difference,
    paired_difference,
    range_name,
    recompute,
    subsets,
    summaries,
)

GOLDEN = dict(np.load(Path(__file__).parents[1] / "golden" / "eval" / "own_boundary.npz"))
VALUES, OTHERS, SCENES = (GOLDEN[f"boot.{name}"] for name in ("values", "values_b", "scene"))


def rng(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def test_golden_interval():
    found = bootstrap_interval(VALUES, generator=rng(), resamples=2000)
    np.testing.assert_allclose([found.low, found.high], GOLDEN["boot.ci95"], rtol=1e-12)
    assert found.mean == pytest.approx(VALUES.mean())
    assert (found.level, found.resamples, found.values, found.units) == (0.95, 2000, 120, 120)
    assert not found.clustered


def test_golden_interval_of_scenes():
    found = bootstrap_interval(VALUES, generator=rng(), scenes=SCENES, resamples=2000)
    np.testing.assert_allclose([found.low, found.high], GOLDEN["boot.cluster_ci95"], rtol=1e-12)
    assert found.clustered and found.units == len(set(SCENES.tolist()))
    names = [f"scene_{scene:03d}" for scene in SCENES]
    assert bootstrap_interval(VALUES, generator=rng(), scenes=names, resamples=2000) == found


def test_golden_paired_difference():
    found = paired_difference(VALUES, OTHERS, generator=rng(), resamples=2000)
    np.testing.assert_allclose([found.low, found.high], GOLDEN["boot.paired_ci95"], rtol=1e-12)
    assert found.mean == pytest.approx(np.mean(OTHERS - VALUES)) and found.low > 0
    swapped = paired_difference(OTHERS, VALUES, generator=rng(), resamples=2000)
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))
    same = paired_difference(VALUES, VALUES, generator=rng(), resamples=50)
    assert same.mean == same.low == same.high == 0


def test_blocks_of_draws_do_not_change_the_numbers(monkeypatch):
    whole = bootstrap_interval(VALUES, generator=rng(), resamples=301)
    monkeypatch.setattr(module, "_DRAWS_AT_ONCE", 121 * 7)
    assert bootstrap_interval(VALUES, generator=rng(), resamples=301) == whole


def test_scenes_that_agree_inside_widen_the_interval():
    rows = np.repeat(rng(1).normal(size=12), 20)
    alone = bootstrap_interval(rows, generator=rng(), resamples=500)
    together = bootstrap_interval(
        rows, generator=rng(), scenes=np.repeat(range(12), 20), resamples=500
    )
    assert together.high - together.low > 3 * (alone.high - alone.low)


def test_intervals_hold_the_true_mean_about_as_often_as_they_say():
    hits = 0
    for trial in range(200):
        found = bootstrap_interval(rng(trial).normal(size=60), generator=rng(), resamples=300)
        hits += found.low <= 0 <= found.high
    assert 0.88 < hits / 200 < 0.98
    wide = bootstrap_interval(VALUES, generator=rng(), resamples=300, level=0.99)
    narrow = bootstrap_interval(VALUES, generator=rng(), resamples=300, level=0.5)
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


def test_one_value_has_no_width():
    found = bootstrap_interval(np.array([0.3]), generator=rng(), resamples=10)
    assert found.low == found.high == found.mean


def test_unusable_input_is_refused():
    with pytest.raises(DataError, match="1 of 2 values are not finite"):
        bootstrap_interval(np.array([1.0, np.nan]), generator=rng())
    with pytest.raises(DataError, match="list of numbers"):
        bootstrap_interval(np.array([]), generator=rng())
    with pytest.raises(DataError, match="119 scene ids"):
        bootstrap_interval(VALUES, generator=rng(), scenes=SCENES[1:])
    with pytest.raises(DataError, match="120 values against 119"):
        paired_difference(VALUES, VALUES[1:], generator=rng())
    with pytest.raises(ConfigError, match="level 1"):
        bootstrap_interval(VALUES, generator=rng(), level=1.0)


IMAGES = AveragePart(over="images", weights={})
SCENES_SUMMARIES = AveragePart(over="scenes", weights={})
PLANES = AveragePart(over="images", weights={"m": "planes"})


def rows(values, scenes, **notes):
    return tuple(
        SampleRow(
            index=i,
            sample_id=str(i),
            scene=str(s),
            place="indoor" if i % 2 else "outdoor",
            values={"m": v},
            notes={name: numbers[i] for name, numbers in notes.items()},
        )
        for i, (v, s) in enumerate(zip(values, scenes, strict=True))
    )


def table(*given, **notes):
    return SampleTable(metrics=("m",), notes=tuple(notes), rows=rows(*given, **notes))


def test_orders_of_averaging():
    one = table([1.0, 2.0, 6.0], ["a", "a", "b"], planes=[1, 1, 2])
    assert summaries(one, IMAGES)["m"].mean == 3.0
    assert summaries(one, SCENES_SUMMARIES)["m"].mean == (1.5 + 6.0) / 2
    pooled = summaries(one, PLANES)["m"]
    assert pooled.mean == (1 + 2 + 6 + 6) / 4 and pooled.n == 3
    assert summaries(one, SCENES_SUMMARIES)["m"].n == 3


def test_interval_resamples_scenes():
    values = np.random.default_rng(1).normal(size=40)
    scenes = np.repeat(np.arange(10), 4)
    found = summaries(table(values, scenes), IMAGES)["m"]
    names = [str(s) for s in scenes]
    want = bootstrap_interval(values, generator=np.random.default_rng(0), scenes=names)
    assert found.ci95 == (want.low, want.high)
    assert found.ci95[0] < found.mean < found.ci95[1]
    assert found.std == pytest.approx(values.std(ddof=1))


def test_one_scene_has_no_interval():
    found = summaries(table([1.0, 2.0], ["a", "a"]), IMAGES)["m"]
    assert found.ci95 == (None, None) and found.median == 1.5


def test_undefined_and_skipped_values_are_left_out_and_counted():
    given = rows([1.0, float("nan"), 3.0], "abc")
    given += (SampleRow(index=9, sample_id="9", scene="d", status=SKIPPED, values={"m": 50.0}),)
    part = column(given, "m", IMAGES)
    assert part.values_N.tolist() == [1.0, 3.0] and part.undefined == 1
    assert summaries(SampleTable(metrics=("m", "x"), notes=(), rows=given), IMAGES).keys() == {"m"}


def test_groups_by_scene_place_and_range():
    found = subsets(table([1.0, 2.0, 6.0], ["a", "a", "b"], median_m=[1.0, 3.0, 30.0]), IMAGES)
    assert found["scene"]["a"]["m"].mean == 1.5
    assert found["place"]["outdoor"]["m"].mean == 3.5
    assert list(found["range"]) == ["0-2 m", "2-5 m", "20- m"]
    assert subsets(table([1.0], ["a"]), IMAGES) == {}


def test_range_names():
    assert [range_name(m) for m in (0.5, 2.0, 7, 15, 99, None)] == [
        "0-2 m",
        "2-5 m",
        "5-10 m",
        "10-20 m",
        "20- m",
        "",
    ]


def test_difference_pairs_by_sample():
    a = rows([1.0, 2.0, 3.0, 4.0], "abcd")
    b = tuple(reversed(rows([1.5, 2.5, 3.4, 4.6], "abcd")))
    found = difference(a, b, "m", IMAGES)
    assert found.mean == pytest.approx(0.5) and found.low > 0.3
    over = difference(a, b, "m", SCENES_SUMMARIES)
    assert over.mean == pytest.approx(0.5)
    with pytest.raises(DataError, match="no sample"):
        difference(a, (), "m", IMAGES)


def finished(folder, estimator=None, count=5, **more):
    run_protocol(
        more.pop("protocol", None) or mini_protocol("real-folder"),
        MiniData(count, **more),
        estimator or Noisy(0.05),
        folder=folder,
        plan=RunPlan(),
    )
    return load_result(folder)


def test_recompute_needs_neither_model_nor_data(tmp_path):
    before = finished(tmp_path)
    (tmp_path / "result.json").unlink()
    again = recompute(tmp_path)
    assert again == before == load_result(tmp_path)


def test_numbers_follow_the_table(tmp_path):
    before = finished(tmp_path)
    table = tmp_path / "samples.csv"
    lines = table.read_text().splitlines()
    column = lines[0].split(",").index("abs_rel")
    cells = lines[1].split(",")
    cells[column] = str(float(cells[column]) + 0.5)
    table.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n")
    after = recompute(tmp_path)
    # scenes are pairs (0, 1), (2, 3), (4): a sample of a pair counts a sixth
    assert after.metrics["abs_rel"].mean == pytest.approx(before.metrics["abs_rel"].mean + 0.5 / 6)
    assert after.csv_sha256 != before.csv_sha256


def test_a_run_that_is_not_through_is_refused(tmp_path):
    finished(tmp_path)
    table = tmp_path / "samples.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DataError, match="4 rows of 5"):
        assemble(tmp_path)
    (tmp_path / "shares" / "0.json").unlink()
    with pytest.raises(DataError, match=r"4 of 5 samples.*--resume"):
        assemble(tmp_path)
    with pytest.raises(DataError, match="run.json"):
        assemble(tmp_path / "nothing")


def test_a_run_file_of_something_else_is_refused(tmp_path):
    finished(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(DataError, match="run.json: lacks dataset, machine"):
        assemble(tmp_path)


def test_parts_made_elsewhere_are_told(tmp_path):
    """A run that was resumed with another commit says so."""
    assert "resumed_with" not in finished(tmp_path).tool
    path = tmp_path / "shares" / "0.json"
    mark = json.loads(path.read_text())
    mark["tool"]["git_commit"] = "0" * 40
    path.write_text(json.dumps(mark))
    (other,) = assemble(tmp_path).tool["resumed_with"]
    assert other["tool"]["git_commit"] == "0" * 40


def test_counters_and_undefined_values(tmp_path):
    falling = TruthEstimator("affine_log1p", lambda d: -np.log1p(d))
    result = finished(tmp_path / "a", falling, empty=(2,))
    assert result.degenerate["images_negative_scale"] == 4
    assert result.degenerate["images_skipped"] == 1

    class Flat(MiniData):
        def record(self, index):
            record = super().record(index)
            record.depth_HW[record.valid_HW] = 3.0
            return record

    run_protocol(
        mini_protocol("synthetic"),
        Flat(2),
        TruthEstimator(),
        folder=tmp_path / "b",
        plan=RunPlan(),
    )
    flat = load_result(tmp_path / "b")
    assert flat.degenerate["undefined_edge_chamfer_m"] == 2
    assert "edge_chamfer_m" not in flat.metrics and "abs_rel" in flat.metrics


def test_uncertainty_gives_curves(tmp_path):
    error = np.linspace(-0.1, 0.1, 24 * 32).reshape(24, 32)
    one = TruthEstimator("metric", lambda d: d * (1 + error), sigma=lambda d: np.abs(error) * d)
    protocol = mini_protocol("eigen-metric-nyu", "mask.terms=['file', 'range']")
    result = finished(tmp_path, one, protocol=protocol)
    risk = result.curves["risk_coverage"]
    assert len(risk["kept"]) == len(risk["abs_rel"]) == 101
    assert risk["abs_rel"][0] < risk["abs_rel"][-1]
    assert result.curves["calibration"]["share_inside"][-1] > 0.9
    assert json.loads(result.to_json())["metrics"]["ause_abs_rel"]["n"] == 5
    assert recompute(tmp_path).curves == result.curves


def test_warm_up_does_not_count_for_the_speed(tmp_path):
    class Slow(Noisy):
        def estimate(self, rgb_HW3):
            found = super().estimate(rgb_HW3)
            return found._replace(seconds=9.0 if len(self.calls) == 1 else 0.1)

    result = finished(tmp_path, Slow(0.05), count=6)
    assert result.timing["seconds_p90"] == pytest.approx(0.1)
    assert (result.timing["warm_up"], result.timing["predictions_timed"]) == (1, 5)
