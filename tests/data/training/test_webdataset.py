import mini_d2
import numpy as np
import pytest
from reading import invalid_pixels, opened, records, same

from nearfar.data.training.webdataset import expand_braces
from nearfar.errors import ConfigError, DataError


def test_shards_with_repeated_keys(tmp_path):
    expected = mini_d2.write_webdataset(tmp_path)
    found = records("webdataset", tmp_path)
    assert [r.sample_id for r in found] == [f"webdataset/{key}" for key in expected["keys"]]
    assert [float(r.depth_HW[3, 3]) for r in found] == expected["depth"]
    assert invalid_pixels(found[0]) == [(0, 0)] + [(1, x) for x in range(8)]  # 0, and the mask
    assert found[0].sky_HW is None and found[2].sky_HW[0].all() and found[2].sky_HW.sum() == 8
    assert found[0].intrinsics_33.tolist() == [[10, 0, 4], [0, 10, 3], [0, 0, 1]]
    assert found[1].intrinsics_33[1].tolist() == [0, 11, 3] and found[2].intrinsics_33 is None
    assert found[0].pose_44[:3, 3].tolist() == [1, 2, 3] and found[0].scene == "s"
    assert found[0].notes["licence"] == "x"
    assert found[2].rgb_HW3.tolist() == mini_d2.photo(2).tolist()


def test_some_shards_only(tmp_path):
    expected = mini_d2.write_webdataset(tmp_path)
    every = records("webdataset", tmp_path, shards="train-{000000..000001}.tar")
    assert len(every) == 3
    (last,) = records("webdataset", tmp_path, shards="train-{000001..000001}.tar")
    (alone,) = records("webdataset", tmp_path / "train-000001.tar")
    assert same(last, alone) and same(last, every[2])
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join([expected["keys"][2], expected["keys"][0], "a/b"]))
    data = opened("webdataset", tmp_path, list_file=listed)
    assert same(data.record(0), every[2]) and same(data.record(1), every[0])
    with pytest.raises(DataError, match=r"list.txt:3: a/b is in no shard"):
        data.record(2)
    with pytest.raises(DataError, match=r"train-000002.tar"):
        opened("webdataset", tmp_path, shards="train-{000000..000002}.tar")


def test_brace_patterns():
    assert expand_braces("a-{08..11}.tar, b.tar") == [
        "a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar", "b.tar"
    ]  # fmt: skip
    assert expand_braces("{0..1}-{0..1}") == ["0-0", "0-1", "1-0", "1-1"]
    with pytest.raises(ConfigError, match="counts down"):
        expand_braces("{3..1}")


def test_other_endings_by_rename(tmp_path):
    depth = np.full((6, 8), 3.0, np.float32)
    mini_d2.add_shard(tmp_path / "x.tar", {"dir/5": {"image.png": mini_d2.photo(), "d.npy": depth}})
    with pytest.raises(DataError, match=r"no KEY.rgb.png"):
        opened("webdataset", tmp_path)
    (record,) = records("webdataset", tmp_path, rename="image.png=rgb.png, d.npy=depth.npy")
    assert record.sample_id == "webdataset/x/dir/5" and record.depth_HW[3, 3] == 3
    for rename, finding in (("image.png", "Write image.png=rgb.png"), ("a=b", "'b' is not part")):
        with pytest.raises(ConfigError, match=finding):
            opened("webdataset", tmp_path, rename=rename)


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"json": {}}, "depth_scale is None"),
        ({"json": {"depth_scale": 0}}, "depth_scale is 0"),
        ({"json": [1]}, "is not a JSON object"),
        ({"json": {"depth_scale": 1, "K": [1, 2]}}, r"K is \[1, 2\]. Give 4 or 9 numbers"),
        ({"json": {"depth_scale": 1, "pose": "up"}}, "pose is up. Give 16 numbers"),
        ({"depth.png": np.ones((6, 8), np.uint8)}, "not 16-bit depth"),
        ({"rgb.png": np.zeros((4, 8, 3), np.uint8)}, r"depth is \[6, 8\], its photo \[4, 8\]"),
        ({"mask.png": np.zeros((4, 8), np.uint8)}, r"depth is \[6, 8\], its mask \[4, 8\]"),
    ],
)
def test_wrong_samples_name_shard_and_member(tmp_path, change, finding):
    sample = {"rgb.png": mini_d2.photo(), "depth.png": np.ones((6, 8), np.uint16),
              "json": {"depth_scale": 1}}  # fmt: skip
    mini_d2.add_shard(tmp_path / "x.tar", {"7": sample | change})
    with pytest.raises(DataError, match=finding) as caught:
        opened("webdataset", tmp_path).record(0)
    assert "x.tar!7." in str(caught.value)


def test_a_shard_that_ends_early(tmp_path):
    mini_d2.write_webdataset(tmp_path)
    path = tmp_path / "train-000001.tar"
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(DataError, match=r"train-000001.tar"):
        opened("webdataset", tmp_path).record(2)
