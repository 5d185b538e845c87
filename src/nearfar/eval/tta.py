"""Test-time averaging of DAR's evaluation: horizontal flip, and two windows of a KITTI crop.

Spec dar.md section 8. Pure functions on maps; who calls the model decides how to batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError

WINDOW_WIDTH = 640  # of the 1216 columns of the KITTI benchmark crop


class Windows(NamedTuple):
    """The first and the last 640 columns of an image [H,W,...]."""

    left: NDArray
    right: NDArray


def flip_average(depth_HW: NDArray, depth_of_flipped_HW: NDArray) -> NDArray[np.float64]:
    """Mean of f(x) and the mirrored f(mirrored x), both [H,W] (or [T,H,W])."""
    if depth_HW.shape != depth_of_flipped_HW.shape:
        raise ConfigError("flip", f"sizes {depth_HW.shape} and {depth_of_flipped_HW.shape} differ")
    mirrored = depth_of_flipped_HW[..., ::-1].astype(np.float64)
    average: NDArray[np.float64] = (depth_HW.astype(np.float64) + mirrored) / 2
    return average


def split_windows(image_HW: NDArray, *, window: int = WINDOW_WIDTH) -> Windows:
    """The two windows that together cover the columns, 640 wide each (views)."""
    width = image_HW.shape[1]
    if not window <= width <= 2 * window:
        raise ConfigError("windows", f"two windows of {window} columns do not cover {width}")
    return Windows(image_HW[:, :window], image_HW[:, width - window :])


def blend_windows(left_HW: NDArray, right_HW: NDArray, *, width: int = 1216) -> NDArray[np.float64]:
    """One map of `width` columns; where the windows overlap, linspace(1, 0) and linspace(0, 1)."""
    window = left_HW.shape[1]
    overlap = 2 * window - width
    if left_HW.shape != right_HW.shape or not 0 <= overlap <= window:
        raise ConfigError(
            "windows", f"{left_HW.shape} and {right_HW.shape} do not make {width} columns"
        )
    rising_W = np.linspace(0, 1, overlap)
    blended_HW = np.empty((left_HW.shape[0], width))
    start = width - window
    blended_HW[:, :start] = left_HW[:, :start]
    blended_HW[:, window:] = right_HW[:, overlap:]
    blended_HW[:, start:window] = (
        left_HW[:, start:] * np.linspace(1, 0, overlap) + right_HW[:, :overlap] * rising_W
    )
    return blended_HW
