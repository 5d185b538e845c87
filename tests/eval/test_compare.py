import json

import numpy as np
import pytest
from mini_data import MiniData, Noisy, mini_protocol
from mini_run import PROTOCOL, make_result

from nearfar.errors import ConfigError, DataError
from nearfar.eval.compare import (
    arrow,
    compare,
    goal_of,
    higher_is_better,
    is_judged,
    markdown,
    read_results,
    result_tables,
    shown,
    stored_name,
    title_of,
)
from nearfar.eval.measures import CLIP_METRICS, require_known
from nearfar.eval.protocol import override
from nearfar.eval.run import RunPlan, run_protocol

HIGHER = {
    *("delta0.5", "delta0.5_ppd", "delta2_ppd", "delta3_ppd", "boundary_precision_masked"),
    *("boundary_recall", "boundary_recall_masked", "windowed_boundary_f1_r2"),
    *("windowed_boundary_f1_r3", "aurg_abs_rel"),
    *("delta0.5", "delta1", "delta2", "delta3", "delta1_ppd", "delta1_points"),
    *("boundary_f1", "boundary_f1_masked", "boundary_recall_matting", "boundary_precision"),
    *("windowed_boundary_f1_r1", "pair_accuracy", "dde_equal", "aurg_rmse", "spearman"),
}
LOWER = {
    *("abs_rel", "rmse", "silog_dav2", "delta1_error", "ratio_1.02_error", "nonpositive_share"),
    *("edge_chamfer_m", "edge_fly3d", "flying_rate", "dbe_acc", "dde_nearer", "pe_fla_cm"),
    *("fov_error_deg", "ause_abs_rel", "calibration_error", "tae", "opw"),
    *("sq_rel", "rmse_log", "log10", "i_rmse", "silog", "mae", "mse", "silog_loss"),
    *("silog_unidepth", "abs_rel_ppd", "abs_rel_moge", "delta2_error", "delta3_error"),
    *("ratio_1.05_error", "ratio_1.10_error", "edge_to_truth_m", "edge_to_prediction_m"),
    *("edge_chamfer_log", "dbe_com", "dbe_com_capped", "dde_farther", "pe_ori_deg"),
    *("rel_points", "ause_rmse", "tae_v2", "tae_v2_checked", "flicker"),
}


def test_directions_of_metrics():
    assert [name for name in HIGHER if arrow(name) != "up" or not higher_is_better(name)] == []
    assert [name for name in LOWER if arrow(name) != "down" or higher_is_better(name)] == []
    assert (arrow("coverage_90"), goal_of("coverage_90"), arrow("sharpness")) == ("to 0.9", 0.9, "")
    assert goal_of("abs_rel") is None and arrow("scale_drift") == "to 0"


def known_metrics():
    """Every metric that a protocol may list, from the refusal of one that does not exist."""
    with pytest.raises(ConfigError) as caught:
        require_known(["no such metric"], where="here")
    return {*caught.value.remedy.removeprefix("Known: ").split(", "), *CLIP_METRICS}


def test_every_metric_has_its_direction_written_here():
    """A new metric must be put into a list above by hand: its direction is no guess."""
    directed = {name for name in known_metrics() if is_judged(name) and goal_of(name) is None}
    assert directed == HIGHER | LOWER
    assert {n for n in known_metrics() if not is_judged(n)} == {"sharpness"}


def test_numbers_are_short_and_missing_ones_a_dash():
    assert [shown(v) for v in (0.123456, 12345.6, 0, None, float("nan"))] == [
        "0.1235",
        "12346",
        "0",
        "-",
        "-",
    ]
    assert (title_of("abs_rel"), title_of("own_thing")) == ("AbsRel", "own thing")


def run(folder, noise, *, count=8, protocol=None):
    run_protocol(
        protocol or mini_protocol("real-folder"),
        MiniData(count),
        Noisy(noise),
        folder=folder,
        plan=RunPlan(),
    )
    return folder


def test_a_better_model_is_found(tmp_path):
    good, bad = run(tmp_path / "good", 0.02), run(tmp_path / "bad", 0.2)
    found = {one.metric: one for one in compare(bad, good / "result.json").differences}
    error, share = found["abs_rel"], found["delta1"]
    assert error.mean < 0 and error.is_clear and error.better == "b"
    assert share.mean > 0 and share.better == "b"
    assert error.mean == pytest.approx(error.b - error.a)
    assert compare(good, bad).differences[0].better == "a"


def test_equal_models_have_no_winner(tmp_path):
    a, b = run(tmp_path / "a", 0.05), run(tmp_path / "b", 0.05)
    for one in compare(a, b).differences:
        assert (one.mean, one.is_clear, one.better) == (0.0, False, "")


class Spread(Noisy):
    """Noise 0.1 in ln(d + 1), with a stated standard deviation of `stated` times that."""

    def __init__(self, stated):
        super().__init__(0.05, sigma=lambda d: np.full(d.shape, 0.05 * stated))


def test_coverage_is_better_near_its_level(tmp_path):
    """Too wide intervals cover more, and are not better for it; sharpness has no winner."""
    for name, stated in (("right", 1.0), ("narrow", 0.2), ("wide", 5.0)):
        run_protocol(
            mini_protocol("real-folder"),
            MiniData(8),
            Spread(stated),
            folder=tmp_path / name,
            plan=RunPlan(),
        )
    for wrong in ("narrow", "wide"):
        rows = compare(tmp_path / wrong, tmp_path / "right").differences
        found = {one.metric: one for one in rows}
        for level in (50, 80, 90):
            one = found[f"coverage_{level}"]
            assert (one.better, one.goal) == ("b", level / 100) and one.high < 0
            assert one.mean == pytest.approx(abs(one.b - one.goal) - abs(one.a - one.goal))
        assert found["calibration_error"].better == "b"
        assert found["sharpness"].is_clear and found["sharpness"].better == ""


