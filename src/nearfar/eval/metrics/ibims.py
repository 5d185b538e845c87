"""Edge, plane and directed depth errors of iBims-1 (arXiv 1805.01328).

Definitions: docs/evaluation.md, "iBims-1".
Valid is mask_invalid and mask_transp and truth != 0 and prediction != 0, unless a function says
otherwise. Edge errors need scikit-image for its Canny, whose version belongs to the number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.data.record import Plane
from nearfar.errors import DataError
from nearfar.extras import load_extra

CANNY_SIGMA = math.sqrt(2)
CANNY_LOW, CANNY_HIGH = 0.1, 0.2
FARTHEST_PX = 10.0
SMALLEST_PLANE_PX = 15360  # 5 % of 640 x 480, whatever the size of the image
DIRECTED_PLANE_M = 3.0


class EdgeErrors(NamedTuple):
    """Distances in pixels between edges, lower is better.

    accuracy_px: predicted edges to true ones, those within `farthest_px`. completeness_px: true
    edges to predicted ones; truncated_px: the same, no distance above `farthest_px`. All are
    `farthest_px` if no predicted edge is near a true one, and NaN if the truth has no edge.
    """

    accuracy_px: float
    completeness_px: float
    truncated_px: float
    edges_HW: NDArray[np.bool_]
    farthest_px: float
    canny: str


class DirectedErrors(NamedTuple):
    """Shares 0..1 of pixels: same side of a plane at `plane_m` as the truth; nearer; farther."""

    equal: float
    nearer: float
    farther: float
    plane_m: float


class PlaneErrors(NamedTuple):
    """Of each plane K, in order: flatness_cm_K and orientation_deg_K, lower is better.

    NaN where a plane has fewer than `smallest_px` pixels; means over planes leave those out.
    """

    flatness_cm_K: NDArray[np.float64]
    orientation_deg_K: NDArray[np.float64]
    pixels_K: NDArray[np.int64]
    smallest_px: int


def ibims_edges(
    depth_HW: NDArray, true_edges_HW: NDArray[np.bool_], *, farthest_px: float = FARTHEST_PX
) -> EdgeErrors:
    """Depth boundary errors; `depth_HW` is the whole prediction, 0 where it says nothing.

    E = Canny((d - min) / (max - min), sigma sqrt 2, thresholds .1 and .2); accuracy is the mean
    distance to true edges over E where it is < 10 px, completeness the mean distance to E over the
    true edges.
    """
    if depth_HW.shape != true_edges_HW.shape:
        raise DataError("ibims", f"depth is {depth_HW.shape}, edges {true_edges_HW.shape}")
    true_edges_HW = true_edges_HW.astype(np.bool_)
    edges_HW, version = _canny(depth_HW)
    scores = [math.nan] * 3
    if true_edges_HW.any():
        ndimage = load_extra("scipy.ndimage", extra="eval")
        to_true = ndimage.distance_transform_edt(~true_edges_HW)[edges_HW]
        near = to_true[to_true < farthest_px]
        scores = [farthest_px] * 3
        if near.size:
            to_found = ndimage.distance_transform_edt(~edges_HW)[true_edges_HW]
            truncated = np.minimum(to_found, farthest_px)
            scores = [float(values.mean()) for values in (near, to_found, truncated)]
    return EdgeErrors(scores[0], scores[1], scores[2], edges_HW, farthest_px, version)


def ibims_directed(
    depth_HW: NDArray,
    truth_HW: NDArray,
    valid_HW: NDArray[np.bool_],
    *,
    plane_m: float = DIRECTED_PLANE_M,
) -> DirectedErrors:
    """The shares of valid pixels on the right side of a fronto-parallel plane, nearer, farther."""
    depth, truth = _valid_pixels(depth_HW, truth_HW, valid_HW)
    behind, truly_behind = depth > plane_m, truth > plane_m
    nearer = float(np.mean(truly_behind & ~behind))
    farther = float(np.mean(behind & ~truly_behind))
    return DirectedErrors(float(np.mean(behind == truly_behind)), nearer, farther, plane_m)


def ibims_planes(
    depth_HW: NDArray,
    truth_HW: NDArray,
    valid_HW: NDArray[np.bool_],
    planes: Sequence[Plane],
    intrinsics_33: NDArray[np.float64],
    *,
    smallest_px: int = SMALLEST_PLANE_PX,
) -> PlaneErrors:
    """Flatness and orientation errors of walls, tables and floors.

    On each plane the prediction is scaled by median(g) / median(d) and back-projected; flatness is
    the standard deviation of distances to its best plane, orientation the angle between that
    plane's normal and `Plane.normal_3` (OpenCV axes; the sign does not count).
    """
    flatness, orientation, pixels = [], [], []
    for plane in planes:
        used_HW = plane.mask_HW & valid_HW
        pixels.append(int(np.count_nonzero(used_HW)))
        if pixels[-1] < smallest_px:
            flatness.append(math.nan)
            orientation.append(math.nan)
            continue
        depth, truth = _valid_pixels(depth_HW, truth_HW, used_HW)
        scaled = depth / (np.median(depth) / np.median(truth))
        points_P3 = _plane_points(scaled, used_HW, intrinsics_33)
        points_P3 -= points_P3.mean(axis=0)
        spread, axes_33 = np.linalg.eigh(points_P3.T @ points_P3 / len(points_P3))
        normal_3 = axes_33[:, 0]
        flatness.append(100 * math.sqrt(max(float(spread[0]), 0.0)))
        orientation.append(_angle_deg(normal_3, plane.normal_3))
    return PlaneErrors(
        np.array(flatness), np.array(orientation), np.array(pixels, np.int64), smallest_px
    )


def _canny(depth_HW: NDArray) -> tuple[NDArray[np.bool_], str]:
    """Edges of the prediction and what found them; none where the prediction is constant."""
    skimage = load_extra("skimage", extra="eval")
    feature = load_extra("skimage.feature", extra="eval")
    version = f"scikit-image {skimage.__version__}"
    depth = np.array(depth_HW, np.float32)
    if not np.isfinite(depth).all():
        raise DataError("ibims", "the prediction is not finite", "Write 0 where it says nothing")
    depth[depth == 0] = np.nan
    known = depth[~np.isnan(depth)]
    if not known.size or known.min() == known.max():
        return np.zeros(depth.shape, np.bool_), version
    depth -= known.min()
    depth /= np.nanmax(depth)
    edges_HW = feature.canny(
        depth, sigma=CANNY_SIGMA, low_threshold=CANNY_LOW, high_threshold=CANNY_HIGH
    )
    return np.asarray(edges_HW, np.bool_), version


def _plane_points(
    depth: NDArray[np.float64], used_HW: NDArray[np.bool_], intrinsics_33: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Points [P,3], OpenCV axes. The published formula counts pixels from 1; cameras here have
    centers at +0.5, files of iBims-1 at whole numbers from 0: hence + 1 and + 0.5.
    """
    row, column = np.nonzero(used_HW)
    x = (column + 1 + 0.5 - intrinsics_33[0, 2]) / intrinsics_33[0, 0] * depth
    y = (row + 1 + 0.5 - intrinsics_33[1, 2]) / intrinsics_33[1, 1] * depth
    return np.stack([x, y, depth], axis=1)


def _angle_deg(left_3: NDArray[np.float64], right_3: NDArray[np.float64]) -> float:
    """The angle 0..90 degrees between two lines."""
    across = float(np.linalg.norm(np.cross(left_3, right_3)))
    return math.degrees(math.atan2(across, abs(float(left_3 @ right_3))))


def _valid_pixels(
    depth_HW: NDArray, truth_HW: NDArray, valid_HW: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Prediction and truth of the valid pixels in float64; DataError if they cannot be used."""
    if not depth_HW.shape == truth_HW.shape == valid_HW.shape:
        raise DataError(
            "ibims", f"shapes differ: {depth_HW.shape}, {truth_HW.shape}, {valid_HW.shape}"
        )
    depth = np.asarray(depth_HW, np.float64)[valid_HW]
    truth = np.asarray(truth_HW, np.float64)[valid_HW]
    if not depth.size:
        raise DataError("ibims", "no valid pixel")
    if not (np.isfinite(depth).all() and np.isfinite(truth).all()):
        raise DataError("ibims", "a valid pixel is not finite")
    return depth, truth
