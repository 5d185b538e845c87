import mini_d2
import numpy as np
import pytest
from reading import invalid_pixels, opened, records, refuses_damage, same

from nearfar.errors import ConfigError, DataError


def test_depth_sky_and_cameras(tmp_path):
    expected = mini_d2.write_pointodyssey(tmp_path / "a")
    first, second = records("pointodyssey", tmp_path / "a", split="train")
    assert first.depth_HW[3, 3] == pytest.approx(expected["depth"], rel=1e-6)
    assert first.sky_HW[0].all() and first.sky_HW.sum() == 8
    assert invalid_pixels(first) == expected["invalid"]
    np.testing.assert_allclose(second.pose_44[:3, 3], expected["center"])
    assert second.intrinsics_33[0].tolist() == [10, 0, 4] and second.sequence == "dancing"
    mini_d2.pack(tmp_path / "a", tmp_path / "a.tar")
    assert same(second, records("pointodyssey", tmp_path / "a.tar", split="train")[1])
    assert same(second, records("pointodyssey", tmp_path / "a" / "train", split="train")[1])


def test_videos_by_name_and_splits(tmp_path):
    mini_d2.write_pointodyssey(tmp_path)
    assert len(opened("pointodyssey", tmp_path, split="all", sequences="dancing, ").keys) == 2
    with pytest.raises(ConfigError, match="no video 'r4'"):
        opened("pointodyssey", tmp_path, split="all", sequences="dancing,r4")
    with pytest.raises(DataError, match="no folder val/"):
        opened("pointodyssey", tmp_path, split="val")


def test_first_release_is_refused(tmp_path):
    mini_d2.write_pointodyssey(tmp_path)
    video = tmp_path / "train" / "dancing"
    (video / "anno.npz").rename(video / "annot.npz")
    with pytest.raises(DataError, match=r"annot.npz: is PointOdyssey v1.0, whose axes differ"):
        opened("pointodyssey", tmp_path, split="train")


def test_damage_is_named(tmp_path):
    mini_d2.write_pointodyssey(tmp_path)
    video = tmp_path / "train" / "dancing"
    refuses_damage("pointodyssey", tmp_path, video / "depths" / "depth_00000.png", split="all")
    np.savez(video / "anno.npz", intrinsics=np.ones((1, 3, 3)), extrinsics=np.eye(4)[None])
    with pytest.raises(DataError, match=r"anno.npz: has no camera for frame 1"):
        opened("pointodyssey", tmp_path, split="all").record(1)
    np.savez(video / "anno.npz", intrinsics=np.ones((1, 3, 3)), extrinsics=2 * np.eye(4)[None])
    with pytest.raises(DataError, match=r"anno.npz: the camera's pose is not a rotation"):
        opened("pointodyssey", tmp_path, split="all").record(0)
    np.savez(video / "anno.npz", intrinsics=np.ones((2, 3, 3)), extrinsics=np.eye(4)[None])
    with pytest.raises(DataError, match=r"anno.npz: intrinsics \[2, 3, 3\], extrinsics"):
        opened("pointodyssey", tmp_path, split="all").record(0)
    (video / "anno.npz").unlink()
    assert records("pointodyssey", tmp_path, split="all")[0].pose_44 is None
