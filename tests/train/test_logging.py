import sys

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nearfar.errors import OutputError
from nearfar.train.logging import RunLog, read_log, side_by_side
from nearfar.train.validation import Compared


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


def picture(size_hw=(4, 6)):
    """A grey photo; depth from 1 m at the left to 9 m at the right, the first row unknown."""
    depth_HW = np.broadcast_to(np.linspace(1, 9, size_hw[1], dtype=np.float32), size_hw)
    valid_HW = np.ones(size_hw, dtype=bool)
    valid_HW[0] = False
    photo_HW3 = np.full((*size_hw, 3), 0.5, dtype=np.float32)
    return Compared(photo_HW3, depth_HW, depth_HW, valid_HW)


def test_pictures_are_photo_truth_and_prediction_near_bright():
    panel = side_by_side(picture())
    assert panel.shape == (4, 18, 3) and panel.dtype == np.uint8
    photo, truth, predicted = np.split(panel, 3, axis=1)
    assert (photo == 128).all() and (truth[0] == 0).all()
    assert np.array_equal(truth[1:], predicted[1:]) and predicted[0].min() > 0
    row = truth[1, :, 0].astype(int)
    assert row[0] == 255 and (np.diff(row) < 0).all() and row[-1] > 0
    flat = picture()._replace(depth_HW=np.full((4, 6), 3.0, np.float32))
    assert np.isfinite(side_by_side(flat)).all()


def test_tensorboard_gets_scalars_and_pictures(tmp_path):
    with RunLog(tmp_path, start_step=0, use_tensorboard=True) as log:
        log.write(3, "val", {"abs_rel": 0.25})
        log.show(3, [picture(), picture()])
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert found.Scalars("val/abs_rel")[0].value == 0.25
    assert found.Tags()["images"] == ["val/0", "val/1"]
    image = found.Images("val/1")[0]
    assert (image.step, image.height, image.width) == (3, 4, 18)
    with RunLog(None, start_step=0, use_tensorboard=True) as log:
        log.show(3, [picture()])
