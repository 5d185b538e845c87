"""Where a pixel was one frame before, from true depth and camera poses: what stands still.

A pixel is carried to the frame before as a point of the world that does not move. It is `same` if
that frame's truth has the point there too: things that move and surfaces hidden before fall out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_SAME = 0.02  # relative difference of depths up to which two pixels show one surface
_FAR = 1e6  # metres, for pixels without depth: they follow the camera's rotation


class Track(NamedTuple):
    """For every pixel of a frame: its place in the frame before.

    flow_2HW: (right, down) in pixels from here to there. row_HW, column_HW: the pixel there, within
    the picture. same_HW: whether both show the same point that does not move, as far as truth says.
    """

    flow_2HW: NDArray[np.float64]
    row_HW: NDArray[np.intp]
    column_HW: NDArray[np.intp]
    same_HW: NDArray[np.bool_]


def track_back(
    truth_HW: NDArray,
    before_HW: NDArray,
    intrinsics_33: NDArray[np.float64],
    before_from_now_44: NDArray[np.float64],
) -> Track:
    """The track of a frame into the one before; depths in metres, 0 where unknown.

    Pixel centers lie at +0.5. Points behind the earlier camera stay where they are, not `same`.
    """
    height, width = truth_HW.shape
    known_HW = truth_HW > 0
    z_HW = np.where(known_HW, truth_HW, _FAR).astype(np.float64)
    row_HW, column_HW = np.mgrid[:height, :width] + 0.5
    rays_3HW = np.stack([column_HW, row_HW, np.ones_like(row_HW)])
    points_3P = (np.linalg.inv(intrinsics_33) @ rays_3HW.reshape(3, -1)) * z_HW.ravel()
    moved_3P = before_from_now_44[:3, :3] @ points_3P + before_from_now_44[:3, 3:]
    there_HW = moved_3P[2].reshape(height, width)
    ahead_HW = there_HW > 0
    pixels_3P = intrinsics_33 @ moved_3P
    pixels_2HW = (pixels_3P[:2] / np.where(ahead_HW.ravel(), moved_3P[2], 1)).reshape(2, height, -1)
    here_2HW = np.stack([column_HW, row_HW])
    flow_2HW = np.where(ahead_HW, pixels_2HW - here_2HW, 0.0)
    x_HW, y_HW = np.floor(here_2HW + flow_2HW)
    inside_HW = (x_HW >= 0) & (x_HW < width) & (y_HW >= 0) & (y_HW < height)
    x_HW = np.clip(x_HW, 0, width - 1).astype(np.intp)
    y_HW = np.clip(y_HW, 0, height - 1).astype(np.intp)
    found_HW = np.asarray(before_HW, np.float64)[y_HW, x_HW]
    near_HW = np.abs(found_HW - there_HW) <= _SAME * np.where(ahead_HW, there_HW, 1)
    same_HW = known_HW & ahead_HW & inside_HW & (found_HW > 0) & near_HW
    return Track(flow_2HW, y_HW, x_HW, same_HW)
