import pytest

from nearfar.errors import ConfigError, DataError
from nearfar.eval.run_files import RunFiles, read_json, write_json

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
