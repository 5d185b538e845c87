import mini_c
import numpy as np
import pytest

from nearfar.data.catalog import open_dataset
from nearfar.errors import DataError


def test_the_mat_file_is_transposed_and_split_from_one(tmp_path):
    expected = mini_c.write_nyu(tmp_path / "nyu")
    data = mini_c.check_every_way("nyu", tmp_path / "nyu")
    assert data.sample_ids == expected["ids"] and data.keys == expected["keys"]
    record = data.record(1)
    assert record.rgb_HW3.shape == (480, 640, 3) and record.scene == "kitchen_0004"
    assert record.rgb_HW3[10, 7].tolist() == expected["rgb_10_7"]
    assert record.depth_HW[0, 0] == expected["depth"]
    assert np.argwhere(~record.valid_HW).tolist() == [list(expected["hole"])]
    assert record.filled_HW[expected["hole"]] == 2.5
    camera = record.intrinsics_33
    np.testing.assert_allclose([camera[1, 1], *camera[:2, 2]], expected["camera"])
    assert open_dataset("nyu", tmp_path / "nyu", split="train").keys == ["2"]


def test_the_filled_map_is_an_option(tmp_path):
    expected = mini_c.write_nyu(tmp_path)
    record = open_dataset("nyu", tmp_path, options={"gt": "filled"}).record(0)
    assert record.valid_HW.all() and record.depth_HW[expected["hole"]] == 2.5


def test_bts_folders_count_from_zero_and_lists_begin_with_a_slash(tmp_path):
    expected = mini_c.write_nyu_bts(tmp_path / "bts")
    data = mini_c.check_every_way("nyu", tmp_path / "bts", list_file="test_list.txt")
    assert data.sample_ids == [expected["id"]] and data.keys == [expected["key"]]
    record = data.record(0)
    assert record.depth_HW[1, 1] == 2.5 and record.depth_HW[5, 5] == 3.0
    assert np.argwhere(~record.valid_HW).tolist() == [[0, 0]] and record.filled_HW is None
    assert np.abs(record.rgb_HW3[..., 0].astype(int) - 200).max() < 12
    assert open_dataset("nyu", tmp_path / "bts").sample_ids == data.sample_ids  # without the list
    train = open_dataset("nyu", tmp_path / "bts", list_file="train_list.txt", split="train")
    assert train.keys == [expected["train_key"]] and train.record(0).depth_HW[1, 1] == 2.5
    with pytest.raises(DataError, match=r"test_list\.txt:1: .*no filled depth"):
        open_dataset(
            "nyu", tmp_path / "bts", list_file="test_list.txt", options={"gt": "filled"}
        ).record(0)


def test_marigold_has_raw_and_filled_depth(tmp_path):
    expected = mini_c.write_nyu_marigold(tmp_path / "m")
    data = mini_c.check_every_way("nyu", tmp_path / "m")
    assert data.sample_ids == [expected["id"]] and data.keys == ["1"]
    record = data.record(0)
    np.testing.assert_array_equal(record.rgb_HW3, mini_c.photo())
    assert record.depth_HW[1, 1] == expected["depth_1_1"] and not record.valid_HW[0, 0]
    assert record.filled_HW[0, 0] == np.float32(expected["filled_0_0"])
    (tmp_path / "m/filename_list_test.txt").unlink()
    by_names = open_dataset("nyu", tmp_path / "m", options={"gt": "filled"})
    assert by_names.sample_ids == data.sample_ids and by_names.record(0).valid_HW.all()


@pytest.mark.parametrize(
    ("file", "content", "finding"),
    [
        ("rgb_0001.png", mini_c.encoded(mini_c.photo())[:50], r"rgb_0001\.png: is damaged"),
        ("depth_0001.png", mini_c.encoded(mini_c.photo()[..., 0]), "uint8.*not 16-bit"),
        ("depth_0001.png", mini_c.encoded(np.ones((3, 3), np.uint16)), r"depth is \[3, 3\]"),
        ("filled_0001.png", None, r"filled_0001\.png: no such file"),
    ],
)
def test_broken_files_are_named_with_their_line(tmp_path, file, content, finding):
    mini_c.write_nyu_marigold(tmp_path)
    path = tmp_path / "test/kitchen_0004" / file
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    data = open_dataset("nyu", tmp_path)
    with pytest.raises(DataError, match=rf"filename_list_test\.txt:1: .*{finding}"):
        data.record(0)


def test_wrong_list_lines_are_named(tmp_path):
    mini_c.write_nyu_marigold(tmp_path)
    (tmp_path / "list.txt").write_text("test/kitchen_0004/rgb_0001.png\n")
    with pytest.raises(DataError, match=r"list\.txt:1: has 1 columns"):
        open_dataset("nyu", tmp_path, list_file=tmp_path / "list.txt")


def test_damaged_mat_files_are_named(tmp_path):
    mini_c.write_nyu(tmp_path)
    mat, splits = tmp_path / "nyu_depth_v2_labeled.mat", tmp_path / "splits.mat"
    whole = splits.read_bytes()
    splits.write_bytes(whole[:150])
    with pytest.raises(DataError, match=r"splits\.mat: (is a damaged|has no testNdxs)"):
        open_dataset("nyu", tmp_path)
    splits.write_bytes(whole)
    mat.write_bytes(mat.read_bytes()[:900])
    with pytest.raises(DataError, match=r"labeled\.mat: is a damaged \.mat"):
        open_dataset("nyu", tmp_path)
