"""Hypersim's cameras: tilted image planes as true pinholes, and depth along the axis from distance.

Spec datasets 1.1. Hypersim states a matrix M per scene that maps (u, v, 1) in -1..1 (v up) to a ray
with y up and z backward; more than half of the scenes have a tilted or shifted image plane. With
A = diag(1, -1, -1) M N (pixel to OpenCV ray) the decomposition inv(A) = K R, K upper triangular,
gives the pinhole camera K that, turned by R, sees exactly the same pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import DataError
from nearfar.geometry.camera import intrinsics_from_focal

FLIP_YZ = np.diag([1.0, -1.0, -1.0])  # x right, y up, z backward <-> OpenCV axes
_NOMINAL_FOCAL, _NOMINAL_WIDTH = 886.81, 1024  # (1024 / 2) / tan(30 degrees), as Marigold rounds it


class TiltedCamera(NamedTuple):
    """intrinsics_33: of the true pinhole, pixel centers at +0.5. rotation_33: old to new axes.

    ray_33: pixel (x, y, 1) to a ray in the axes of the stated (old) camera.
    """

    intrinsics_33: NDArray[np.float64]
    rotation_33: NDArray[np.float64]
    ray_33: NDArray[np.float64]


def tilted_camera(
    camera_from_uv_33: NDArray[np.float64], size_hw: tuple[int, int], *, where: str
) -> TiltedCamera:
    """The true pinhole of one scene for images of this size; DataError for an impossible matrix."""
    height, width = size_hw
    uv_from_pixel = np.array([[2 / width, 0, -1], [0, -2 / height, 1], [0, 0, 1]])
    ray_33 = FLIP_YZ @ np.asarray(camera_from_uv_33, np.float64) @ uv_from_pixel
    if not np.isfinite(ray_33).all() or not np.linalg.det(ray_33) > 1e-12:
        raise DataError(where, "the camera matrix is not valid", "Get a complete copy of the table")
    triangle, rotation = _rq(np.linalg.inv(ray_33))
    return TiltedCamera(triangle / triangle[2, 2] + 0.0, rotation, ray_33)  # 0.0: no -0.0


def exact_z(distance_HW: NDArray[np.floating], camera: TiltedCamera) -> NDArray[np.float64]:
    """Metres along the axis of the true pinhole: z = d (R r)_z / |r|, r the ray of the pixel."""
    rays_HW3 = pixel_rays(camera.ray_33, (distance_HW.shape[0], distance_HW.shape[1]))
    along = rays_HW3 @ camera.rotation_33[2]
    return distance_HW.astype(np.float64) * along / np.linalg.norm(rays_HW3, axis=-1)


def pixel_rays(ray_33: NDArray[np.float64], size_hw: tuple[int, int]) -> NDArray[np.float64]:
    """The ray [H,W,3] of every pixel's center (at +0.5), not normalized."""
    y, x = np.mgrid[: size_hw[0], : size_hw[1]] + 0.5
    return np.stack([x, y, np.ones_like(x)], axis=-1) @ ray_33.T


def nominal_z(distance_HW: NDArray[np.floating]) -> NDArray[np.float64]:
    """Metres along the axis if every scene had the plain camera: z = d f / sqrt(x^2 + y^2 + f^2).

    x, y count from the middle of the image. This is what Marigold's data preparation does.
    """
    height, width = distance_HW.shape
    focal = nominal_focal(width)
    y, x = np.mgrid[:height, :width]
    reach = np.sqrt((x - (width - 1) / 2) ** 2 + (y - (height - 1) / 2) ** 2 + focal**2)
    return distance_HW.astype(np.float64) * focal / reach


def nominal_focal(width: int) -> float:
    """Focal length in pixels of the plain camera at this image width."""
    return _NOMINAL_FOCAL * width / _NOMINAL_WIDTH


def nominal_intrinsics(size_hw: tuple[int, int]) -> NDArray[np.float64]:
    """Intrinsics [3,3] of the plain camera, pixel centers at +0.5."""
    return intrinsics_from_focal(nominal_focal(size_hw[1]), size_hw)


def _rq(
    matrix_33: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(upper triangle with positive diagonal, rotation) whose product is the matrix.

    The QR decomposition of the matrix turned upside down, turned back.
    """
    upside = np.eye(3)[::-1]
    orthogonal, upper = np.linalg.qr((upside @ matrix_33).T)
    triangle, rotation = upside @ upper.T @ upside, upside @ orthogonal.T
    signs = np.sign(np.diag(triangle))
    return triangle * signs, signs[:, None] * rotation
