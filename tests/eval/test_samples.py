import math

import pytest

from nearfar.errors import DataError
from nearfar.eval.samples import SKIPPED, SampleRow, SampleWriter, header, read_table, write_table

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
