import sys

import pytest

from sonde.errors import OutputError
from sonde.train.logging import RunLog, read_log


def test_records_are_complete_lines_and_resume_drops_later_ones(tmp_path):
    with RunLog(tmp_path, start_step=0, use_tensorboard=False) as log:
        for step in (2, 4, 6):
            log.write(step, "train", {"loss": step / 2})
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"step": 8, "lo')  # a kill in the middle of a line
    assert [r["step"] for r in read_log(tmp_path)] == [2, 4, 6]
    with RunLog(tmp_path, start_step=4, use_tensorboard=False) as log:
        log.write(6, "train", {"loss": 9.0})
    assert [(r["step"], r["loss"]) for r in read_log(tmp_path)] == [(2, 1.0), (4, 2.0), (6, 9.0)]


def test_fresh_run_starts_an_empty_log(tmp_path):
    for _ in range(2):
        with RunLog(tmp_path, start_step=0, use_tensorboard=False) as log:
            log.write(1, "event", {"note": "hello"})
    assert len(read_log(tmp_path)) == 1


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with RunLog(None, start_step=0, use_tensorboard=True) as log:
        assert log.write(1, "train", {"loss": 1.0})["loss"] == 1.0
    assert list(tmp_path.iterdir()) == [] and read_log(tmp_path) == []


def test_absent_tensorboard_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with RunLog(tmp_path, start_step=0, use_tensorboard=True) as log:
        log.write(1, "train", {"loss": 1.0})
    assert [p.name for p in tmp_path.iterdir()] == ["log.jsonl"]


def test_an_impossible_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        RunLog(tmp_path / "file" / "run", start_step=0, use_tensorboard=False)
