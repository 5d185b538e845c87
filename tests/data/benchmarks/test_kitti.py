import mini_c
import numpy as np
import pytest

from nearfar.data.catalog import open_dataset
from nearfar.errors import DataError

LIST = "eigen_test_files_with_gt.txt"
TRUTH = f"{mini_c.DRIVE}/proj_depth/groundtruth/image_02/0000000069.png"


def test_lines_without_ground_truth_are_left_out(tmp_path):
    expected = mini_c.write_kitti(tmp_path / "kitti")
    data = mini_c.check_every_way("kitti", tmp_path / "kitti")
    assert data.sample_ids == [expected["id"]] and data.keys == [expected["key"]]
    record = data.record(0)
    assert record.depth_HW.shape == (375, 1242)
    assert record.depth_HW[300, 600] == expected["depth_300_600"]
    assert record.valid_HW.sum() == 2 and (record.rgb_HW3 == 7).all()
    np.testing.assert_allclose(record.intrinsics_33, expected["camera"])
    assert record.camera_exact and record.time_s == pytest.approx(6.9)
    assert record.sequence == mini_c.DRIVE == record.scene


def test_monodepth2_lists_and_val_drives_are_the_same_frames(tmp_path):
    expected = mini_c.write_kitti(tmp_path)
    data = open_dataset("kitti", tmp_path, list_file="monodepth2.txt")
    assert data.sample_ids == [expected["id"]]
    drives = open_dataset("kitti", tmp_path, split="val-drives")
    assert drives.sample_ids == data.sample_ids
    assert mini_c.equal_records(drives.record(0), data.record(0))


@pytest.mark.parametrize(
    "folder",
    ["", "train/", "data_depth_annotated/val/", "kitti_gt/2011_09_26/", "depth/"],
)
def test_ground_truth_is_searched_where_loaders_search(tmp_path, folder):
    mini_c.write_kitti(tmp_path)
    target = tmp_path / folder / TRUTH
    target.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "val" / TRUTH).rename(target)
    record = open_dataset("kitti", tmp_path).record(0)
    assert record.sources[1] == folder + TRUTH and record.depth_HW[300, 600] == 10


def test_photos_may_be_jpeg_in_a_folder_of_their_own(tmp_path):
    mini_c.write_kitti(tmp_path)
    (tmp_path / "raw").mkdir()
    (tmp_path / "2011_09_26").rename(tmp_path / "raw/2011_09_26")
    png = tmp_path / f"raw/2011_09_26/{mini_c.DRIVE}/image_02/data/0000000069.png"
    png.with_suffix(".jpg").write_bytes(
        mini_c.encoded(np.full((375, 1242, 3), 7, np.uint8), "JPEG")
    )
    png.unlink()
    record = open_dataset("kitti", tmp_path).record(0)
    assert record.sources[0].startswith("raw/") and record.sources[0].endswith(".jpg")
    assert record.intrinsics_33[0, 0] == 721.5377


def test_without_calibration_the_focal_length_of_the_list_is_nominal(tmp_path):
    mini_c.write_kitti(tmp_path)
    (tmp_path / "2011_09_26/calib_cam_to_cam.txt").unlink()
    record = open_dataset("kitti", tmp_path).record(0)
    assert not record.camera_exact
    assert record.intrinsics_33[:2, 2].tolist() == [621, 187.5]


def test_right_camera_has_ids_of_its_own(tmp_path):
    mini_c.write_kitti(tmp_path)
    right = f"2011_09_26/{mini_c.DRIVE}/image_03/data/0000000069.png"
    truth = f"val/{TRUTH}".replace("image_02", "image_03")
    mini_c.put(
        tmp_path,
        {
            right: mini_c.encoded(np.full((375, 1242, 3), 9, np.uint8)),
            truth: (tmp_path / "val" / TRUTH).read_bytes(),
            "right.txt": f"2011_09_26/{mini_c.DRIVE} 69 l\n2011_09_26/{mini_c.DRIVE} 69 r\n",
        },
    )
    data = open_dataset("kitti", tmp_path, list_file="right.txt")
    assert [i.rsplit("/")[-1] for i in data.sample_ids] == ["0000000069", "0000000069-right"]
    assert data.record(0).rgb_HW3[0, 0, 0] == 7
    with pytest.raises(DataError, match=r"right\.txt:2: .*has no P_rect_03"):
        data.record(1)


def test_official_selection_has_cropped_photos_with_cameras(tmp_path):
    expected = mini_c.write_kitti_selection(tmp_path / "k")
    data = mini_c.check_every_way("kitti", tmp_path / "k", split="selection")
    assert data.sample_ids == [expected["id"]]
    record = data.record(0)
    assert record.depth_HW[1, 1] == expected["depth"] and not record.valid_HW[0].any()
    assert record.intrinsics_33[0, 2] == expected["cx"]


def test_broken_files_are_named(tmp_path):
    mini_c.write_kitti(tmp_path)
    truth = tmp_path / "val" / TRUTH
    whole = truth.read_bytes()
    truth.write_bytes(whole[: len(whole) // 2])
    data = open_dataset("kitti", tmp_path)
    with pytest.raises(DataError, match=rf"{LIST}:1: .*{TRUTH}: is damaged"):
        data.record(0)
    truth.write_bytes(mini_c.encoded(np.ones((375, 1242), np.uint8)))
    with pytest.raises(DataError, match="not 16-bit"):
        data.record(0)
    truth.unlink()
    with pytest.raises(DataError, match=rf"{LIST}:1: .*{TRUTH}: no such file"):
        data.record(0)


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("photo.png depth.png 721.5", r"photo\.png is not a photo of KITTI"),
        ("2011_09_26/drive 69 l", "is not a drive"),
        ("2011_09_26/2011_09_26_drive_0002_sync 69 x", "not a line of an Eigen list"),
        ("2011_09_26/2011_09_26_drive_0002_sync", "has 1 columns"),
        ("2011_09_26/a_sync/image_02/data/0000000001.png ../x.png", "leaves the dataset"),
    ],
)
def test_wrong_list_lines_are_named(tmp_path, line, finding):
    (tmp_path / "list.txt").write_text(f"# comment\n{line}\n")
    with pytest.raises(DataError, match=rf"list\.txt:2: .*{finding}"):
        open_dataset("kitti", tmp_path, list_file="list.txt")


def test_a_list_without_any_ground_truth_is_refused(tmp_path):
    mini_c.write_kitti(tmp_path)
    (tmp_path / "val" / TRUTH).unlink()
    with pytest.raises(DataError, match=r"no ground truth for any line of monodepth2\.txt"):
        open_dataset("kitti", tmp_path, list_file="monodepth2.txt")
