import mini_c
import numpy as np
import pytest

from nearfar.data.catalog import open_dataset
from nearfar.errors import DataError


def test_frames_are_in_natural_order_on_the_depth_grid(tmp_path):
    expected = mini_c.write_scannet(tmp_path / "scannet")
    data = mini_c.check_every_way("scannet", tmp_path / "scannet")
    assert data.sample_ids == expected["ids"]
    assert data.keys[:2] == ["scene0000_00/000020", "scene0000_00/000100"]
    lost, found = data.record(0), data.record(1)
    assert lost.pose_44 is None and found.pose_44[:3, 3].tolist() == expected["center_100"]
    assert found.depth_HW.shape == (6, 8) == found.rgb_HW3.shape[:2]
    assert found.notes["photo_size_hw"] == [12, 16]
    assert found.depth_HW[1, 1] == expected["depth_1_1"]
    assert np.argwhere(~found.valid_HW).tolist() == [list(expected["hole"])]
    np.testing.assert_allclose(found.intrinsics_33, expected["camera"])
    assert np.abs(found.rgb_HW3[..., 0].astype(int) - 200).max() < 12


def test_photos_are_averaged_over_the_boxes_of_the_depth_grid(tmp_path):
    mini_c.write_scannet(tmp_path)
    scene = "scene0000_00"
    (tmp_path / scene / "color/20.jpg").unlink()
    large = mini_c.photo(12, 16)
    mini_c.put(tmp_path, {f"{scene}/color/20.png": mini_c.encoded(large)})
    small = open_dataset("scannet", tmp_path).record(0).rgb_HW3
    expected = large.reshape(6, 2, 8, 2, 3).mean((1, 3))
    np.testing.assert_allclose(small, expected, atol=0.5)


def test_scans_are_read_without_loading_them(tmp_path):
    expected = mini_c.write_scannet(tmp_path)
    record = open_dataset("scannet", tmp_path).record(3)
    assert record.sample_id == expected["ids"][3]
    assert record.depth_HW[1, 1] == 2.5 and not record.valid_HW[0, 0]
    assert record.pose_44[:3, 3].tolist() == [1, 0, 0]
    np.testing.assert_allclose(record.intrinsics_33, expected["camera"])
    assert record.time_s == pytest.approx(1 / 30) and record.sequence == "scene0000_01"


def test_names_of_the_other_exporter(tmp_path):
    base = "scene0406_02/frame-000000"
    pgm = b"P5\n8 6\n65535\n" + mini_c.depth_mm().astype(">u2").tobytes()
    mini_c.put(
        tmp_path,
        {
            f"{base}.color.jpg": mini_c.encoded(mini_c.photo(), "JPEG"),
            f"{base}.depth.pgm": pgm,
            f"{base}.pose.txt": "1 0 0 4\n0 1 0 5\n0 0 1 6\n0 0 0 1\n",
        },
    )
    data = open_dataset("scannet", tmp_path)
    assert data.sample_ids == ["scannet/scene0406_02/000000"]
    record = data.record(0)
    assert record.depth_HW[1, 1] == 2.5 and record.pose_44[:3, 3].tolist() == [4, 5, 6]
    assert record.intrinsics_33 is None


def test_lists_choose_frames(tmp_path):
    expected = mini_c.write_scannet(tmp_path / "s")
    data = mini_c.check_every_way("scannet", tmp_path / "s", list_file="list.txt")
    assert data.sample_ids == expected["ids"][1:2]
    (tmp_path / "wrong.txt").write_text("a.jpg b.png\n")
    with pytest.raises(DataError, match=r"wrong\.txt:1: a\.jpg is not a photo of ScanNet"):
        open_dataset("scannet", tmp_path / "s", list_file=tmp_path / "wrong.txt")


@pytest.mark.parametrize(
    ("file", "content", "finding"),
    [
        ("depth/20.png", None, r"depth/20\.p(ng|gm): no such file"),
        ("depth/20.png", mini_c.encoded(mini_c.depth_mm())[:55], r"20\.png: is damaged"),
        ("depth/20.png", mini_c.encoded(mini_c.photo()), "not 16-bit"),
        ("color/20.jpg", b"nothing", r"20\.jpg: is not an image"),
        ("pose/20.txt", "1 0 0", r"20\.txt: has 3 numbers, not 16"),
        ("intrinsic/intrinsic_depth.txt", "5 0 four", "not a list of numbers"),
    ],
)
def test_broken_files_are_named(tmp_path, file, content, finding):
    mini_c.write_scannet(tmp_path)
    path = tmp_path / "scene0000_00" / file
    path.unlink()
    if content is not None:
        mini_c.put(tmp_path / "scene0000_00", {file: content})
    with pytest.raises(DataError, match=finding):
        open_dataset("scannet", tmp_path).record(0)
