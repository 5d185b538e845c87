"""Edge-aware Chamfer distance and the share of flying pixels around the depth edges of the truth.

Nobody has released code for the distance named in Pixel-Perfect Depth (arXiv 2510.07316); this is
the exact definition of spec evaluation.md section 3.3. The edge zone S is Canny's edges of the
truth in 255 steps of ln depth, grown by a 5x5 ellipse, where the truth is valid. Prediction and
truth have the same size and nothing is interpolated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError, DataError
from nearfar.extras import load_extra
from nearfar.geometry.canny import canny, dilate_ellipse5

_REACH = 2  # the 5x5 window of a flying pixel


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeChamfer:
    """Parameters of the edge zone and its scores; a number means nothing without them.

    low, high: Canny's thresholds on the 8-bit log depth. far: a point is astray in 3-D beyond this
    share of its true depth. ratio: a pixel agrees with a surface within this factor of depth.
    floor_m: smaller predictions count as this depth where their logarithm is needed.
    """

    low: float = 50.0
    high: float = 150.0
    far: float = 0.05
    ratio: float = 1.05
    floor_m: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high:
            raise ConfigError("EdgeChamfer", f"0 <= low {self.low} <= high {self.high} is false")
        if not (self.far > 0 and self.ratio > 1 and self.floor_m > 0):
            raise ConfigError(
                "EdgeChamfer",
                f"far {self.far} > 0, ratio {self.ratio} > 1, floor_m {self.floor_m} > 0 is false",
            )


class EdgeScores(NamedTuple):
    """Scores of the edge zone of one image; all but `pixels` are NaN if the truth has no edge.

    chamfer_m is the mean of to_truth_m (prediction's points to the nearest of the truth) and
    to_prediction_m (the other way). chamfer_log uses ln z as depth. fly3d, flywin: shares 0..1 of
    the zone's `pixels`.
    """

    chamfer_m: float
    to_truth_m: float
    to_prediction_m: float
    chamfer_log: float
    fly3d: float
    flywin: float
    pixels: int
    parameters: EdgeChamfer


class FlyingRate(NamedTuple):
    """rate: share 0..1 of the zone's `pixels` that fly, NaN if the truth has no edge."""

    rate: float
    pixels: int
    parameters: EdgeChamfer


_DEFAULT = EdgeChamfer()


def edge_chamfer(
    depth_HW: NDArray,
    truth_HW: NDArray,
    valid_HW: NDArray[np.bool_],
    intrinsics_33: NDArray[np.float64],
    *,
    parameters: EdgeChamfer = _DEFAULT,
) -> EdgeScores:
    """Distances in metres between predicted and true points of the edge zone, and flying shares.

    chamfer = (mean_p min_q |p - q| + mean_q min_p |p - q|) / 2 over the back-projections p of the
    aligned prediction and q of the truth. fly3d: |p - nearest q| > far * own true depth.
    """
    zone_HW = edge_zone(truth_HW, valid_HW, parameters=parameters)
    depth_HW = _same_size(depth_HW, zone_HW)
    row, column = np.nonzero(zone_HW)
    if not row.size:
        nan = math.nan
        return EdgeScores(nan, nan, nan, nan, nan, nan, 0, parameters)
    depth_P, truth_P = depth_HW[row, column], _metres(truth_HW)[row, column]
    if not np.isfinite(depth_P).all():
        raise DataError("edge_chamfer", "the prediction is not finite inside the edge zone")
    x_P = (column + 0.5 - intrinsics_33[0, 2]) / intrinsics_33[0, 0]
    y_P = (row + 0.5 - intrinsics_33[1, 2]) / intrinsics_33[1, 1]
    rays_P3 = np.stack([x_P, y_P, np.ones_like(x_P)], axis=1)
    to_truth, to_prediction = _nearest(rays_P3 * depth_P[:, None], rays_P3 * truth_P[:, None])
    logs_P = np.log(np.maximum(depth_P, parameters.floor_m)), np.log(truth_P)
    log_to_truth, log_to_prediction = _nearest(*(rays_P3 * log_P[:, None] for log_P in logs_P))
    return EdgeScores(
        chamfer_m=float(to_truth.mean() + to_prediction.mean()) / 2,
        to_truth_m=float(to_truth.mean()),
        to_prediction_m=float(to_prediction.mean()),
        chamfer_log=float(log_to_truth.mean() + log_to_prediction.mean()) / 2,
        fly3d=float(np.mean(to_truth > parameters.far * truth_P)),
        flywin=float(np.mean(_flies(depth_P, truth_HW, valid_HW, (row, column), parameters.ratio))),
        pixels=row.size,
        parameters=parameters,
    )


def flying_pixel_rate(
    depth_HW: NDArray,
    truth_HW: NDArray,
    valid_HW: NDArray[np.bool_],
    *,
    parameters: EdgeChamfer = _DEFAULT,
) -> FlyingRate:
    """The share of the edge zone whose depth lies between the surfaces beside it (flywin)."""
    zone_HW = edge_zone(truth_HW, valid_HW, parameters=parameters)
    flying_HW = flying_pixels(depth_HW, truth_HW, valid_HW, zone_HW=zone_HW, parameters=parameters)
    pixels = int(np.count_nonzero(zone_HW))
    rate = float(np.count_nonzero(flying_HW)) / pixels if pixels else math.nan
    return FlyingRate(rate, pixels, parameters)


def flying_pixels(
    depth_HW: NDArray,
    truth_HW: NDArray,
    valid_HW: NDArray[np.bool_],
    *,
    zone_HW: NDArray[np.bool_],
    parameters: EdgeChamfer = _DEFAULT,
) -> NDArray[np.bool_]:
    """Mask [H,W] of zone pixels that fly: a pure image test, no camera needed.

    d flies if min < d < max of the valid truth in its 5x5 window, and |ln d - ln g| > ln ratio for
    every valid g of the window.
    """
    depth_HW = _same_size(depth_HW, zone_HW)
    row, column = np.nonzero(zone_HW)
    depth_P = depth_HW[row, column]
    if not np.isfinite(depth_P).all():
        raise DataError("flying_pixels", "the prediction is not finite inside the edge zone")
    mask_HW = np.zeros(zone_HW.shape, np.bool_)
    mask_HW[row, column] = _flies(depth_P, truth_HW, valid_HW, (row, column), parameters.ratio)
    return mask_HW


def edge_zone(
    truth_HW: NDArray, valid_HW: NDArray[np.bool_], *, parameters: EdgeChamfer = _DEFAULT
) -> NDArray[np.bool_]:
    """The zone S [H,W]: dilate(Canny(trunc(255 (L - min) / (max - min)))) and valid, L = ln g.

    Invalid truth is filled by its nearest valid pixel first, so that holes make no edges.
    """
    if truth_HW.shape != valid_HW.shape or truth_HW.ndim != 2:
        raise DataError("edge_zone", f"truth is {truth_HW.shape}, its mask {valid_HW.shape}")
    if not valid_HW.any():
        return np.zeros(valid_HW.shape, np.bool_)
    truth_HW = _metres(truth_HW)
    if not (np.isfinite(truth_HW[valid_HW]).all() and (truth_HW[valid_HW] > 0).all()):
        raise DataError("edge_zone", "ground truth is not positive inside the mask")
    edges_HW = canny(_steps_of_log(truth_HW, valid_HW), low=parameters.low, high=parameters.high)
    return dilate_ellipse5(edges_HW) & valid_HW


def _steps_of_log(truth_HW: NDArray[np.float64], valid_HW: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The filled log depth in 8 bits; 0 everywhere if the truth is constant."""
    log_HW = np.log(np.where(valid_HW, truth_HW, 1.0))
    if not valid_HW.all():
        ndimage = load_extra("scipy.ndimage", extra="eval")
        nearest = ndimage.distance_transform_edt(
            ~valid_HW, return_distances=False, return_indices=True
        )
        log_HW = log_HW[tuple(nearest)]
    low, high = log_HW.min(), log_HW.max()
    if low == high:
        return np.zeros(log_HW.shape, np.uint8)
    steps_HW: NDArray[np.uint8] = (255 * (log_HW - low) / (high - low)).astype(np.uint8)
    return steps_HW


def _nearest(
    left_P3: NDArray[np.float64], right_P3: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances [P] of each left point to its nearest right one, and of each right point."""
    spatial = load_extra("scipy.spatial", extra="eval")
    trees = [spatial.cKDTree(points_P3, balanced_tree=False) for points_P3 in (left_P3, right_P3)]
    return trees[1].query(left_P3)[0], trees[0].query(right_P3)[0]


def _flies(
    depth_P: NDArray[np.float64],
    truth_HW: NDArray,
    valid_HW: NDArray[np.bool_],
    place: tuple[NDArray[np.intp], NDArray[np.intp]],
    ratio: float,
) -> NDArray[np.bool_]:
    """Which of the depths at these rows and columns fly (see `flying_pixels`)."""
    truth_HW = np.where(valid_HW, _metres(truth_HW), np.nan)
    padded = np.pad(truth_HW, _REACH, constant_values=np.nan)
    width, side = padded.shape[1], 2 * _REACH + 1
    center = place[0] * width + place[1]
    window = np.array([row * width + column for row in range(side) for column in range(side)])
    near_P = padded.ravel()[center[:, None] + window]  # 25 values a pixel, NaN where unknown
    below, above = np.fmin.reduce(near_P, axis=1), np.fmax.reduce(near_P, axis=1)
    flies_P: NDArray[np.bool_] = (below < depth_P) & (depth_P < above)
    log_P = np.log(depth_P[flies_P])[:, None]
    apart = ~(np.abs(log_P - np.log(near_P[flies_P])) <= math.log(ratio))  # NaN is apart
    flies_P[flies_P] = apart.all(axis=1)
    return flies_P


def _metres(depth_HW: NDArray) -> NDArray[np.float64]:
    return np.asarray(depth_HW, dtype=np.float64)


def _same_size(depth_HW: NDArray, zone_HW: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The prediction in float64; DataError unless it has the size of the truth."""
    if depth_HW.shape != zone_HW.shape:
        raise DataError(
            "edge_chamfer",
            f"prediction is {depth_HW.shape}, truth {zone_HW.shape}",
            "Resize it by nearest neighbor: interpolated depth flies",
        )
    return _metres(depth_HW)
