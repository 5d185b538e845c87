"""Depth at edges: boundary F1 and recall, edge-aware Chamfer distance, flying pixels.

`boundary_f1` and `boundary_recall` are those of Depth Pro (arXiv 2410.02073),
`windowed_boundary_f1` that of MoGe (arXiv 2410.19115; docs/evaluation.md, "Boundaries"): relations
between neighboring pixels that pass a ratio. All are blind to scale and need prediction and truth
at the same size; none forgives a shift of one pixel.

Nobody has released code for the distance named in Pixel-Perfect Depth (arXiv 2510.07316);
`edge_chamfer` is the exact definition of docs/evaluation.md, "Edge Chamfer". Its edge zone S is
Canny's edges of the truth in 255 steps of ln depth, grown by a 5x5 ellipse, where the truth is
valid. Nothing is interpolated.
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

THRESHOLDS = tuple(float(value) for value in np.linspace(1.05, 1.25, 10))
WINDOW_THRESHOLDS = tuple(float(value) for value in np.linspace(0.05, 0.25, 10))
ALPHA_FOREGROUND = 0.1
_SMALLEST_M = 1e-6


class BoundaryScores(NamedTuple):
    """f1, precision, recall 0..1: means over `thresholds` (ratios), weighted by the threshold.

    The `*_K` arrays hold the values of each threshold. `masked`: only pairs of valid pixels count.
    """

    f1: float
    precision: float
    recall: float
    f1_K: NDArray[np.float64]
    precision_K: NDArray[np.float64]
    recall_K: NDArray[np.float64]
    masked: bool
    thresholds: tuple[float, ...] = THRESHOLDS


class BoundaryRecall(NamedTuple):
    """recall 0..1 of the borders of a matte, the mean weighted by threshold; recall_K of each."""

    recall: float
    recall_K: NDArray[np.float64]
    thresholds: tuple[float, ...] = THRESHOLDS
    foreground: float = ALPHA_FOREGROUND


class WindowedScores(NamedTuple):
    """f1 0..1 within `radius` pixels, the mean over `thresholds` weighted by them; f1_K of each."""

    f1: float
    f1_K: NDArray[np.float64]
    radius: int
    thresholds: tuple[float, ...] = WINDOW_THRESHOLDS


class _Counts(NamedTuple):
    """Relations above each of the K thresholds: in the prediction, in the truth, in both."""

    predicted_K: NDArray[np.int64]
    true_K: NDArray[np.int64]
    common_K: NDArray[np.int64]


def boundary_f1(
    prediction_HW: NDArray, truth_HW: NDArray, *, valid_HW: NDArray[np.bool_] | None = None
) -> BoundaryScores:
    """F1 of the relations i[p] / i[q] > t between neighbors, i = 1 / max(z, 1e-6).

    Precision and recall are means over the four relations (left, right, top, bottom) of
    |A & B| / max(|A|, 1) and |A & B| / max(|B|, 1); F1 = 2 P R / (P + R), 0 if both are 0. Without
    a mask this is the published score: holes of the truth (zeros) count as edges. With `valid_HW` a
    relation counts only if both its pixels are valid (`boundary-f1-masked`, our own variant).
    """
    prediction_HW, truth_HW = _maps(prediction_HW, truth_HW, valid_HW)
    limits = np.asarray(THRESHOLDS)
    precision_K = np.zeros(len(limits))
    recall_K = np.zeros(len(limits))
    maps = [_nearness(depth_HW) for depth_HW in (prediction_HW, truth_HW)]
    for axis in (1, 0):
        rises = [_first(map_HW, axis) - _second(map_HW, axis) for map_HW in maps]
        for way in (1, -1):
            counts = _counts(way * rises[0], way * rises[1], np.log(limits))
            precision_K += counts.common_K / np.maximum(counts.predicted_K, 1) / 4
            recall_K += counts.common_K / np.maximum(counts.true_K, 1) / 4
    total_K = precision_K + recall_K
    f1_K = 2 * precision_K * recall_K / np.where(total_K == 0, 1, total_K)
    return BoundaryScores(
        f1=_mean(f1_K, limits),
        precision=_mean(precision_K, limits),
        recall=_mean(recall_K, limits),
        f1_K=f1_K,
        precision_K=precision_K,
        recall_K=recall_K,
        masked=valid_HW is not None,
    )


def boundary_recall(prediction_HW: NDArray, alpha_HW: NDArray) -> BoundaryRecall:
    """The share of a matte's borders (alpha > 0.1) that are depth edges falling the same way.

    Mean over the four relations of |A & B| / max(|B|, 1). B: the first pixel is foreground, the
    second is not. A: of each run of neighbors whose ratio passes t, only the first maximum.
    """
    prediction_HW, alpha_HW = _maps(prediction_HW, alpha_HW, None)
    foreground_HW = alpha_HW > ALPHA_FOREGROUND
    recall_K = np.zeros(len(THRESHOLDS))
    nearness_HW = _nearness(prediction_HW)
    for axis in (1, 0):
        near = nearness_HW if axis == 1 else nearness_HW.T
        inside = foreground_HW if axis == 1 else foreground_HW.T
        rise, first, second = near[:, :-1] - near[:, 1:], inside[:, :-1], inside[:, 1:]
        for way, border in ((1, first & ~second), (-1, second & ~first)):
            found_K = _peaks_on(border, way * rise, np.log(THRESHOLDS))
            recall_K += found_K / max(int(np.count_nonzero(border)), 1) / 4
    return BoundaryRecall(_mean(recall_K, np.asarray(THRESHOLDS)), recall_K)


def windowed_boundary_f1(
    depth_HW: NDArray, truth_HW: NDArray, valid_HW: NDArray[np.bool_], *, radius: int
) -> WindowedScores:
    """F1 of the relations z[q] / z[p] > 1 + t over all q within `radius` pixels of p.

    Both pixels are valid and p is `radius` pixels away from the border. F1 = 2 TP / (|A| + |B|)
    from counts pooled over the window, 0 if no relation is in both.
    """
    if radius < 1:
        raise ConfigError("radius", f"{radius} is not at least 1 pixel", "MoGe uses 1, 2 and 3")
    depth_HW, truth_HW = _maps(depth_HW, truth_HW, valid_HW)
    height, width = truth_HW.shape
    limits = 1 + np.asarray(WINDOW_THRESHOLDS)
    totals = np.zeros((3, len(limits)), np.int64)
    if min(height, width) <= 2 * radius:
        raise DataError(
            "windowed_boundary_f1", f"{height}x{width} has no pixel {radius} px from every border"
        )
    core = (slice(radius, height - radius), slice(radius, width - radius))
    with np.errstate(divide="ignore", invalid="ignore"):
        for down, right in _disc(radius):
            window = (
                slice(radius + down, height - radius + down),
                slice(radius + right, width - radius + right),
            )
            ratio, true_ratio = (z_HW[window] / z_HW[core] for z_HW in (depth_HW, truth_HW))
            totals += np.stack(_counts(ratio, true_ratio, limits))
    counts = _Counts(*totals)
    f1_K = 2 * counts.common_K / np.maximum(counts.predicted_K + counts.true_K, 1)
    return WindowedScores(_mean(f1_K, np.asarray(WINDOW_THRESHOLDS)), f1_K, radius)


def _maps(
    prediction_HW: NDArray,
    truth_HW: NDArray,
    valid_HW: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both maps in float64, NaN outside the mask; DataError on sizes or values that are wrong."""
    shapes = [prediction_HW.shape, truth_HW.shape]
    if valid_HW is not None:
        shapes.append(valid_HW.shape)
    if len(set(shapes)) > 1 or prediction_HW.ndim != 2:
        raise DataError(
            "boundary",
            f"shapes differ: {', '.join(str(list(shape)) for shape in shapes)}",
            "Compare at one size; interpolated depth has other boundaries",
        )
    unused: NDArray[np.bool_] | bool = False if valid_HW is None else ~valid_HW
    if not (np.isfinite(prediction_HW) | unused).all():
        raise DataError("boundary", "the prediction is not finite")
    if not (np.isfinite(truth_HW) | unused).all():
        raise DataError("boundary", "the truth is not finite", "Give its mask, or 0 where unknown")
    maps = [np.array(map_HW, np.float64) for map_HW in (prediction_HW, truth_HW)]
    for map_HW in maps:
        map_HW[unused] = np.nan  # no ratio with NaN passes a threshold
    return maps[0], maps[1]


