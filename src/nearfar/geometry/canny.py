"""Canny edges of an 8-bit picture, equal to OpenCV's `Canny(picture, low, high)` with defaults.

3x3 Sobel gradients over replicated borders, magnitude |gx| + |gy| (zero outside the picture), the
direction in one of four sectors by fixed-point tangents of 22.5 and 67.5 degrees, a pixel kept only
where its magnitude is a maximum across the edge, then hysteresis over 8 neighbors.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError, DataError

_TANGENT_SHIFT = 15
_TANGENT_22 = int(math.tan(math.pi / 8) * (1 << _TANGENT_SHIFT) + 0.5)
# half chords of a disc with radius 2: rows of the 5x5 ellipse of morphology
_ELLIPSE_5 = ((-2, 0), (-1, 2), (0, 2), (1, 2), (2, 0))


def canny(picture_HW: NDArray[np.uint8], *, low: float, high: float) -> NDArray[np.bool_]:
    """Edge pixels [H,W]; `low` and `high` bound |gx| + |gy|, both exceeded strictly."""
    if picture_HW.dtype != np.uint8 or picture_HW.ndim != 2:
        raise DataError("canny", f"picture is {picture_HW.dtype} {list(picture_HW.shape)}")
    if not 0 <= low <= high:
        raise ConfigError("canny", f"low {low} and high {high} are not 0 <= low <= high")
    if 0 in picture_HW.shape:
        return np.zeros(picture_HW.shape, np.bool_)
    gx_HW, gy_HW = _sobel(picture_HW)
    # a frame of zeros around the picture: neighbors never need a test
    magnitude = np.pad(np.abs(gx_HW) + np.abs(gy_HW), 1)
    width = magnitude.shape[1]
    flat = magnitude.ravel()
    place = np.flatnonzero(flat > math.floor(low))
    row, column = np.divmod(place, width)
    inner = (row - 1) * (width - 2) + column - 1
    thin = place[_is_maximum(flat, place, gx_HW.ravel()[inner], gy_HW.ravel()[inner], width)]
    edges = _connected(thin, thin[flat[thin] > math.floor(high)], flat.size, width)
    return edges.reshape(magnitude.shape)[1:-1, 1:-1]


def dilate_ellipse5(mask_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask [H,W] grown by the 5x5 ellipse (rows of 1, 5, 5, 5, 1 pixels); outside is empty."""
    height, width = mask_HW.shape
    padded = np.pad(mask_HW, 2)
    runs = padded[:, 2:-2].copy()
    for shift in (0, 1, 3, 4):
        runs |= padded[:, shift : shift + width]
    grown_HW = np.zeros(mask_HW.shape, np.bool_)
    for down, half in _ELLIPSE_5:
        source = runs if half else padded[:, 2:-2]
        grown_HW |= source[2 + down : 2 + down + height]
    return grown_HW


def _sobel(picture_HW: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Horizontal and vertical 3x3 Sobel derivatives, border pixels replicated."""
    padded = np.pad(picture_HW.astype(np.int32), 1, mode="edge")
    down = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    across = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    return down[:, 2:] - down[:, :-2], across[2:] - across[:-2]


def _is_maximum(
    flat: NDArray[np.int32],
    place: NDArray[np.intp],
    gx: NDArray[np.int32],
    gy: NDArray[np.int32],
    width: int,
) -> NDArray[np.bool_]:
    """Which places have the largest magnitude of the three across their edge.

    Ties go to the right or lower pixel horizontally and vertically, to none on diagonals.
    """
    here = flat[place]
    x, y = np.abs(gx), np.abs(gy) << _TANGENT_SHIFT
    tangent_22 = x * _TANGENT_22
    tangent_67 = tangent_22 + (x << (_TANGENT_SHIFT + 1))
    flat_way = y < tangent_22
    steep = y > tangent_67
    diagonal = ~(flat_way | steep)
    side = np.where((gx ^ gy) < 0, -1, 1)
    step = np.where(flat_way, 1, np.where(steep, width, width + side))
    before, after = flat[place - step], flat[place + step]
    return (here > before) & np.where(diagonal, here > after, here >= after)


def _connected(
    thin: NDArray[np.intp], seeds: NDArray[np.intp], size: int, width: int
) -> NDArray[np.bool_]:
    """Flat mask of the seeds and of the thin pixels that a chain of 8 neighbors ties to one."""
    edges, open_ = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
    open_[thin] = True
    open_[seeds] = False
    edges[seeds] = True
    around = np.array([-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1])
    front = seeds
    owner = np.empty(size, np.intp)
    while front.size:
        reached = (front[:, None] + around).ravel()
        reached = reached[open_[reached]]
        order = np.arange(reached.size)
        owner[reached] = order
        front = reached[owner[reached] == order]  # each pixel once
        open_[front] = False
        edges[front] = True
    return edges
