"""Sharpness of depth boundaries: relations between neighboring pixels that pass a ratio.

`boundary_f1` and `boundary_recall` are those of Depth Pro (arXiv 2410.02073, spec evaluation.md
section 3.1), `windowed_boundary_f1` that of MoGe (arXiv 2410.19115, spec section 2.5). All are
blind to scale and need prediction and truth at the same size; none forgives a shift of one pixel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError, DataError

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
        raise DataError("windowed_boundary_f1", f"{height}x{width} has no pixel inside {radius}")
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
