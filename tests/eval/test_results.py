import json
import math

import numpy as np
import pytest
from mini_run import make_result

from nearfar.errors import ConfigError, DataError, OutputError
from nearfar.eval.results import (
    SKIPPED,
    EvalResult,
    Preview,
    RunFiles,
    SampleRow,
    SampleWriter,
    header,
    load_preview,
    load_result,
    preview_path,
    publish,
    read_json,
    read_table,
    save_preview,
    write_json,
    write_table,
)
from nearfar.io.manifest import read_manifest


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"metrics": {"abs_rel": 3}}, "no result of an evaluation"),
        ({"metrics": {"abs_rel": {"mean": 1}}}, "no result of an evaluation"),
        ({"subsets": None}, "no result of an evaluation"),
        ({"protocol": {}}, "protocol lacks hash, id, version"),
        ({"schema": 9}, "has schema 9"),
        ({"model": None, "more": 1}, "missing or unknown keys"),
    ],
)
def test_another_json_is_refused_in_one_line(change, finding):
    table = json.loads(make_result().to_json()) | change
    with pytest.raises(DataError, match=finding):
        EvalResult.from_json(json.dumps(table))


def test_json_round_trip_keeps_everything(tmp_path):
    one = make_result(remarks=("custom",), comparable=False, curves={"risk": [1.0, 2.0]})
    path = one.save(tmp_path)
    assert load_result(path) == one == load_result(tmp_path)
    assert one.title == "synthetic@1#01234567"


def test_not_a_number_becomes_null():
    one = make_result(degenerate={"a": float("nan"), "b": np.float32(2)})
    table = json.loads(one.to_json())
    assert table["degenerate"] == {"a": None, "b": 2.0}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 99}', '{"schema": 1}'])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(DataError):
        load_result(tmp_path)


def test_unknown_keys_are_refused():
    table = json.loads(make_result().to_json()) | {"more": 1}
    with pytest.raises(DataError, match="more"):
        EvalResult.from_json(json.dumps(table))


def test_previews_come_back_and_may_be_missing(tmp_path):
    path = preview_path(tmp_path, 7)
    assert path.name == "000007.npz" and load_preview(path) is None
    path.parent.mkdir()
    one = Preview(
        rgb=np.zeros((2, 3, 3), np.uint8),
        truth=np.ones((2, 3), np.float16),
        prediction=np.full((2, 3), np.nan, np.float16),
        valid=np.ones((2, 3), bool),
        risk_101=np.linspace(0, 1, 101),
    )
    save_preview(path, one)
    back = load_preview(path)
    assert back.uncertainty is None and back.risk_101.shape == (101,)
    np.testing.assert_array_equal(back.prediction, one.prediction)
    path.write_bytes(b"PK")
    with pytest.raises(DataError, match="no preview"):
        load_preview(path)


ROW = SampleRow(
    index=3,
    sample_id='a/"b",c/3',
    scene="b",
    place="indoor",
    data_sha256="00ff",
    n_valid=7,
    scale=1 / 3,
    shift=-2.5e-11,
    values={"abs_rel": 0.1234567891234, "rmse": math.nan},
    notes={"fallback": 1.0},
    seconds=0.25,
)
GONE = SampleRow(index=1, sample_id="x", scene="b", status=SKIPPED, reason="0 scored pixels")
METRICS, NOTES = ["abs_rel", "rmse", "silog"], ["fallback"]


def test_rows_come_back_in_list_order_with_nine_digits(tmp_path):
    path = tmp_path / "samples.csv"
    writer = SampleWriter(path, METRICS, NOTES)
    writer.append(ROW)
    writer.append(GONE)
    table = read_table(path)
    assert (list(table.metrics), list(table.notes)) == (METRICS, NOTES)
    assert [row.index for row in table.rows] == [1, 3]
    assert table.rows[0] == GONE
    back = table.rows[1]
    assert back.values["abs_rel"] == 0.123456789 and math.isnan(back.values["rmse"])
    assert "silog" not in back.values and back.scale == 0.333333333 and back.shift == -2.5e-11
    assert (back.sample_id, back.place, back.notes) == (ROW.sample_id, "indoor", {"fallback": 1.0})


def test_a_killed_run_leaves_whole_rows(tmp_path):
    path = tmp_path / "samples.csv"
    SampleWriter(path, METRICS, NOTES).append(ROW)
    with open(path, "a") as file:
        file.write("4,half,b,")
    assert len(read_table(path).rows) == 1
    SampleWriter(path, METRICS, NOTES).append(GONE)
    assert [row.index for row in read_table(path).rows] == [1, 3]


def test_other_columns_are_refused(tmp_path):
    path = tmp_path / "samples.csv"
    SampleWriter(path, METRICS, NOTES)
    with pytest.raises(DataError, match="other columns"):
        SampleWriter(path, ["abs_rel"], NOTES)


def test_written_whole_in_order(tmp_path):
    path = tmp_path / "samples.csv"
    write_table(path, [ROW, GONE], METRICS, NOTES)
    lines = path.read_text().splitlines()
    assert lines[0].split(",") == header(METRICS, NOTES)
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "3"]
    assert [p.name for p in tmp_path.iterdir()] == ["samples.csv"]


def test_wrong_lines_are_named(tmp_path):
    path = tmp_path / "samples.csv"
    write_table(path, [ROW], METRICS, NOTES)
    good = path.read_text()
    path.write_text(good + "4,x\n")
    with pytest.raises(DataError, match=r"samples.csv:3.*2 cells"):
        read_table(path)
    path.write_text(good.replace("0.25", "fast"))
    with pytest.raises(DataError, match=r"samples.csv:2"):
        read_table(path)
    path.write_text("a,b\n")
    with pytest.raises(DataError, match="no table"):
        read_table(path)


