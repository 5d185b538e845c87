import json

import numpy as np
import pytest
from mini_data import MiniData, Noisy, TruthEstimator, mini_protocol

from nearfar.errors import DataError
from nearfar.eval.assemble import assemble, recompute
from nearfar.eval.results import load_result
from nearfar.eval.run import RunPlan, run_protocol


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
