import numpy as np
import pytest
from mini_d1 import TUM_RGB, pack, same, save, write_bonn

from nearfar.data.catalog import open_dataset
from nearfar.errors import ConfigError, DataError


def test_pairs_by_time(tmp_path):
    told = write_bonn(tmp_path / "b")
    data = open_dataset("bonn", tmp_path / "b")
    assert data.sample_ids == tuple(f"bonn/balloon2/{rgb}" for rgb, _ in told["pairs"])
    record = data.record(1)
    assert record.depth_HW[1, 1] == told["depth_m"] and not record.valid_HW[0, 0]
    assert record.intrinsics_33.tolist() == told["intrinsics"] and not record.camera_exact
    assert record.sequence == "balloon2" and record.time_s == 1.041
    assert record.pose_44[:3, 3].tolist() == [2, 2, 3]
    for kind in ("tar", "zip"):
        assert same(open_dataset("bonn", pack(tmp_path / "b", kind)).record(1), record)


def test_pairs_by_position_and_prepared_folders(tmp_path):
    told = write_bonn(tmp_path)
    by_index = open_dataset("bonn", tmp_path, options={"pairing": "index"})
    assert len(by_index.sample_ids) == len(told["pairs_by_index"])
    assert by_index.record(1).notes["depth_time_s"] == 1.042
    assert by_index.record(1).time_s == float(TUM_RGB[1])
    prepared = open_dataset("bonn", tmp_path, options={"pairing": "prepared"})
    assert len(prepared.sample_ids) == 2
    assert prepared.record(0).depth_HW[3, 3] == told["prepared_depth_m"]
    assert prepared.record(0).rgb_HW3[0, 0, 2] == 50


def test_splits_and_options(tmp_path):
    write_bonn(tmp_path)
    for split in ("video", "monst3r"):
        assert len(open_dataset("bonn", tmp_path, split=split).sample_ids) == 2
    for name in ("balloon2", "rgbd_bonn_balloon2"):
        options = {"sequences": name, "frames": "1:"}
        assert open_dataset("bonn", tmp_path, options=options).sample_ids == (
            "bonn/balloon2/1.041000",
        )
    (tmp_path / "rgbd_bonn_balloon2").rename(tmp_path / "rgbd_bonn_crowd")
    assert len(open_dataset("bonn", tmp_path).sample_ids) == 2
    with pytest.raises(DataError, match="no rgbd_bonn_balloon2"):
        open_dataset("bonn", tmp_path, split="video")
    with pytest.raises(ConfigError, match="pairing"):
        open_dataset("bonn", tmp_path, options={"pairing": "luck"})


def test_broken_files_are_named(tmp_path):
    write_bonn(tmp_path)
    place = tmp_path / "rgbd_bonn_balloon2"
    save(place / "depth/1.010000.png", np.ones((6, 8), np.uint8))
    with pytest.raises(DataError, match=r"balloon2/depth/1\.010000\.png: holds uint8"):
        open_dataset("bonn", tmp_path).record(0)
    (place / "rgb.txt").write_text("1.0 rgb/1.000000.png\noops\n")
    with pytest.raises(DataError, match=r"balloon2/rgb\.txt:2: has 1 columns"):
        open_dataset("bonn", tmp_path)
    (place / "rgb_110/frame.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"rgb_110/frame\.png: its name is not a time stamp"):
        open_dataset("bonn", tmp_path, options={"pairing": "prepared"})
