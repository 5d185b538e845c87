"""Up-sampling of depth to the photo's size without inventing depths between surfaces.

Every output value is one of the input values: a blend of foreground and background would be a
point floating between them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError

_STRIP_PIXELS = 1 << 15  # rows are worked on in strips that stay in the cache


def upsample_nearest(
    depth_hw: NDArray[np.generic], size_hw: tuple[int, int]
) -> NDArray[np.generic]:
    """The map at `size_hw`, each pixel taken from the low-resolution cell its center lies in."""
    rows = _nearest(depth_hw.shape[0], size_hw[0])
    columns = _nearest(depth_hw.shape[1], size_hw[1])
    return depth_hw[rows[:, None], columns[None, :]]


def upsample_guided(
    depth_hw: NDArray[np.float32],
    guide_hw3: NDArray[np.generic],
    image_HW3: NDArray[np.generic],
    *,
    spatial: float = 0.05,
) -> NDArray[np.float32]:
    """The map at the image's size, each pixel copied from the best of 3x3 low-resolution cells.

    guide_hw3 is the image at the map's size; the choice is that of `guided_indices`.
    """
    if depth_hw.shape != guide_hw3.shape[:2]:
        raise ConfigError(
            "upsample_guided", f"depth {depth_hw.shape} and guide {guide_hw3.shape} differ in size"
        )
    return depth_hw.ravel()[guided_indices(guide_hw3, image_HW3, spatial=spatial)]


def guided_indices(
    guide_hw3: NDArray[np.generic], image_HW3: NDArray[np.generic], *, spatial: float = 0.05
) -> NDArray[np.intp]:
    """Flat index [H,W] into the low-resolution grid: which cell each image pixel belongs to.

    Among the 3x3 cells around the pixel, the one with the least
    |image - guide|^2 + spatial * |pixel center - cell center|^2
    (colors 0..1, distance in cells). Apply it to depth, masks and uncertainty alike.
    """
    guide_3hw = _planes(guide_hw3)
    height, width = image_HW3.shape[:2]
    rows = _candidates(guide_3hw.shape[1], height)
    columns = _candidates(guide_3hw.shape[2], width)
    indices = np.empty((height, width), np.intp)
    wide_3hW = [np.take(guide_3hw, cell, axis=2) for cell in columns.cell]
    strip = max(1, _STRIP_PIXELS // max(width, 1))
    for start in range(0, height, strip):
        part = slice(start, min(start + strip, height))
        image_3HW = _planes(image_HW3[part])
        least = np.full(image_3HW.shape[1:], np.inf, np.float32)
        choice = np.zeros(least.shape, np.int8)
        for k in range(9):
            down, right = divmod(k, 3)
            cost = _squared_difference(image_3HW, wide_3hW[right], rows.cell[down, part])
            cost += np.float32(spatial) * columns.distance[right]
            cost += np.float32(spatial) * rows.distance[down, part, None]
            better = cost < least
            np.copyto(least, cost, where=better)
            np.copyto(choice, np.int8(k), where=better)
        row = rows.cell[choice // 3, np.arange(part.start, part.stop)[:, None]]
        column = columns.cell[choice % 3, np.arange(width)[None, :]]
        indices[part] = row * guide_3hw.shape[2] + column
    return indices


class _Candidates(NamedTuple):
    """Per output position the three nearest cells, nearest first, and the squared distance."""

    cell: NDArray[np.intp]
    distance: NDArray[np.float32]


def _candidates(cells: int, size: int) -> _Candidates:
    place = (np.arange(size) + 0.5) * (cells / size)
    middle = _nearest(cells, size)
    cell = np.clip(np.stack([middle, middle - 1, middle + 1]), 0, cells - 1)
    return _Candidates(cell, np.square(cell + 0.5 - place).astype(np.float32))


def _nearest(cells: int, size: int) -> NDArray[np.intp]:
    """The cell in which each output pixel's center lies: floor((i + 0.5) * cells / size)."""
    return (2 * np.arange(size) + 1) * cells // (2 * size)


def _squared_difference(
    image_3HW: NDArray[np.float32], guide_3hW: NDArray[np.float32], rows: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Sum over colors of (image - guide)^2, the guide's rows repeated to the image's."""
    total = np.zeros(image_3HW.shape[1:], np.float32)
    for image_HW, guide_hW in zip(image_3HW, guide_3hW):
        difference = image_HW - guide_hW[rows]
        difference *= difference
        total += difference
    return total


def _planes(image_HW3: NDArray[np.generic]) -> NDArray[np.float32]:
    """Float color planes 0..1 of uint8 or float pixels."""
    planes = np.ascontiguousarray(np.moveaxis(image_HW3, 2, 0), np.float32)
    if image_HW3.dtype == np.uint8:
        planes *= np.float32(1 / 255)
    return planes
