import pickle

import numpy as np
import pytest
from mini_d1 import TUM_RGB, H, W, pack, photo, same, save, write, write_tum

from nearfar.data.benchmarks.tum import associate, nearest_pose, pose_matrix
from nearfar.data.catalog import open_dataset
from nearfar.errors import ConfigError, DataError

WALK, DESK = "freiburg3_walking_xyz", "freiburg1_xyz"


def ids(sequence, pairs):
    return tuple(f"tum/{sequence}/{rgb}" for rgb, _ in pairs)


def test_pairs_by_time_depth_and_poses(tmp_path):
    told = write_tum(tmp_path / "t")
    data = open_dataset("tum", tmp_path / "t")
    assert data.sample_ids == ids(DESK, told["pairs"]) + ids(WALK, told["pairs"])
    for i in (0, 1):
        record = data.record(2 + i)
        assert record.sequence == record.scene == WALK and record.time_s == told["times"][i]
        np.testing.assert_array_equal(record.rgb_HW3, photo((0, 2)[i]))
        assert record.notes["depth_time_s"] == float(told["pairs"][i][1])
        for place, metres in told["depth_m"].items():
            assert record.depth_HW[place] == metres
        assert np.argwhere(~record.valid_HW).tolist() == [list(told["hole"])]
        np.testing.assert_allclose(record.pose_44, told["poses"][i], atol=1e-12)
        assert record.intrinsics_33.tolist() == told["intrinsics_fr3"] and record.camera_exact
    assert data.record(0).intrinsics_33.tolist() == told["intrinsics_fr1"]
    assert not data.record(0).camera_exact


def test_pairs_by_position(tmp_path):
    told = write_tum(tmp_path)
    data = open_dataset("tum", tmp_path, options={"pairing": "index", "sequences": WALK_FOLDER})
    assert data.sample_ids == ids(WALK, told["pairs_by_index"])
    assert [data.record(i).notes["depth_time_s"] for i in range(3)] == [1.01, 1.042, 1.13]
    assert data.record(2).pose_44 is not None  # 1.041 is near the stamp 1.0340


WALK_FOLDER = f"rgbd_dataset_{WALK}"


def test_splits_spans_lists_and_names(tmp_path):
    told = write_tum(tmp_path)
    lineage = open_dataset("tum", tmp_path, split="lineage")
    assert lineage.sample_ids == ids(WALK, told["pairs"][:1])  # every third pair
    spanned = open_dataset("tum", tmp_path, options={"frames": "1:2"})
    assert spanned.sample_ids == ids(DESK, told["pairs"][1:]) + ids(WALK, told["pairs"][1:])
    (tmp_path / "own.txt").write_text(f"{WALK_FOLDER}/rgb/{TUM_RGB[2]}.png depth/x.png\n")
    assert open_dataset("tum", tmp_path, list_file="own.txt").sample_ids == ids(
        WALK, told["pairs"][1:]
    )
    with pytest.raises(ConfigError, match="'attic' is not there"):
        open_dataset("tum", tmp_path, options={"sequences": "attic"})


def test_archives_say_the_same_and_datasets_pickle(tmp_path):
    write_tum(tmp_path / "t")
    plain = open_dataset("tum", tmp_path / "t")
    for kind in ("tar", "zip"):
        packed = pickle.loads(pickle.dumps(open_dataset("tum", pack(tmp_path / "t", kind))))
        assert packed.sample_ids == plain.sample_ids
        assert same(packed.record(3), plain.record(3))
    alone = open_dataset("tum", tmp_path / "t" / WALK_FOLDER)  # the root is a sequence
    assert same(alone.record(1), plain.record(3))


def test_association_is_greedy_by_smallest_difference():
    assert associate([1.0, 1.01], [1.008]) == [(1, 0)]
    # 1.01-1.011 goes first, which leaves 1.0 the farther 0.99 and 1.025 the farther 1.03
    assert associate([1.025, 1.0, 1.01], [1.03, 0.99, 1.011]) == [(1, 1), (2, 2), (0, 0)]
    assert associate([1.0], [1.0201]) == []
    assert associate([1.0], [1.5], largest_gap_s=0.6) == [(0, 0)]


