"""The MoGe evaluation's view of a sample: warped to a centered pinhole camera at the target size.

Defined in docs/evaluation.md, "MoGe's view of a sample" (arXiv 2410.19115). Cameras are in pixels
with centers at +0.5, so that K / (W, H) is the normalized K of the released code. OpenCV's remap
works on 1/32 pixel, here on exact positions: a grey level or two apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError
from nearfar.geometry.masked_resize import masked_nearest_source
from nearfar.io.resample import resize_lanczos

_FARTHEST = 1000.0  # times the 1 % quantile of depth
_ROWS = 256  # of the target per block


class Warped(NamedTuple):
    """The sample at the target size. depth_HW: float32 metres along z, 0 where not valid."""

    rgb_HW3: NDArray[np.uint8]
    depth_HW: NDArray[np.float32]
    valid_HW: NDArray[np.bool_]
    intrinsics_33: NDArray[np.float64]


class _View(NamedTuple):
    """rotation_33: source camera axes to target axes. camera_33: the target's normalized K."""

    rotation_33: NDArray[np.float64]
    camera_33: NDArray[np.float64]


def moge_warp(
    rgb_HW3: NDArray[np.uint8],
    depth_HW: NDArray[np.float32],
    valid_HW: NDArray[np.bool_],
    intrinsics_33: NDArray[np.float64],
    *,
    size_hw: tuple[int, int],
) -> Warped:
    """Photo (Lanczos, then bilinear), depth and mask (nearest, by ray distance) in the new view.

    Depth beyond 1000 x its 1 % quantile is dropped.
    """
    height, width = depth_HW.shape
    if rgb_HW3.shape[:2] != (height, width):
        raise ConfigError("warp", f"photo {rgb_HW3.shape[:2]}, depth {depth_HW.shape} differ")
    # 1. the new camera, and a source [h,w] as fine as it will be seen
    camera_33 = intrinsics_33 / np.array([[width], [height], [1.0]])
    view = _centered_view(camera_33, size_hw)
    focal_x, focal_y = camera_33[0, 0], camera_33[1, 1]
    between_hw = (
        max(1, int(size_hw[0] / (focal_y / view.camera_33[1, 1]))),
        max(1, int(size_hw[1] / (focal_x / view.camera_33[0, 0]))),
    )
    # 2. photo [h,w,3]; depth [h,w] as distance along the ray
    photo_hw3 = resize_lanczos(rgb_HW3, between_hw)
    source = masked_nearest_source(valid_HW, between_hw)
    distance_hw = np.zeros(between_hw)
    rays_hw = np.linalg.norm(_rays(camera_33, between_hw), axis=2)
    distance_hw[source.found_hw] = source.take(depth_HW) * rays_hw[source.found_hw]

    # 3. rays [rows,W,3] of the target into the source; z-depth again
    rgb = np.empty((*size_hw, 3), np.uint8)
    depth = np.zeros(size_hw, np.float32)
    for top in range(0, size_hw[0], _ROWS):
        rows = slice(top, min(top + _ROWS, size_hw[0]))
        rays_HW3 = _rays(view.camera_33, size_hw, rows)
        seen_HW3 = rays_HW3 @ (camera_33 @ view.rotation_33.T).T
        x_HW = seen_HW3[..., 0] / seen_HW3[..., 2] * between_hw[1] - 0.5
        y_HW = seen_HW3[..., 1] / seen_HW3[..., 2] * between_hw[0] - 0.5
        rgb[rows] = _bilinear(photo_hw3, y_HW, x_HW)
        depth[rows] = _nearest(distance_hw, y_HW, x_HW) / np.linalg.norm(rays_HW3, axis=2)
    # 4. what is absurdly far is no surface
    valid = depth > 0
    if valid.any():
        valid &= depth <= _FARTHEST * np.quantile(depth[valid], 0.01)
    scale_33 = np.diag([size_hw[1], size_hw[0], 1.0])
    return Warped(rgb, np.where(valid, depth, np.float32(0)), valid, scale_33 @ view.camera_33)


