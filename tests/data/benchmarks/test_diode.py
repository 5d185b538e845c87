import mini_c
import numpy as np
import pytest

from nearfar.data.catalog import open_dataset
from nearfar.errors import DataError

STEM = "val/indoors/scene_00019/scan_00183/00019_00183_indoors_000_010"


def test_the_mask_decides_and_no_range_is_applied(tmp_path):
    expected = mini_c.write_diode(tmp_path / "diode")
    data = mini_c.check_every_way("diode", tmp_path / "diode")
    assert data.sample_ids == expected["ids"]
    assert data.keys == [i.rsplit("/")[-1] for i in expected["ids"]]
    record = data.record(0)
    assert record.depth_HW[3, 3] == expected["depth"] and record.depth_HW[2, 2] == expected["far"]
    assert not record.valid_HW[expected["unknown_row"]].any() and record.valid_HW[1:].all()
    np.testing.assert_array_equal(record.rgb_HW3, mini_c.photo())
    assert [data.record(i).notes["place"] for i in (0, 1)] == ["indoor", "outdoor"]


def test_splits_are_places_and_a_list_is_the_same(tmp_path):
    expected = mini_c.write_diode(tmp_path)
    for split, index in (("val-indoor", 0), ("val-outdoor", 1)):
        assert open_dataset("diode", tmp_path, split=split).sample_ids == [expected["ids"][index]]
    listed = open_dataset("diode", tmp_path, list_file="list.txt")
    assert listed.sample_ids == expected["ids"][:1]
    assert listed.record(0).depth_HW[3, 3] == expected["depth"]
    assert open_dataset("diode", tmp_path / "val").sample_ids == expected["ids"]
    with pytest.raises(DataError, match="no train/indoors"):
        open_dataset("diode", tmp_path, split="train")


def test_full_size_photos_have_the_official_camera(tmp_path):
    mini_c.write_diode(tmp_path)
    size = (768, 1024)
    mini_c.put(
        tmp_path,
        {
            f"{STEM}.png": mini_c.encoded(np.zeros((*size, 3), np.uint8)),
            f"{STEM}_depth.npy": mini_c.npy(np.ones((*size, 1), np.float32)),
            f"{STEM}_depth_mask.npy": mini_c.npy(np.ones(size, np.uint8)),
        },
    )
    data = open_dataset("diode", tmp_path)
    camera = data.record(0).intrinsics_33
    assert camera.tolist() == [[886.81, 0, 512.5], [0, 927.06, 384.5], [0, 0, 1]]
    assert data.record(1).intrinsics_33 is None


@pytest.mark.parametrize(
    ("file", "content", "finding"),
    [
        ("_depth_mask.npy", None, r"_depth_mask\.npy: no such file"),
        ("_depth_mask.npy", mini_c.npy(np.ones((3, 3))), r"mask is \[3, 3\]"),
        ("_depth.npy", mini_c.npy(np.ones((6, 8, 1), np.uint16)), "holds uint16"),
        ("_depth.npy", mini_c.npy(np.ones((6, 7, 1), np.float32)), r"depth is \[6, 7\]"),
        ("_depth.npy", b"no array", r"_depth\.npy: is damaged"),
        (".png", mini_c.encoded(mini_c.photo())[:60], r"010\.png: is damaged"),
    ],
)
def test_broken_files_are_named(tmp_path, file, content, finding):
    mini_c.write_diode(tmp_path)
    path = tmp_path / (STEM + file)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=finding):
        open_dataset("diode", tmp_path).record(0)


def test_wrong_list_lines_are_named(tmp_path):
    mini_c.write_diode(tmp_path)
    for line, finding in (("a b", "has 2 columns"), ("a.png b c", "not a photo of DIODE")):
        (tmp_path / "list.txt").write_text(line)
        with pytest.raises(DataError, match=rf"list\.txt:1: .*{finding}"):
            open_dataset("diode", tmp_path, list_file="list.txt")