def _mean(values_K: NDArray[np.float64], weights_K: NDArray[np.float64]) -> float:
    return float(np.average(values_K, weights=weights_K))


def _first(map_HW: NDArray, axis: int) -> NDArray:
    return map_HW[:-1] if axis == 0 else map_HW[:, :-1]


def _second(map_HW: NDArray, axis: int) -> NDArray:
    return map_HW[1:] if axis == 0 else map_HW[:, 1:]


def _nearness(depth_HW: NDArray[np.float64]) -> NDArray[np.float64]:
    """ln i = -ln max(z, 1e-6); its differences are the logarithms of the ratios."""
    nearness_HW: NDArray[np.float64] = -np.log(np.maximum(depth_HW, _SMALLEST_M))
    return nearness_HW


def _counts(
    predicted: NDArray[np.float64], true: NDArray[np.float64], limits: NDArray[np.float64]
) -> _Counts:
    """How many relations pass each of the rising limits, by one histogram of the few that do."""
    some = (predicted > limits[0]) | (true > limits[0])
    levels = [np.searchsorted(limits, np.fmax(values[some], 0)) for values in (predicted, true)]
    size = len(limits) + 1

    def passing(level: NDArray[np.intp]) -> NDArray[np.int64]:
        """Level n means that the first n limits are passed."""
        totals: NDArray[np.int64] = np.bincount(level, minlength=size)[::-1].cumsum()[::-1][1:]
        return totals

    return _Counts(passing(levels[0]), passing(levels[1]), passing(np.minimum(*levels)))


