import struct

import numpy as np
import pytest
from mini_d1 import SINTEL_TAG, H, W, pack, photo, same, sintel_camera, write_sintel

from nearfar.data.benchmarks.sintel import cam_of, dpt_of
from nearfar.data.catalog import open_dataset
from nearfar.errors import DataError


def test_depth_sky_and_cameras(tmp_path):
    told = write_sintel(tmp_path / "s")
    data = open_dataset("sintel", tmp_path / "s")
    assert list(data.sample_ids) == [f"sintel/{frame}" for frame in told["frames"]]
    for i, center in enumerate(told["centers"]):
        record = data.record(i)
        assert record.pose_44[:3, 3].tolist() == [0, 0, center]
        assert record.sky_HW[told["sky_row"]].all() and not record.sky_HW[1:].any()
        np.testing.assert_array_equal(record.valid_HW, ~record.sky_HW)
        assert (record.depth_HW[1:] == told["depth_m"]).all()
        assert record.intrinsics_33.tolist() == told["intrinsics"]
    record = data.record(1)
    assert record.sequence == record.scene == "alley_1" and record.time_s == 9 / 24
    np.testing.assert_array_equal(record.rgb_HW3, photo(110))  # the pass `final` is the default
    clean = open_dataset("sintel", tmp_path / "s", options={"pass": "clean"})
    np.testing.assert_array_equal(clean.record(1).rgb_HW3, photo(10))
    for kind in ("tar", "zip"):
        assert same(open_dataset("sintel", pack(tmp_path / "s", kind)).record(1), record)


def test_scenes_frames_and_lists(tmp_path):
    told = write_sintel(tmp_path)
    chosen = open_dataset(
        "sintel", tmp_path, options={"scenes": "temple_2,alley_1", "frames": ":1"}
    )
    assert chosen.sample_ids == ("sintel/temple_2/frame_0001", "sintel/alley_1/frame_0002")
    (tmp_path / "own.txt").write_text("alley_1/frame_0010\n")
    assert open_dataset("sintel", tmp_path, list_file="own.txt").sample_ids == (
        f"sintel/{told['frames'][1]}",
    )
    assert open_dataset("sintel", tmp_path / "training").record(0).depth_HW[2, 2] == 7.5
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no training/final/SCENE"):
        open_dataset("sintel", tmp_path / "none")


def test_without_the_archive_of_cameras(tmp_path):
    write_sintel(tmp_path)
    (tmp_path / "training/camdata_left/alley_1/frame_0002.cam").unlink()
    record = open_dataset("sintel", tmp_path).record(0)
    assert record.intrinsics_33 is None and record.pose_44 is None and record.valid_HW.any()


def test_cameras_are_inverted():
    turn = np.array([[0.0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3]])
    content = sintel_camera()[: 4 + 72] + turn.astype("<f8").tobytes()
    pose = cam_of(content, "x").pose_44
    np.testing.assert_allclose(np.vstack([turn, [0, 0, 0, 1]]) @ pose, np.eye(4), atol=1e-12)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        struct.pack("<fii", 1.0, W, H) + bytes(4 * H * W),
        SINTEL_TAG + struct.pack("<ii", W, H) + bytes(4 * H * W - 1),
        SINTEL_TAG + struct.pack("<ii", -W, -H) + bytes(4 * H * W),
    ],
)
def test_damaged_files_are_named(tmp_path, content):
    with pytest.raises(DataError, match=r"x\.dpt"):
        dpt_of(content, "x.dpt")
    with pytest.raises(DataError, match=r"x\.cam"):
        cam_of(content, "x.cam")
    write_sintel(tmp_path)
    (tmp_path / "training/depth/alley_1/frame_0002.dpt").write_bytes(content)
    with pytest.raises(DataError, match=r"alley_1/frame_0002\.dpt"):
        open_dataset("sintel", tmp_path).record(0)


def test_depth_of_another_size_is_named(tmp_path):
    write_sintel(tmp_path)
    content = SINTEL_TAG + struct.pack("<ii", 2, 2) + bytes(16)
    (tmp_path / "training/depth/alley_1/frame_0002.dpt").write_bytes(content)
    with pytest.raises(DataError, match=r"frame_0002\.dpt: depth is \[2, 2\]"):
        open_dataset("sintel", tmp_path).record(0)