def test_association_is_that_of_all_pairs():
    generator = np.random.default_rng(5)
    first = np.cumsum(generator.uniform(0.005, 0.06, 60)).tolist()
    second = np.cumsum(generator.uniform(0.005, 0.06, 60)).tolist()
    left, right, expected = set(first), set(second), []
    for gap, a, b in sorted((abs(a - b), a, b) for a in first for b in second):
        if gap < 0.02 and a in left and b in right:
            expected.append((a, b))
            left.remove(a)
            right.remove(b)
    found = [(first[i], second[j]) for i, j in associate(first, second)]
    assert found == sorted(expected) and len(found) > 20


def test_poses():
    rows = [(1.0, 0, 0, 0, 0, 0, 0, 1), (1.03, 1, 0, 0, 0, 0, 0, 1)]
    assert nearest_pose(rows, 1.016)[0] == 1 and nearest_pose(rows, 1.014)[0] == 0
    assert nearest_pose(rows, 1.06) is None and nearest_pose([], 1.0) is None
    turned = pose_matrix((1, 2, 3, 0.2, -0.4, 0.1, 0.7))
    rotation = turned[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1) and turned[:3, 3].tolist() == [1, 2, 3]
    axis = np.array([0.2, -0.4, 0.1])
    np.testing.assert_allclose(rotation @ axis, axis, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "content", "finding"),
    [
        (
            "rgb.txt",
            "# c\n1.0 rgb/1.000000.png\nsoon rgb/x.png\n",
            "rgb.txt:3: 'soon' is not a time",
        ),
        ("depth.txt", "1.01\n", "depth.txt:1: has 1 columns"),
        ("depth.txt", "77.0 depth/1.010000.png\n", "depth.txt: no stamp is within 0.02 s"),
        ("groundtruth.txt", "1 2 3\n", "groundtruth.txt:1: has 3 columns"),
        ("groundtruth.txt", "#\n1 2 3 4 0 0 0 x\n", "groundtruth.txt:2: is not `time tx"),
        ("groundtruth.txt", "1 2 3 4 0 0 0 0\n", "groundtruth.txt:1: its quaternion is 0"),
    ],
)
def test_wrong_lines_are_named(tmp_path, name, content, finding):
    write_tum(tmp_path, names=(WALK_FOLDER,))
    write(tmp_path / WALK_FOLDER / name, content)
    with pytest.raises(DataError) as error:
        open_dataset("tum", tmp_path)
    assert finding in str(error.value)


@pytest.mark.parametrize(
    ("array", "finding"),
    [
        (np.ones((H, W), np.uint8), "holds uint8"),
        (np.ones((H, W - 1), np.uint16), "depth is [6, 7]"),
    ],
)
def test_broken_depth_is_named(tmp_path, array, finding):
    write_tum(tmp_path, names=(WALK_FOLDER,))
    save(tmp_path / WALK_FOLDER / "depth/1.010000.png", array)
    with pytest.raises(DataError) as error:
        open_dataset("tum", tmp_path).record(0)
    assert f"depth/1.010000.png: {finding}" in str(error.value)


def test_cut_depth_is_named(tmp_path):
    write_tum(tmp_path, names=(WALK_FOLDER,))
    place = tmp_path / WALK_FOLDER / "depth/1.010000.png"
    noise = np.random.default_rng(0).integers(1, 65535, (H, W)).astype(np.uint16)
    save(place, noise)
    place.write_bytes(place.read_bytes()[:90])
    for root in (tmp_path, pack(tmp_path / WALK_FOLDER, "zip")):
        with pytest.raises(DataError, match=r"depth/1\.010000\.png: is damaged"):
            open_dataset("tum", root).record(0)


def test_missing_files(tmp_path):
    write_tum(tmp_path, names=(WALK_FOLDER,))
    (tmp_path / WALK_FOLDER / "groundtruth.txt").unlink()
    assert open_dataset("tum", tmp_path).record(0).pose_44 is None
    for name in ("rgb.txt", "depth.txt"):  # the stamps are in the names as well
        (tmp_path / WALK_FOLDER / name).unlink()
    data = open_dataset("tum", tmp_path)
    assert len(data.sample_ids) == 2
    (tmp_path / WALK_FOLDER / "rgb/1.000000.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match=r"rgb/1\.000000\.png: is"):
        data.record(0)
    (tmp_path / WALK_FOLDER / "depth/1.010000.png").unlink()
    with pytest.raises(DataError, match=r"1\.000000\.png: is|1\.010000\.png: no such file"):
        data.record(0)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no SEQUENCE/rgb"):
        open_dataset("tum", tmp_path / "none")
