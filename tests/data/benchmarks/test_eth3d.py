import mini_c
import numpy as np
import pytest

from nearfar.data.catalog import open_dataset
from nearfar.errors import DataError

DEPTH = "office/ground_truth_depth/dslr_images/DSC_0219.JPG"


def test_raw_floats_camera_and_pose(tmp_path):
    expected = mini_c.write_eth3d(tmp_path / "eth3d")
    data = mini_c.check_every_way("eth3d", tmp_path / "eth3d")
    assert data.sample_ids == [expected["id"]] and data.keys == [expected["key"]]
    record = data.record(0)
    assert record.depth_HW[3, 3] == expected["depth"]
    assert not record.valid_HW[expected["unknown_row"]].any() and record.valid_HW[1:].all()
    np.testing.assert_allclose(record.intrinsics_33, expected["camera"])
    assert not record.camera_exact
    assert record.pose_44[:3, 3].tolist() == expected["center"]


def test_pose_is_the_inverse_of_colmap(tmp_path):
    mini_c.write_eth3d(tmp_path)
    half = np.sqrt(0.5)  # 90 degrees about z
    (tmp_path / "office/dslr_calibration_jpg/images.txt").write_text(
        f"1 {half} 0 0 {half} 1 2 3 0 dslr_images/DSC_0219.JPG\n1 2 3 4 5 6 7 8 9\n"
    )
    pose = open_dataset("eth3d", tmp_path).record(0).pose_44
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    np.testing.assert_allclose(turn @ pose[:3, 3], [-1, -2, -3], atol=1e-12)
    np.testing.assert_allclose(pose[:3, :3], turn.T, atol=1e-12)


def test_marigolds_tree_by_names_and_by_list(tmp_path):
    expected = mini_c.write_eth3d_marigold(tmp_path / "m")
    data = mini_c.check_every_way("eth3d", tmp_path / "m")
    listed = mini_c.check_every_way("eth3d", tmp_path / "m", list_file="list.txt")
    assert data.sample_ids == listed.sample_ids == [expected["id"]]
    assert mini_c.equal_records(data.record(0), listed.record(0))
    record = data.record(0)
    assert record.depth_HW[3, 3] == expected["depth"]
    assert record.pose_44 is None and record.intrinsics_33 is None


def test_photos_without_depth_are_left_out(tmp_path):
    mini_c.write_eth3d(tmp_path)
    mini_c.put(tmp_path, {"pipes/images/dslr_images/DSC_0001.JPG": b""})
    assert open_dataset("eth3d", tmp_path).sample_ids == ["eth3d/office/DSC_0219"]


@pytest.mark.parametrize(
    ("file", "content", "finding"),
    [
        (DEPTH, b"\0" * 100, rf"{DEPTH}: 100 bytes are not 4 x 6 x 8"),
        ("office/images/dslr_images/DSC_0219.JPG", b"\xff\xd8", "is not an image|is damaged"),
        ("office/dslr_calibration_jpg/cameras.txt", "0 PINHOLE 8 six\n", r"cameras\.txt:1: is no"),
        (
            "office/dslr_calibration_jpg/images.txt",
            "1 one 0 0 0 0 0 -2 0 x.JPG\n",
            r"images\.txt:1: is not a COLMAP photo",
        ),
    ],
)
def test_broken_files_are_named(tmp_path, file, content, finding):
    mini_c.write_eth3d(tmp_path)
    mini_c.put(tmp_path, {file: content})
    with pytest.raises(DataError, match=finding):
        open_dataset("eth3d", tmp_path).record(0)


def test_wrong_list_lines_are_named(tmp_path):
    mini_c.write_eth3d(tmp_path)
    (tmp_path / "list.txt").write_text("a.jpg b\n")
    with pytest.raises(DataError, match=r"list\.txt:1: a\.jpg is not a photo of ETH3D"):
        open_dataset("eth3d", tmp_path, list_file="list.txt")
