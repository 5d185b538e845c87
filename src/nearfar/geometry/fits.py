"""Scale and shift of a prediction against ground truth, exactly as evaluation protocols fit them.

docs/evaluation.md tells which protocol fits how. Sums in float64. Unlike `alignment.py` (which
serves predictions and always rises), nothing is repaired here: a negative slope is kept, it is the
prediction's fault. Arrays may have any shape: one image [H,W], or a clip [T,H,W] fitted as one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError, DataError

MIN_DISPARITY = 1e-3  # Marigold, Video Depth Anything: aligned disparity is clipped below here
_VIDEO_EPS = 1e-8  # Video Depth Anything: target disparity is 1 / (g + 1e-8)


class Fit(NamedTuple):
    """Target = scale * prediction + shift in the fit's space.

    degenerate: the points do not determine the line (minimum-norm or constant solution).
    """

    scale: float
    shift: float
    degenerate: bool


class Pairs(NamedTuple):
    """Prediction and truth of the valid pixels, float64 [P]."""

    prediction_P: NDArray[np.float64]
    truth_P: NDArray[np.float64]


def valid_pairs(
    prediction: NDArray, truth: NDArray, valid: NDArray[np.bool_], *, where: str = "alignment"
) -> Pairs:
    """Both maps inside the mask in float64; DataError for NaN, truth <= 0, or an empty mask."""
    if not prediction.shape == truth.shape == valid.shape:
        raise DataError(
            where,
            f"shapes differ: {list(prediction.shape)}, {list(truth.shape)}, "
            f"mask {list(valid.shape)}",
        )
    p_P, g_P = prediction[valid].astype(np.float64), truth[valid].astype(np.float64)
    if g_P.size == 0:
        raise DataError(where, "no valid pixel to compare")
    if not (np.isfinite(g_P).all() and g_P.min() > 0):
        raise DataError(where, "ground truth is not positive and finite inside the mask")
    bad = p_P.size - np.count_nonzero(np.isfinite(p_P))
    if bad:
        raise DataError(where, f"the prediction is not finite in {bad} of {p_P.size} valid pixels")
    return Pairs(p_P, g_P)


def fit_line(x_P: NDArray[np.float64], y_P: NDArray[np.float64]) -> Fit:
    """Least-squares line y ~ s x + t; minimum-norm (s, t) where x is constant.

    Same answer as numpy.linalg.lstsq on [x, 1] with rcond = eps * max(n, 2), in closed form:
    singular values from the centered moments, the pseudo-inverse of rank 1 below the cut-off.
    """
    count = x_P.size
    mean_x, mean_y = float(x_P.mean()), float(y_P.mean())
    x_centered_P = x_P - mean_x
    variance = float(x_centered_P @ x_centered_P) / count
    trace = variance + mean_x**2 + 1  # of the design's Gram matrix over n; its determinant: var
    top = (trace + math.sqrt(max(trace**2 - 4 * variance, 0.0))) / 2
    cut_off = np.finfo(np.float64).eps * max(count, 2)
    if math.sqrt(variance) > cut_off * top:  # smallest / largest singular value
        scale = float(x_centered_P @ (y_P - mean_y)) / (count * variance)
        return Fit(scale, mean_y - scale * mean_x, False)
    power = mean_x**2 + 1  # all rows are (mean_x, 1)
    return Fit(mean_x * mean_y / power, mean_y / power, True)


def fit_lstsq_depth(prediction: NDArray, truth: NDArray, valid: NDArray[np.bool_]) -> Fit:
    """Scale and shift of min sum (s p + t - g)^2: `lstsq_depth`, Marigold's alignment."""
    return fit_line(*valid_pairs(prediction, truth, valid))


def fit_lstsq_disparity(
    prediction: NDArray, truth: NDArray, valid: NDArray[np.bool_], *, variant: str = "marigold"
) -> Fit:
    """Scale and shift of p against 1 / g. variant "marigold": only where p > 0; "moge": all."""
    p_P, g_P = valid_pairs(prediction, truth, valid)
    if variant not in ("marigold", "moge"):
        raise ConfigError("variant", f"unknown disparity fit {variant!r}", "Use marigold or moge")
    if variant == "marigold":
        positive_P = p_P > 0
        if not positive_P.any():
            raise DataError("lstsq_disparity", "no valid pixel has a positive disparity")
        p_P, g_P = p_P[positive_P], g_P[positive_P]
    return fit_line(p_P, 1 / g_P)


def fit_lstsq_disp_video(prediction: NDArray, truth: NDArray, valid: NDArray[np.bool_]) -> Fit:
    """One disparity line for a whole clip: p clipped below at 1e-3 first, target 1/(g + 1e-8)."""
    p_P, g_P = valid_pairs(prediction, truth, valid)
    return fit_line(np.maximum(p_P, MIN_DISPARITY), 1 / (g_P + _VIDEO_EPS))


def fit_lstsq_log1p(prediction: NDArray, truth: NDArray, valid: NDArray[np.bool_]) -> Fit:
    """Scale and shift of ln(g + 1) ~ s p + t: `lstsq_log1p`, depth = exp(s p + t) - 1."""
    p_P, g_P = valid_pairs(prediction, truth, valid)
    return fit_line(p_P, np.log1p(g_P))


def fit_lstsq_log(prediction: NDArray, truth: NDArray, valid: NDArray[np.bool_]) -> Fit:
    """Scale and shift of ln g ~ s p + t: `lstsq_log`, depth = exp(s p + t)."""
    p_P, g_P = valid_pairs(prediction, truth, valid)
    return fit_line(p_P, np.log(g_P))


def fit_median_ratio(prediction: NDArray, truth: NDArray, valid: NDArray[np.bool_]) -> Fit:
    """Scale = LOWER median of g / p (DepthART, arXiv 2409.15010); zeros in p give no ratio."""
    p_P, g_P = valid_pairs(prediction, truth, valid)
    if (p_P == 0).any():
        raise DataError("median_ratio", f"the prediction is 0 in {(p_P == 0).sum()} valid pixels")
    return Fit(lower_median(g_P / p_P), 0.0, False)


def fit_ratio_of_medians(prediction: NDArray, truth: NDArray, valid: NDArray[np.bool_]) -> Fit:
    """Scale = median of g over median of p, with the averaged median (DUSt3R's protocols)."""
    p_P, g_P = valid_pairs(prediction, truth, valid)
    middle = float(np.median(p_P))
    if middle == 0:
        raise DataError("ratio_of_medians", "the median of the prediction is 0")
    return Fit(float(np.median(g_P)) / middle, 0.0, False)


def lower_median(values_P: NDArray[np.float64]) -> float:
    """The middle value; of an even number of values the smaller middle one (torch.median)."""
    middle = (values_P.size - 1) // 2
    return float(np.partition(values_P, middle)[middle])