def test_a_result_without_its_protocol_is_not_compared(tmp_path):
    a = run(tmp_path / "a", 0.05)
    table = json.loads((a / "result.json").read_text())
    del table["protocol"]["text"]
    (a / "result.json").write_text(json.dumps(table))
    with pytest.raises(DataError, match="no text of its protocol"):
        compare(a, a)


def test_other_protocols_or_lists_are_not_compared(tmp_path):
    a = run(tmp_path / "a", 0.05)
    other = override(mini_protocol("real-folder"), ["mask.max=5.0"])
    with pytest.raises(ConfigError, match="one protocol hash"):
        compare(a, run(tmp_path / "b", 0.05, protocol=other))
    with pytest.raises(ConfigError, match="lists of samples differ"):
        compare(a, run(tmp_path / "c", 0.05, count=7))


OTHER_HASH = PROTOCOL | {"hash": "fe" * 32}


def test_best_stands_first_and_other_hashes_stand_apart():
    results = [
        make_result(model="worse", abs_rel=(0.3, 0.5)),
        make_result(model="better", abs_rel=(0.1, 0.2)),
        make_result(model="elsewhere", protocol=OTHER_HASH),
    ]
    tables = result_tables(results)
    assert [[r.model["name"] for r in table.results] for table in tables] == [
        ["better", "worse"],
        ["elsewhere"],
    ]
    assert tables[0].metrics == ("abs_rel", "delta1")


def test_other_lists_of_one_protocol_stand_apart():
    lists = [{"name": "folder", "list_sha256": x, "evaluated": 2} for x in ("a", "b")]
    assert len(result_tables([make_result(dataset=data) for data in lists])) == 2


def test_text_has_intervals_seconds_memory_and_no_speed_of_baselines():
    results = [
        make_result(model={"name": "ppd|tiny", "weights_sha256": "0123456789"}, abs_rel=(0.1, 0.2)),
        make_result(model="row-ramp", abs_rel=(0.3, 0.3)),
    ]
    lines = markdown(results).splitlines()
    assert lines[0] == "## synthetic@1#01234567"
    assert lines[2].endswith("Machine: made up, 1 thread, float32.")
    assert lines[4].startswith("| model | AbsRel, down | delta1, up | s per image |")
    assert lines[6].startswith("| ppd/tiny `01234567`, 4 steps | 0.15 (0.14 to 0.16) |")
    assert lines[6].endswith("| 0.5 | 700 |")
    assert lines[7].endswith("| - | - |")


def test_a_time_that_is_not_known_is_to_be_measured_again():
    timing = {"seconds_median": None, "peak_rss_mb": 700.0}
    (line,) = [t for t in markdown([make_result(timing=timing)]).splitlines() if "ppd-tiny" in t]
    assert line.endswith("| to be measured again | 700 |")


def test_a_table_holds_the_results_of_one_machine():
    """Processor, threads and dtype decide a time; baselines stand beside every model."""
    here = {"processor": "made up", "threads": 1, "dtype": "float32"}
    others = [here | change for change in ({"processor": "b"}, {"threads": 2}, {"dtype": "bf16"})]
    results = [make_result(model=f"m{i}", machine=m) for i, m in enumerate([here, *others, here])]
    results.append(make_result(model="row-ramp", abs_rel=(0.5, 0.5), machine={"processor": "c"}))
    tables = result_tables(results)
    assert [[r.model["name"] for r in table.results] for table in tables] == [
        ["m1", "row-ramp"],
        ["m3", "row-ramp"],
        ["m0", "m4", "row-ramp"],
        ["m2", "row-ramp"],
    ]
    assert [table.machine for table in tables][2:] == [
        "made up, 1 thread, float32",
        "made up, 2 threads, float32",
    ]
    text = markdown(results)
    assert text.count("## ") == 1 and text.count("Machine: ") == 4
    (alone,) = result_tables(results[-1:])
    assert alone.machine == "" and "Machine" not in markdown(results[-1:])


def test_what_is_not_comparable_is_named_but_stands_in_no_table():
    subset = make_result(model="half", comparable=False, remarks=("subset: 4 of 64",))
    text = markdown([subset])
    assert "- half, 4 steps on synthetic@1#01234567: subset: 4 of 64" in text and "|---" not in text
    assert markdown([]) == "No results are stored yet."


def test_results_that_share_no_metric_are_refused():
    odd = make_result(metrics={"own": make_result().metrics["abs_rel"]})
    with pytest.raises(DataError):
        result_tables([make_result(), odd])


def test_files_are_named_by_protocol_model_and_settings(tmp_path):
    assert stored_name(make_result(settings={})) == "synthetic__ppd-tiny.json"
    settings = {"ensemble_size": 4, "steps": "model", "resolution": 256}
    name = stored_name(make_result(model="a/b c", settings=settings))
    assert name == "synthetic__a-b-c__ensemble4__resolution256.json"
    (tmp_path / "b.json").write_text(make_result(model="b").to_json())
    (tmp_path / "a.json").write_text(make_result(model="a").to_json())
    assert [r.model["name"] for r in read_results(tmp_path)] == ["a", "b"]
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(DataError, match=r"c\.json"):
        read_results(tmp_path)
