import mini_c
import numpy as np
import pytest

from nearfar.data.benchmarks.sunrgbd import rotated_bits
from nearfar.data.catalog import open_dataset
from nearfar.errors import DataError

FRAME = f"SUNRGBD/{mini_c.SUN_FRAME}"


def test_bits_are_rotated_back():
    stored = np.array([[16000, 0, 1, 7]], np.uint16)
    assert rotated_bits(stored).tolist() == [[2000, 0, 1 << 13, 7 << 13]]


def test_depth_beyond_the_toolbox_is_unknown(tmp_path):
    expected = mini_c.write_sunrgbd(tmp_path / "sun")
    data = mini_c.check_every_way("sunrgbd", tmp_path / "sun")
    assert data.sample_ids == [expected["id"]] and data.keys == [mini_c.SUN_FRAME]
    record = data.record(0)
    assert record.depth_HW[3, 3] == expected["depth"] == record.depth_HW[2, 2]
    assert not record.valid_HW[expected["far_row"]].any() and not record.valid_HW[expected["hole"]]
    assert record.valid_HW.sum() == 39
    np.testing.assert_allclose(record.intrinsics_33, expected["camera"])
    assert record.notes == {"sensor": "xtion", "in_nyu": False}


def test_options_clip_and_depth(tmp_path):
    expected = mini_c.write_sunrgbd(tmp_path)
    clipped = open_dataset("sunrgbd", tmp_path, options={"clip": "toolbox"}).record(0)
    assert (clipped.depth_HW[expected["far_row"]] == 8).all()
    assert clipped.valid_HW[expected["far_row"]].all() and not clipped.valid_HW[expected["hole"]]
    raw = open_dataset("sunrgbd", tmp_path, options={"depth": "raw"}).record(0)
    assert not raw.valid_HW[expected["raw_hole"]]


def test_all_frames_by_names_and_by_list(tmp_path):
    expected = mini_c.write_sunrgbd(tmp_path / "sun")
    for opened in ({"split": "all"}, {"list_file": "list.txt"}):
        assert mini_c.check_every_way("sunrgbd", tmp_path / "sun", **opened).sample_ids == [
            expected["id"]
        ]
    inner = open_dataset("sunrgbd", tmp_path / "sun/SUNRGBD", split="all")
    assert inner.sample_ids == [expected["id"]]
    with pytest.raises(DataError, match=r"no SUNRGBDtoolbox/.*allsplit\.mat"):
        open_dataset("sunrgbd", tmp_path / "sun/SUNRGBD")
    with pytest.raises(DataError, match="no SUNRGBD/SENSOR"):
        open_dataset("sunrgbd", tmp_path / "sun", split="train")


@pytest.mark.parametrize(
    ("file", "content", "finding"),
    [
        ("depth_bfx/0015970-000532883796.png", None, "depth_bfx: holds no picture"),
        ("depth_bfx/0015970-000532883796.png", mini_c.encoded(mini_c.photo()), "not 16-bit"),
        ("image/0015898-000532870884.jpg", b"\xff\xd8\xff", r"884\.jpg: is"),
        ("intrinsics.txt", "570 0 310", "has 3 numbers, not 9"),
    ],
)
def test_broken_files_are_named(tmp_path, file, content, finding):
    mini_c.write_sunrgbd(tmp_path)
    (tmp_path / FRAME / file).unlink()
    if content is not None:
        mini_c.put(tmp_path / FRAME, {file: content})
    data = open_dataset("sunrgbd", tmp_path, list_file="list.txt")
    with pytest.raises(DataError, match=rf"list\.txt:1: .*{finding}"):
        data.record(0)


def test_damaged_split_file_is_named(tmp_path):
    mini_c.write_sunrgbd(tmp_path)
    split = tmp_path / "SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat"
    split.write_bytes(split.read_bytes()[:200])
    with pytest.raises(DataError, match=r"allsplit\.mat: (is a damaged|has no alltest)"):
        open_dataset("sunrgbd", tmp_path)
