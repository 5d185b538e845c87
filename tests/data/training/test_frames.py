import numpy as np
import pytest

from nearfar.data.store import open_store
from nearfar.data.training.frames import (
    FrameDataset,
    Layout,
    find_frames,
    inverse_pose,
    known_depth,
    side_files,
)
from nearfar.errors import DataError

LAYOUT = Layout("Toy", {"rgb": r"(\w+)/i_(\d+)\.png", "depth": r"(\w+)/d_(\d+)\.png"}, "{}/{}")


@pytest.fixture
def store(tmp_path):
    for name in ("a/i_10.png", "a/i_9.png", "b/i_1.png", "a/d_9.png", "a/d_10.png", "a/t.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return open_store(tmp_path)


def test_frames_are_in_natural_order_and_none_is_lost(store):
    frames = find_frames(store, LAYOUT)
    assert [frame.key for frame in frames] == ["a/9", "a/10", "b/1"]
    assert frames[0].files == {"rgb": "a/i_9.png", "depth": "a/d_9.png"}
    with pytest.raises(DataError, match=r"b/i_1.png: has no depth file beside it"):
        frames[2].file("depth", store)
    data = FrameDataset("toy", frames, None)
    assert data.sample_ids == ["toy/a/9", "toy/a/10", "toy/b/1"]
    assert side_files(store, r"(\w+)/t\.txt") == {("a",): "a/t.txt"}


def test_photos_without_any_depth_are_no_layout(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "i_1.png").touch()
    assert find_frames(open_store(tmp_path), LAYOUT) == []


def test_known_depth_follows_the_rules_of_records():
    values = np.array([[1, np.nan, np.inf], [-1, 0, 1e-50], [5, 6, 7]])
    known, sky = np.ones((3, 3), bool), np.zeros((3, 3), bool)
    known[2, 1], sky[2, 2] = False, True
    depth = known_depth(values, known_HW=known, sky_HW=sky, where="x")
    assert depth.depth_HW.dtype == np.float32
    assert depth.depth_HW.tolist() == [[1, 0, 0], [0, 0, 0], [5, 0, 0]]
    assert (depth.valid_HW == (depth.depth_HW > 0)).all()
    with pytest.raises(DataError, match=r"x: depth is \[3, 3\], its sky \[3, 2\]"):
        known_depth(values, sky_HW=sky[:, :2], where="x")


def test_poses_are_inverted_and_checked():
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    rows = np.hstack([turn, [[1], [2], [3]]])
    pose = inverse_pose(rows, "x")
    np.testing.assert_allclose(pose @ np.vstack([rows, [0, 0, 0, 1]]), np.eye(4), atol=1e-12)
    for wrong in (rows * 2, rows * np.nan, np.zeros(5)):
        with pytest.raises(DataError, match=r"x: the camera's pose"):
            inverse_pose(wrong, "x")
