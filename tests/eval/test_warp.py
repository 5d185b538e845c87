from pathlib import Path

import numpy as np
import pytest

from nearfar.errors import ConfigError
from nearfar.eval.warp import moge_warp

GOLDEN = dict(np.load(Path(__file__).parents[1] / "golden" / "eval" / "moge_loader.npz"))


def golden_warp(case):
    rgb, depth = GOLDEN[f"{case}.in.image"], GOLDEN[f"{case}.in.depth_nan"]
    height, width = depth.shape
    camera = GOLDEN[f"{case}.in.intrinsics"] * np.array([[width], [height], [1.0]])
    target_w, target_h = (int(v) for v in GOLDEN[f"{case}.in.target_wh"])
    known = np.isfinite(depth)
    return moge_warp(rgb, np.where(known, depth, 0), known, camera, size_hw=(target_h, target_w))


@pytest.mark.parametrize("case", ["down", "same"])
def test_sample_is_moges(case):
    warped = golden_warp(case)
    height, width = warped.depth_HW.shape
    camera = warped.intrinsics_33 / np.array([[width], [height], [1.0]])
    np.testing.assert_allclose(camera, GOLDEN[f"{case}.out.intrinsics"], atol=1e-6)
    valid, depth = GOLDEN[f"{case}.out.depth_mask"], GOLDEN[f"{case}.out.depth"]
    assert np.mean(warped.valid_HW != valid) <= 0.002
    both = valid & warped.valid_HW
    assert np.mean(np.abs(warped.depth_HW[both] / depth[both] - 1) > 1e-5) <= 0.002
    rgb = warped.rgb_HW3.transpose(2, 0, 1).astype(int)
    assert np.abs(rgb - GOLDEN[f"{case}.out.image"]).max() <= 2


def test_centered_camera_at_its_own_size_changes_nothing():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    depth = rng.uniform(1, 5, (24, 32)).astype(np.float32)
    valid = rng.random((24, 32)) > 0.2
    camera = np.array([[30.0, 0, 16], [0, 30, 12], [0, 0, 1]])
    warped = moge_warp(rgb, depth, valid, camera, size_hw=(24, 32))
    assert np.array_equal(warped.rgb_HW3, rgb)
    assert np.array_equal(warped.valid_HW, valid)
    np.testing.assert_allclose(warped.depth_HW[valid], depth[valid], rtol=1e-6)
    np.testing.assert_allclose(warped.intrinsics_33, camera)


def test_tilted_plane_keeps_its_points():
    """Points of a plane seen through an off-center camera lie on that plane afterwards."""
    camera = np.array([[60.0, 0, 40], [0, 60, 28], [0, 0, 1]])
    normal = np.array([0.2, -0.3, 1.0])
    v, u = np.mgrid[0:60, 0:70] + 0.5
    rays = np.stack([u, v, np.ones_like(u)], axis=2) @ np.linalg.inv(camera).T
    depth = (3 / (rays @ normal)).astype(np.float32)
    known = np.ones(depth.shape, bool)
    warped = moge_warp(np.zeros((60, 70, 3), np.uint8), depth, known, camera, size_hw=(60, 70))
    assert warped.valid_HW.all()
    v, u = np.mgrid[0:60, 0:70] + 0.5
    rays = np.stack([u, v, np.ones_like(u)], axis=2) @ np.linalg.inv(warped.intrinsics_33).T
    points = rays * warped.depth_HW[..., None]
    design = np.concatenate([points.reshape(-1, 3), np.ones((4200, 1))], axis=1)
    assert np.linalg.svd(design, compute_uv=False)[-1] / np.sqrt(4200) < 0.02
    assert np.linalg.norm(points[30, 35]) != pytest.approx(depth[30, 35], rel=1e-3)


def test_far_outliers_are_dropped():
    depth = np.ones((24, 32), np.float32)
    depth[5, 5] = 5000
    camera = np.array([[30.0, 0, 16], [0, 30, 12], [0, 0, 1]])
    rgb = np.zeros((24, 32, 3), np.uint8)
    warped = moge_warp(rgb, depth, depth > 0, camera, size_hw=(24, 32))
    assert not warped.valid_HW[5, 5] and warped.depth_HW[5, 5] == 0 and warped.valid_HW.sum() == 767
    with pytest.raises(ConfigError):
        moge_warp(rgb[1:], depth, depth > 0, camera, size_hw=(24, 32))
