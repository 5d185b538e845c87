"""Triangle meshes of depth maps, cut where the surface is: at depth edges."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .clouds import backproject, even_stride


class DepthMesh(NamedTuple):
    """A surface seen from the camera; triangles face it (normals towards the viewer).

    vertices_P3: float32 metres, OpenCV axes. triangles: [n,3] uint32. uv_P2: float32 place in the
    photo, 0..1 from its upper left corner. colors_P3: uint8 RGB, or None.
    """

    vertices_P3: NDArray[np.float32]
    triangles: NDArray[np.uint32]
    uv_P2: NDArray[np.float32]
    colors_P3: NDArray[np.uint8] | None


def depth_mesh(
    depth_HW: NDArray[np.float32],
    intrinsics_33: NDArray[np.float64],
    *,
    usable_HW: NDArray[np.bool_],
    image_HW3: NDArray[np.uint8] | None = None,
    relative: float = 0.04,
    max_vertices: int | None = 1_000_000,
) -> DepthMesh:
    """The mesh of a metric map: two triangles for each square of neighboring pixels.

    A triangle is left out when a corner is not usable or when its farthest corner is more than
    (1 + relative) times as deep as its nearest. Maps of more than `max_vertices` pixels are
    thinned by an even stride (and `relative` applies between the pixels that are left).
    """
    step = even_stride(depth_HW.size, max_vertices)
    usable_HW = (usable_HW & np.isfinite(depth_HW) & (depth_HW > 0))[::step, ::step]
    depth_HW3 = backproject(depth_HW, intrinsics_33)[::step, ::step]
    height, width = usable_HW.shape
    number = np.arange(height * width).reshape(height, width)
    # corners a b / c d; seen with y down these orders are clockwise, towards the camera at -z
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    corners = np.concatenate(
        [np.stack([a, c, b], axis=-1).reshape(-1, 3), np.stack([b, c, d], axis=-1).reshape(-1, 3)]
    )
    with np.errstate(invalid="ignore"):
        z = np.where(usable_HW, depth_HW3[..., 2], np.float32(np.nan)).ravel()[corners]
        whole = z.max(axis=1) <= (1 + relative) * z.min(axis=1)  # NaN compares False
    corners = corners[whole]
    used = np.zeros(height * width, np.bool_)
    used[corners] = True
    new_number = np.cumsum(used) - 1
    flat = np.flatnonzero(used)
    place = np.stack([flat % width, flat // width], axis=1) * step + 0.5
    uv_P2 = (place / [depth_HW.shape[1], depth_HW.shape[0]]).astype(np.float32)
    colors_P3 = None if image_HW3 is None else image_HW3[::step, ::step].reshape(-1, 3)[flat]
    return DepthMesh(
        depth_HW3.reshape(-1, 3)[flat], new_number[corners].astype(np.uint32), uv_P2, colors_P3
    )
