import mini_d2
import numpy as np
import pytest

from nearfar.data.training.hypersim_camera import (
    exact_z,
    nominal_intrinsics,
    nominal_z,
    pixel_rays,
    tilted_camera,
)
from nearfar.errors import DataError
from nearfar.geometry.clouds import backproject

SHIFTED = [[0.57, 0.02, -0.06], [0.01, 0.43, 0.03], [0.015, 0.08, -1.02]]  # tilted, shifted, skewed


def turn_degrees(rotation_33):
    return np.degrees(np.arccos((np.trace(rotation_33) - 1) / 2))


def test_reference_scenes():
    plain = tilted_camera(np.array(mini_d2.STRAIGHT), (768, 1024), where="x")
    assert plain.intrinsics_33 == pytest.approx(
        np.array([[886.81, 0, 512], [0, 886.81, 384], [0, 0, 1]]), abs=5e-3
    )
    np.testing.assert_allclose(plain.rotation_33, np.eye(3), atol=1e-12)
    tilted = tilted_camera(np.array(mini_d2.TILTED), (768, 1024), where="x")
    assert tilted.intrinsics_33[0, 0] == pytest.approx(864.245, abs=1e-3)
    assert tilted.intrinsics_33[:2, 2] == pytest.approx((512.0, 185.22), abs=5e-3)
    assert turn_degrees(tilted.rotation_33) == pytest.approx(12.95, abs=5e-3)


@pytest.mark.parametrize("matrix", [mini_d2.STRAIGHT, mini_d2.TILTED, SHIFTED])
@pytest.mark.parametrize("size_hw", [(6, 8), (33, 20)])
def test_pinhole_sees_the_same_points(matrix, size_hw):
    """Unprojecting z with K gives d r / |r|, turned by R: for any distances."""
    camera = tilted_camera(np.array(matrix), size_hw, where="x")
    distance = np.random.default_rng(1).uniform(0.5, 30, size_hw)
    rays = pixel_rays(camera.ray_33, size_hw)
    stated = rays / np.linalg.norm(rays, axis=-1, keepdims=True) * distance[..., None]
    z = exact_z(distance, camera)
    y, x = np.mgrid[: size_hw[0], : size_hw[1]] + 0.5
    homogeneous = np.stack([x, y, np.ones_like(x)], -1)  # with skew, which backproject leaves out
    points = homogeneous @ np.linalg.inv(camera.intrinsics_33).T * z[..., None]
    np.testing.assert_allclose(points, stated @ camera.rotation_33.T, rtol=1e-9, atol=1e-9)
    if matrix is not SHIFTED:
        projected = backproject(z.astype(np.float32), camera.intrinsics_33)
        np.testing.assert_allclose(projected, points, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(points, axis=-1), distance, rtol=1e-9)
    np.testing.assert_allclose(camera.rotation_33 @ camera.rotation_33.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(camera.rotation_33) > 0 and (np.diag(camera.intrinsics_33) > 0).all()


def test_plain_scene_agrees_with_the_plain_camera():
    distance = np.full((768, 1024), 5.0)
    camera = tilted_camera(np.array(mini_d2.STRAIGHT), (768, 1024), where="x")
    np.testing.assert_allclose(exact_z(distance, camera), nominal_z(distance), rtol=1e-5)
    np.testing.assert_allclose(camera.intrinsics_33, nominal_intrinsics((768, 1024)), atol=5e-3)


def test_tilted_scene_differs_by_more_than_a_percent():
    distance = np.full((768, 1024), 5.0)
    camera = tilted_camera(np.array(mini_d2.TILTED), (768, 1024), where="x")
    assert np.abs(exact_z(distance, camera) / nominal_z(distance) - 1).max() > 0.05


@pytest.mark.parametrize("matrix", [np.zeros((3, 3)), np.full((3, 3), np.nan), np.eye(3)])
def test_impossible_matrices_are_refused(matrix):
    with pytest.raises(DataError, match=r"ai_1: the camera matrix is not valid"):
        tilted_camera(matrix, (6, 8), where="ai_1")