SETTINGS = {"protocol": {"hash": "a"}, "model": "m", "started": "now", "processes": 1}


def test_a_used_folder_needs_resume(tmp_path):
    files = RunFiles(tmp_path / "run")
    files.begin(SETTINGS, resume=False)
    files.begin(SETTINGS | {"model": "n"}, resume=False)  # nothing was evaluated yet
    files.table.write_text("")
    with pytest.raises(ConfigError, match="--resume"):
        files.begin(SETTINGS | {"model": "n"}, resume=False)
    files.begin(SETTINGS | {"model": "n", "started": "later"}, resume=True)
    with pytest.raises(ConfigError, match="begun with model = 'n', now it is 'm'"):
        files.begin(SETTINGS, resume=True)
    with pytest.raises(ConfigError, match=r"protocol.hash = 'a'"):
        files.begin(SETTINGS | {"model": "n", "protocol": {"hash": "b"}}, resume=True)


@pytest.mark.parametrize(
    "name", ["result.json", "report.html", "samples.csv", "shares/0.csv", "previews/000000.npz"]
)
def test_what_no_run_explains_is_never_added_to(tmp_path, name):
    """Somebody's own files, or those of a run whose run.json is gone."""
    own = tmp_path / "run" / name
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    for resume in (False, True):
        with pytest.raises(DataError, match=r"but no run.json"):
            RunFiles(tmp_path / "run").begin(SETTINGS, resume=resume)
    (tmp_path / "run" / "run.json").write_text('{"jogging": "5 km"}')
    for resume in (False, True):
        with pytest.raises(ConfigError):
            RunFiles(tmp_path / "run").begin(SETTINGS, resume=resume)
    own.unlink()
    with pytest.raises(ConfigError, match="another -o"):
        RunFiles(tmp_path / "run").begin(SETTINGS, resume=False)
    assert json.loads((tmp_path / "run" / "run.json").read_text()) == {"jogging": "5 km"}


def test_a_resumed_run_replaces_only_its_own_results(tmp_path):
    files = RunFiles(tmp_path)
    files.begin(SETTINGS, resume=False)
    files.table.write_text("")
    for name in ("result.json", "report.html"):
        publish(tmp_path, name, "first")
        publish(tmp_path, name, "second")
        files.begin(SETTINGS, resume=True)
        (tmp_path / name).write_text("edited")
        with pytest.raises(OutputError, match=rf"{name}: was changed"):
            files.begin(SETTINGS, resume=True)
        publish(tmp_path, name, "third")
    (listed,) = {record.input for record in read_manifest(tmp_path / "manifest.jsonl")}
    assert listed.startswith("dataset://")


def test_one_process_at_a_time_writes_a_share(tmp_path):
    files = RunFiles(tmp_path)
    files.begin(SETTINGS, resume=False)
    with files.alone(), pytest.raises(ConfigError, match="another process"), files.alone():
        pass
    with files.alone():
        pass


def test_long_values_do_not_fill_the_message(tmp_path):
    files = RunFiles(tmp_path)
    files.begin(SETTINGS, resume=False)
    files.table.write_text("")
    with pytest.raises(ConfigError) as caught:
        files.begin(SETTINGS | {"model": "n" * 500}, resume=True)
    assert len(str(caught.value)) < 300


def test_shares_of_processes(tmp_path):
    first, second = (RunFiles(tmp_path, share=(rank, 2)) for rank in (0, 1))
    two = SETTINGS | {"processes": 2}
    first.begin(two, resume=False)
    second.begin(two | {"started": "later"}, resume=False)
    assert read_json(tmp_path / "run.json")["started"] == "now"
    with pytest.raises(ConfigError, match="model"):
        second.begin(two | {"model": "other"}, resume=False)
    assert first.table != second.table and first.tables() == []
    second.table.write_text("x")
    assert second.tables() == [second.table]
    assert not second.finish({"peak_rss_mb": 2})
    assert first.finish({"peak_rss_mb": 1})
    assert [mark["peak_rss_mb"] for mark in first.marks()] == [1, 2]


def test_rows_without_a_run_are_not_trusted(tmp_path):
    files = RunFiles(tmp_path / "run")
    files.begin(SETTINGS, resume=False)
    files.table.write_text("x")
    (tmp_path / "run" / "run.json").unlink()
    with pytest.raises(DataError, match=r"samples.csv but no run.json"):
        files.begin(SETTINGS, resume=True)
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_finished_share_keeps_its_mark(tmp_path):
    files = RunFiles(tmp_path)
    assert files.finish({"seconds": 5}, has_worked=False)
    assert files.finish({"seconds": 1}, has_worked=False)
    assert files.marks() == [{"seconds": 5}]
    assert files.finish({"seconds": 7})
    assert files.marks() == [{"seconds": 7}]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(ConfigError, match="not a folder"):
        RunFiles(tmp_path / "x").begin(SETTINGS, resume=False)


def test_json_files_are_checked(tmp_path):
    path = tmp_path / "deep" / "a.json"
    write_json(path, {"a": 1})
    assert read_json(path) == {"a": 1}
    path.write_text("[1]")
    with pytest.raises(DataError, match="no JSON object"):
        read_json(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_json(tmp_path / "none.json")
