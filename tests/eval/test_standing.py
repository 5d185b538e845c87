import pytest
from mini_run import PROTOCOL, make_result

from nearfar.errors import DataError
from nearfar.eval.standing import markdown, read_results, standings, stored_name

OTHER_HASH = PROTOCOL | {"hash": "fe" * 32}


def test_best_stands_first_and_other_hashes_stand_apart():
    results = [
        make_result(model="worse", abs_rel=(0.3, 0.5)),
        make_result(model="better", abs_rel=(0.1, 0.2)),
        make_result(model="elsewhere", protocol=OTHER_HASH),
    ]
    tables = standings(results)
    assert [[r.model["name"] for r in table.results] for table in tables] == [
        ["better", "worse"],
        ["elsewhere"],
    ]
    assert tables[0].metrics == ("abs_rel", "delta1")


def test_other_lists_of_one_protocol_stand_apart():
    lists = [{"name": "folder", "list_sha256": x, "evaluated": 2} for x in ("a", "b")]
    assert len(standings([make_result(dataset=data) for data in lists])) == 2


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
    tables = standings(results)
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
    (alone,) = standings(results[-1:])
    assert alone.machine == "" and "Machine" not in markdown(results[-1:])


def test_what_is_not_comparable_is_named_but_stands_in_no_table():
    subset = make_result(model="half", comparable=False, remarks=("subset: 4 of 64",))
    text = markdown([subset])
    assert "- half, 4 steps on synthetic@1#01234567: subset: 4 of 64" in text and "|---" not in text
    assert markdown([]) == "No results are stored yet."


def test_results_that_share_no_metric_are_refused():
    odd = make_result(metrics={"own": make_result().metrics["abs_rel"]})
    with pytest.raises(DataError):
        standings([make_result(), odd])


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
