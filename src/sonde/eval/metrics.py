"""AbsRel and delta1 after the `lstsq_log1p` alignment, beside two maps that look at no photo.

Definitions: spec evaluation.md sections 1.2 and 1.3. All sums in float64, per image, unweighted.
Pixels whose aligned depth is not positive count as wrong for delta1 (the strict reading).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sonde.errors import DataError
from sonde.result import DepthKind

DELTA1_RATIO = 1.25


class Scores(NamedTuple):
    """abs_rel: mean |d-g|/g, lower is better. delta1: share of pixels within 1.25x, 0..1."""

    abs_rel: float
    delta1: float


def abs_rel(depth: NDArray, truth: NDArray, valid: NDArray[np.bool_]) -> float:
    """The mean of |depth - truth| / truth over the valid pixels; both in metres."""
    d, g = _pairs(depth, truth, valid)
    return float(np.mean(np.abs(d - g) / g))


def delta1(depth: NDArray, truth: NDArray, valid: NDArray[np.bool_]) -> float:
    """The share 0..1 of valid pixels with max(d/g, g/d) < 1.25; d <= 0 counts as wrong."""
    d, g = _pairs(depth, truth, valid)
    good = d > 0
    ratio = np.maximum(d[good] / g[good], g[good] / d[good])
    return float(np.count_nonzero(ratio < DELTA1_RATIO) / d.size)


def align_log1p(
    log_depth: NDArray, truth: NDArray, valid: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Metres [H,W] float64: exp(a * log_depth + b) - 1 with a, b by least squares on valid pixels.

    Minimises sum (a p + b - ln(g + 1))^2 (`lstsq_log1p`). A constant map gets the minimum-norm
    solution, i.e. the best constant. A negative slope is kept: it is the prediction's fault.
    """
    p, g = _pairs(log_depth, truth, valid)
    design = np.stack([p, np.ones_like(p)], axis=1)
    (slope, offset), *_ = np.linalg.lstsq(design, np.log1p(g), rcond=None)
    line: NDArray[np.float64] = slope * np.asarray(log_depth, dtype=np.float64) + offset
    return np.expm1(line)


def aligned_scores(log_depth: NDArray, truth: NDArray, valid: NDArray[np.bool_]) -> Scores:
    """The scores of a map that is affine in ln(metres + 1), after `align_log1p`."""
    metres = align_log1p(log_depth, truth, valid)
    return Scores(abs_rel(metres, truth, valid), delta1(metres, truth, valid))


def as_log_depth(depth: NDArray, kind: DepthKind) -> NDArray[np.float64]:
    """The map [H,W] in ln(depth + 1), as `align_log1p` wants it; NaN stays NaN."""
    if kind is DepthKind.AFFINE_LOG_DEPTH:
        return np.asarray(depth, dtype=np.float64)
    return np.log1p(np.asarray(depth, dtype=np.float64))


def flat_map(size_hw: tuple[int, int]) -> NDArray[np.float64]:
    """Zeros [H,W]: the prediction that knows nothing; aligned, it is the best constant."""
    return np.zeros(size_hw)


def row_ramp(size_hw: tuple[int, int]) -> NDArray[np.float64]:
    """Rows from 1 (top, far) down to 0 (bottom, near): depth that only knows which way is up."""
    height, width = size_hw
    return np.repeat(np.linspace(1.0, 0.0, height)[:, None], width, axis=1)


def _pairs(
    depth: NDArray, truth: NDArray, valid: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Prediction and truth of the valid pixels in float64; DataError if there is nothing to do."""
    if depth.shape != truth.shape or valid.shape != truth.shape:
        raise DataError(
            "metrics", f"shapes differ: {depth.shape}, {truth.shape}, mask {valid.shape}"
        )
    d = np.asarray(depth, dtype=np.float64)[valid]
    g = np.asarray(truth, dtype=np.float64)[valid]
    if d.size == 0:
        raise DataError("metrics", "no valid pixel to compare")
    if not (np.isfinite(g).all() and (g > 0).all()):
        raise DataError("metrics", "ground truth is not positive inside the mask")
    if not np.isfinite(d).all():
        raise DataError("metrics", "the prediction is not finite inside the mask")
    return d, g
