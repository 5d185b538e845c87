"""Nearest resize of a map with holes: every output pixel takes the nearest valid pixel around it.

The recipe of the MoGe evaluation (arXiv 2410.19115), in float32
throughout: 480x640 to 64x64 puts window borders on exact halves, so the arithmetic is part of it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError


class NearestSource(NamedTuple):
    """Source row and column of every output pixel, -1 where `found_hw` is False."""

    row_hw: NDArray[np.int32]
    column_hw: NDArray[np.int32]
    found_hw: NDArray[np.bool_]

    def take(self, values: NDArray) -> NDArray:
        """The values [H,W,...] of the found output pixels, [P,...] in row-major order."""
        return values[self.row_hw[self.found_hw], self.column_hw[self.found_hw]]


class _Axis(NamedTuple):
    """center_L: output centers on the source axis; first_L: first source index of the window."""

    center_L: NDArray[np.float32]
    first_L: NDArray[np.int64]
    window: int


def masked_nearest_source(valid_HW: NDArray[np.bool_], size_hw: tuple[int, int]) -> NearestSource:
    """Where each pixel of a [h,w] map comes from; not found where its window has no valid pixel.

    Window of ceil(f) pixels per axis, f = max(1, side / new side), from round-half-even(c - f/2);
    of its valid pixels the one whose center (j + 0.5) is nearest, the first in row-major on ties.
    """
    if min(*size_hw, *valid_HW.shape) < 1:
        raise ConfigError("size_hw", f"cannot resize {list(valid_HW.shape)} to {list(size_hw)}")
    height, width = valid_HW.shape
    rows, columns = _axis(height, size_hw[0]), _axis(width, size_hw[1])
    best_hw = np.full(size_hw, np.inf, np.float32)
    flat_hw = np.full(size_hw, -1, np.int64)
    for down in range(rows.window):
        row_h = rows.first_L + down
        inside_h = (row_h >= 0) & (row_h < height)
        row_h = np.clip(row_h, 0, height - 1)
        row_offset_h = np.square(row_h.astype(np.float32) + np.float32(0.5) - rows.center_L)
        for right in range(columns.window):
            column_w = columns.first_L + right
            inside_w = (column_w >= 0) & (column_w < width)
            column_w = np.clip(column_w, 0, width - 1)
            column_offset_w = np.square(
                column_w.astype(np.float32) + np.float32(0.5) - columns.center_L
            )
            distance_hw = column_offset_w[None] + row_offset_h[:, None]
            usable_hw = valid_HW[row_h[:, None], column_w] & inside_h[:, None] & inside_w
            closer_hw = usable_hw & (distance_hw < best_hw)
            best_hw = np.where(closer_hw, distance_hw, best_hw)
            flat_hw = np.where(closer_hw, row_h[:, None] * width + column_w, flat_hw)
    found_hw = flat_hw >= 0
    row_hw = np.where(found_hw, flat_hw // width, -1).astype(np.int32)
    column_hw = np.where(found_hw, flat_hw % width, -1).astype(np.int32)
    return NearestSource(row_hw, column_hw, found_hw)


def _axis(side: int, new_side: int) -> _Axis:
    """Centers and windows of one axis, float32."""
    place_L = _float32_steps(0.5 / new_side, 1 - 0.5 / new_side, new_side)
    center_L = place_L * np.float32(side)
    step = max(1.0, side / new_side)
    first_L = np.rint(center_L - np.float32(step / 2)).astype(np.int64)
    return _Axis(center_L, first_L, math.ceil(step))


def _float32_steps(first: float, last: float, count: int) -> NDArray[np.float32]:
    """As torch.linspace: each half counted from its own end, rounded once a place (fused)."""
    start, end = np.float32(first), np.float32(last)
    step = np.float64(np.float32((end - start) / np.float32(max(1, count - 1))))
    number_L = np.arange(count)
    rising_L = np.float64(start) + step * number_L
    falling_L = np.float64(end) - step * (count - 1 - number_L)
    return np.where(number_L < count // 2, rising_L, falling_L).astype(np.float32)
