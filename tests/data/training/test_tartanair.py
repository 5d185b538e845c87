import mini_d2
import numpy as np
import pytest
from reading import invalid_pixels, opened, records, refuses_damage, same

from nearfar.data.training.tartanair import opencv_pose
from nearfar.errors import ConfigError, DataError


def test_first_version(tmp_path):
    expected = mini_d2.write_tartanair(tmp_path / "a")
    first, second = records("tartanair", tmp_path / "a")
    assert first.depth_HW[3, 3] == expected["depth"] and first.depth_HW[1, 1] == expected["far"]
    assert first.sky_HW[0].all() and first.sky_HW.sum() == 8 and not invalid_pixels(first)
    np.testing.assert_allclose(first.pose_44, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(second.pose_44[:3, 3], expected["center"])
    assert first.intrinsics_33 == pytest.approx(np.array([[4, 0, 4], [0, 4, 3], [0, 0, 1]]))
    assert first.sample_id == "tartanair/abandonedfactory/Easy/P000/000000"
    near, _ = records("tartanair", tmp_path / "a", sky_beyond_m="200")
    assert near.sky_HW[1, 1] and near.sky_HW.sum() == 9
    mini_d2.pack(tmp_path / "a", tmp_path / "a.tar")
    assert same(second, records("tartanair", tmp_path / "a.tar")[1])
    with pytest.raises(ConfigError, match="sky_beyond_m"):
        opened("tartanair", tmp_path / "a", sky_beyond_m="50")


def test_second_version_packs_floats_into_pictures(tmp_path):
    expected = mini_d2.write_tartanair2(tmp_path)
    (record,) = records("tartanair", tmp_path, split="hard")
    assert (record.depth_HW[1:] == np.float32(expected["depth"])).all() and record.sky_HW[0].all()
    assert record.sample_id == "tartanair/ArchVizTinyHouseDay/hard/P001/000000"
    with pytest.raises(DataError, match="no frames of the split 'easy'"):
        opened("tartanair", tmp_path, split="easy")
    depth = next(tmp_path.rglob("*_depth.png"))
    refuses_damage("tartanair", tmp_path, depth)
    mini_d2.put_picture(depth, np.zeros((6, 8, 3), np.uint8))
    with pytest.raises(DataError, match="not 4 bytes per pixel"):
        opened("tartanair", tmp_path).record(0)


def test_looking_right_in_their_axes_is_looking_right_in_ours():
    """A quarter turn about z (down) takes x forward to y right."""
    half = np.sqrt(0.5)
    pose = opencv_pose(np.array([0, 0, 0, 0, 0, half, half]), "x")
    np.testing.assert_allclose(pose[:3, :3] @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(pose[:3, :3] @ [0, 1, 0], [0, 1, 0], atol=1e-12)
    with pytest.raises(DataError, match="holds no pose"):
        opencv_pose(np.zeros(7), "x")


def test_damage_is_named(tmp_path):
    mini_d2.write_tartanair(tmp_path)
    refuses_damage("tartanair", tmp_path, next(tmp_path.rglob("000000_left_depth.npy")))
    poses = next(tmp_path.rglob("pose_left.txt"))
    poses.write_text("0 0 0 0 0 0 1\n1 2\n")
    data = opened("tartanair", tmp_path)
    with pytest.raises(DataError, match=r"pose_left.txt:2: has 2 numbers"):
        data.record(1)
    poses.write_text("0 0 0 0 0 0 1\n")
    with pytest.raises(DataError, match=r"pose_left.txt: has 1 lines, none for frame 1"):
        opened("tartanair", tmp_path).record(1)