def _centered_view(camera_33: NDArray[np.float64], size_hw: tuple[int, int]) -> _View:
    """The view straight along the ray of the image center that stays inside the photo."""
    aspect = size_hw[1] / size_hw[0]
    rotation_33 = _rotation_to_z(np.linalg.solve(camera_33, [0.5, 0.5, 1.0]))
    corners = np.array([[0.0, 0, 1], [0, 1, 1], [1, 1, 1], [1, 0, 1]])
    rotated = np.linalg.solve(camera_33, corners.T).T @ rotation_33.T
    corner_42 = rotated[:, :2] / rotated[:, 2:]
    x = min(1 / camera_33[0, 0], aspect / camera_33[1, 1])
    y = x / aspect
    for start, end in zip(corner_42, np.roll(corner_42, -1, axis=0)):
        side = end - start
        for diagonal in ((aspect, 1.0), (aspect, -1.0)):
            # start + a * side = b * diagonal
            b = np.linalg.solve(np.stack([-side, np.array(diagonal)], axis=1), start)[1]
            x, y = min(x, 2 * abs(b * diagonal[0])), min(y, 2 * abs(b * diagonal[1]))
    return _View(rotation_33, np.array([[1 / x, 0, 0.5], [0, 1 / y, 0.5], [0, 0, 1]]))


def _rotation_to_z(ray_3: NDArray) -> NDArray[np.float64]:
    """The rotation [3,3] of least angle that turns the ray to +z (Rodrigues)."""
    ray_3 = ray_3 / np.linalg.norm(ray_3)
    axis_3 = np.cross(ray_3, [0.0, 0.0, 1.0])
    x, y, z = axis_3
    cross_33 = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    rotation_33: NDArray[np.float64] = np.eye(3) + cross_33 + cross_33 @ cross_33 / (1 + ray_3[2])
    return rotation_33


def _rays(
    camera_33: NDArray[np.float64], size_hw: tuple[int, int], rows: slice = slice(None)
) -> NDArray[np.float64]:
    """Rays [H,W,3] with z = 1 through the pixel centers of the rows."""
    v_H = ((np.arange(size_hw[0]) + 0.5) / size_hw[0])[rows]
    u_W = (np.arange(size_hw[1]) + 0.5) / size_hw[1]
    rays_HW3 = np.ones((len(v_H), len(u_W), 3))
    rays_HW3[..., 0], rays_HW3[..., 1] = u_W[None], v_H[:, None]
    return rays_HW3 @ np.linalg.inv(camera_33).T


def _bilinear(
    photo_hw3: NDArray[np.uint8], y_HW: NDArray[np.float64], x_HW: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """The photo at fractional pixel indices; beyond the border it is black."""
    height, width = photo_hw3.shape[:2]
    top_HW, left_HW = np.floor(y_HW).astype(np.int64), np.floor(x_HW).astype(np.int64)
    out_HW3 = np.zeros((*y_HW.shape, 3))
    for down in (0, 1):
        for right in (0, 1):
            row_HW, column_HW = top_HW + down, left_HW + right
            inside_HW = (row_HW >= 0) & (row_HW < height) & (column_HW >= 0) & (column_HW < width)
            share_HW = (1 - np.abs(y_HW - row_HW)) * (1 - np.abs(x_HW - column_HW)) * inside_HW
            rows, columns = row_HW.clip(0, height - 1), column_HW.clip(0, width - 1)
            out_HW3 += share_HW[..., None] * photo_hw3[rows, columns]
    return np.rint(out_HW3).clip(0, 255).astype(np.uint8)


def _nearest(
    values_hw: NDArray[np.float64], y_HW: NDArray[np.float64], x_HW: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The value at the nearest pixel index, 0 outside."""
    height, width = values_hw.shape
    row_HW, column_HW = np.rint(y_HW).astype(np.int64), np.rint(x_HW).astype(np.int64)
    inside_HW = (row_HW >= 0) & (row_HW < height) & (column_HW >= 0) & (column_HW < width)
    taken_HW = values_hw[row_HW.clip(0, height - 1), column_HW.clip(0, width - 1)]
    return np.where(inside_HW, taken_HW, 0.0)
