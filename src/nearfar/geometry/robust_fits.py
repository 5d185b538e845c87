"""Alignments that outliers do not bend: weighted L1 of depths and of points, and RANSAC.

`l1_scale`, `l1_affine` and `l1_points` are those of MoGe (arXiv 2410.19115), the RANSAC that of
Pixel-Perfect Depth (docs/ppd.md section 8). L1 fits are exact minima, not approximations: the
loss is piecewise linear, so a minimum passes through a sample. Truncation caps every term at tau,
min(tau, w |r|).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError, DataError

from .alignment import fit_affine_ransac
from .fits import fit_lstsq_log1p, valid_pairs
from .l1_search import DENOMINATOR_FLOOR, best_anchor, best_scales, descend

POINT_MODES = MappingProxyType(  # what `l1_points` may change -> the axes it may shift
    {"scale": "", "scale_z": "z", "scale_xyz": "xyz", "shift_z": "z", "shift_xyz": "xyz"}
)


class L1Fit(NamedTuple):
    """y ~ scale * x + shift with loss sum w |scale x + shift - y| (terms capped if truncated)."""

    scale: float
    shift: float
    loss: float
    degenerate: bool


class PointsFit(NamedTuple):
    """Q ~ scale * P + shift_3 with the weighted L1 loss over all coordinates."""

    scale: float
    shift_3: NDArray[np.float64]
    loss: float


class RansacFit(NamedTuple):
    """ln(g + 1) ~ scale * p + shift; fallback: no rising line was found (docs/ppd.md section 8)."""

    scale: float
    shift: float
    fallback: bool
    inlier_share: float


def l1_scale(
    x_P: NDArray[np.float64],
    y_P: NDArray[np.float64],
    w_P: NDArray[np.float64],
    *,
    truncation: float | None = None,
) -> L1Fit:
    """Scale of min sum w |s x - y|: the weighted median of y / x with weights w |x|.

    The first sorted ratio with 2 cumsum - total >= 0; x < 0 flips the sign of both; x below 1e-7
    counts as 1e-7 in the ratio. Truncated: the best of all ratios.
    """
    best = best_scales(x_P[None], y_P[None], w_P[None], truncation)
    degenerate = not bool((w_P * np.abs(x_P)).any())
    return L1Fit(float(best.scale_L[0]), 0.0, float(best.loss_L[0]), degenerate)


def l1_affine(
    x_P: NDArray[np.float64],
    y_P: NDArray[np.float64],
    w_P: NDArray[np.float64],
    *,
    truncation: float | None = None,
) -> L1Fit:
    """Scale and shift of min sum w |s x + t - y|; the exact minimum, through one of the samples.

    Spec: best over all anchors of `l1_scale` on differences to the anchor, O(n^2 log n). Without
    truncation the loss is convex, and a descent from anchor to anchor ends at the same minimum.
    A constant x has no slope: scale 0, shift = weighted median of y.
    """
    used_P = w_P > 0
    if not used_P.any():
        raise DataError("l1_affine", "no sample has a positive weight")
    x_P, y_P, w_P = x_P[used_P], y_P[used_P], w_P[used_P]
    if np.ptp(x_P) <= DENOMINATOR_FLOOR * float(np.abs(x_P).max()):
        shift = weighted_median(y_P, w_P, truncation=truncation)
        return L1Fit(0.0, shift, _loss(y_P - shift, w_P, truncation), True)
    samples, moves_1 = (x_P[None], y_P[None], w_P[None]), np.array([True])
    if truncation is None:
        best = descend(*samples, moves_1)
    else:
        best = best_anchor(*samples, moves_1, truncation)
    shift = float(y_P[best.sample] - best.scale * x_P[best.sample])
    return L1Fit(best.scale, shift, best.loss, False)


def l1_points(
    points_P3: NDArray[np.float64],
    truth_P3: NDArray[np.float64],
    w_P: NDArray[np.float64],
    *,
    mode: str,
    truncation: float | None = None,
) -> PointsFit:
    """Weighted L1 fit of points to points; each coordinate counts with its point's weight.

    mode: a key of `POINT_MODES`. scale_z and scale_xyz are MoGe's: the fit maps one anchor point
    exactly onto its truth in the shifted coordinates, and the best anchor wins. Shifts alone are
    weighted medians per axis, at scale 1.
    """
    if mode not in POINT_MODES:
        raise ConfigError("mode", f"unknown {mode!r}", f"Use one of {', '.join(POINT_MODES)}")
    moves_3 = np.array([axis in POINT_MODES[mode] for axis in "xyz"])
    x_3P, y_3P = points_P3.T, truth_P3.T
    w_3P = np.broadcast_to(w_P, x_3P.shape)
    shift_3, scale = np.zeros(3), 1.0
    if mode == "scale":
        scale = l1_scale(x_3P.ravel(), y_3P.ravel(), w_3P.ravel(), truncation=truncation).scale
    elif mode.startswith("shift"):
        for axis in np.flatnonzero(moves_3):
            off_P = y_3P[axis] - x_3P[axis]
            shift_3[axis] = weighted_median(off_P, w_P, truncation=truncation)
    else:
        if mode == "scale_z" and truncation is None:
            best = descend(x_3P, y_3P, w_3P, moves_3)
        else:
            best = best_anchor(x_3P, y_3P, w_3P, moves_3, truncation)
        scale = best.scale
        shift_3[moves_3] = (truth_P3[best.sample] - scale * points_P3[best.sample])[moves_3]
    residual_P3 = scale * points_P3 + shift_3 - truth_P3
    return PointsFit(scale, shift_3, _loss(residual_P3.T, w_3P, truncation))


def weighted_median(
    values_P: NDArray[np.float64], w_P: NDArray[np.float64], *, truncation: float | None = None
) -> float:
    """The value minimizing sum w |v - value|: the first with 2 cumsum - total >= 0 when sorted."""
    ones_P = np.ones_like(values_P)
    return float(best_scales(ones_P[None], values_P[None], w_P[None], truncation).scale_L[0])


def fit_ransac_log1p(
    prediction: NDArray,
    truth: NDArray,
    valid: NDArray[np.bool_],
    *,
    generator: np.random.Generator,
    trials: int = 1000,
) -> RansacFit:
    """Slope and offset of ln(g + 1) ~ a p + b by RANSAC, the released PPD evaluation.

    fallback: the line of the inliers does not rise; then a = mean(ln(g + 1)) / mean(p), b = 0.
    """
    valid_pairs(prediction, truth, valid, where="ransac_log1p")
    p, g = prediction.astype(np.float32), np.where(valid, truth, 0).astype(np.float32)
    fit = fit_affine_ransac(
        p, g, valid, kind="affine_log_depth", generator=generator, trials=trials
    )
    plain = fit_lstsq_log1p(p, g, fit.inliers if fit.inliers.any() else valid)
    share = float(fit.inliers.sum() / valid.sum())
    return RansacFit(fit.scale, fit.shift, plain.degenerate or plain.scale <= 0, share)


def _loss(residual: NDArray, w: NDArray, truncation: float | None) -> float:
    terms = w * np.abs(residual)
    return float(terms.sum() if truncation is None else np.minimum(terms, truncation).sum())