def _peaks_on(
    border: NDArray[np.bool_], rise: NDArray[np.float64], limits: NDArray[np.float64]
) -> NDArray[np.int64]:
    """For each limit, how many border pixels are the first maximum of a run of values above it.

    A run lies within one row.
    """
    row, column = np.nonzero(rise > limits[0])
    values, wanted = rise[row, column], border[row, column]
    place = row * (rise.shape[1] + 1) + column  # the end of a row touches no other row
    found_K = np.zeros(len(limits), np.int64)
    for level, limit in enumerate(limits):
        above = values > limit
        values, wanted, place = values[above], wanted[above], place[above]
        if not place.size:
            break
        starts = np.r_[True, np.diff(place) != 1]
        run = np.cumsum(starts) - 1
        at_top = np.flatnonzero(values == np.maximum.reduceat(values, np.flatnonzero(starts))[run])
        first = at_top[np.r_[True, np.diff(run[at_top]) != 0]]
        found_K[level] = np.count_nonzero(wanted[first])
    return found_K


def _disc(radius: int) -> list[tuple[int, int]]:
    """Offsets (down, right) within the radius, without the center."""
    reach = range(-radius, radius + 1)
    return [(y, x) for y in reach for x in reach if 0 < y * y + x * x <= radius * radius]


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
            raise ConfigError(
                "EdgeChamfer", f"low {self.low} and high {self.high} are not in 0 <= low <= high"
            )
        if not (self.far > 0 and self.ratio > 1 and self.floor_m > 0):
            raise ConfigError(
                "EdgeChamfer",
                f"far {self.far}, ratio {self.ratio}, floor_m {self.floor_m}: need > 0, > 1, > 0",
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
    # 1. pixels [P] of the edge zone
    zone_HW = edge_zone(truth_HW, valid_HW, parameters=parameters)
    depth_HW = _same_size(depth_HW, zone_HW)
    row, column = np.nonzero(zone_HW)
    if not row.size:
        nan = math.nan
        return EdgeScores(nan, nan, nan, nan, nan, nan, 0, parameters)
    depth_P, truth_P = depth_HW[row, column], _metres(truth_HW)[row, column]
    if not np.isfinite(depth_P).all():
        raise DataError("edge_chamfer", "the prediction is not finite inside the edge zone")
    # 2. rays [P,3] through the pixel centers; points of prediction and truth along them
    x_P = (column + 0.5 - intrinsics_33[0, 2]) / intrinsics_33[0, 0]
    y_P = (row + 0.5 - intrinsics_33[1, 2]) / intrinsics_33[1, 1]
    rays_P3 = np.stack([x_P, y_P, np.ones_like(x_P)], axis=1)
    to_truth, to_prediction = _nearest(rays_P3 * depth_P[:, None], rays_P3 * truth_P[:, None])
    # 3. the same with ln z as depth
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
            "Resize it by nearest neighbor; interpolation makes flying pixels",
        )
    return _metres(depth_HW)
