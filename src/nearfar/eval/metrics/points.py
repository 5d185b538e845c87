"""Point maps and cameras against the truth: MoGe's point alignment and metrics, field of view.

MoGe, arXiv 2410.19115; docs/evaluation.md, "Alignments" (`l1_points`) and "Metrics of an image".
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import DataError
from nearfar.geometry.masked_resize import masked_nearest_source
from nearfar.geometry.robust_fits import l1_points

_EPS = 1e-6
_DELTA1_SHARE = 0.25


class PointScores(NamedTuple):
    """rel: mean |P - G| / (|G| + 1e-6), lower is better. delta1: share with |P - G| < .25 min."""

    rel: float
    delta1: float


class AlignedPoints(NamedTuple):
    """points_HW3 in metres = scale * prediction + shift_3."""

    points_HW3: NDArray[np.float64]
    scale: float
    shift_3: NDArray[np.float64]


def align_points(
    prediction_HW3: NDArray,
    truth_HW3: NDArray,
    valid_HW: NDArray[np.bool_],
    *,
    mode: str,
    samples_hw: tuple[int, int] = (64, 64),
    truncation: float | None = None,
) -> AlignedPoints:
    """The points fitted to the truth on 64x64 samples, weights 1 / |g|; modes of `l1_points`."""
    _valid_points(prediction_HW3, truth_HW3, valid_HW)
    source = masked_nearest_source(valid_HW, samples_hw)
    p_P3, g_P3 = (source.take(v).astype(np.float64) for v in (prediction_HW3, truth_HW3))
    weight_P = 1 / np.linalg.norm(g_P3, axis=1)
    fit = l1_points(p_P3, g_P3, weight_P, mode=mode, truncation=truncation)
    points_HW3 = fit.scale * prediction_HW3.astype(np.float64) + fit.shift_3
    return AlignedPoints(points_HW3, fit.scale, fit.shift_3)


def point_scores(
    prediction_HW3: NDArray, truth_HW3: NDArray, valid_HW: NDArray[np.bool_]
) -> PointScores:
    """Both metrics over the valid pixels; DataError if a valid point is not finite."""
    p_P3, g_P3 = _valid_points(prediction_HW3, truth_HW3, valid_HW)
    off_P = np.sqrt(np.square(p_P3 - g_P3).sum(axis=1))
    p_P, g_P = (np.sqrt(np.square(v).sum(axis=1)) for v in (p_P3, g_P3))
    near_P = off_P < _DELTA1_SHARE * np.minimum(p_P, g_P)
    return PointScores(float(np.mean(off_P / (g_P + _EPS))), float(near_P.mean()))


def fov_error_deg(
    intrinsics_33: NDArray[np.float64], truth_33: NDArray[np.float64], size_hw: tuple[int, int]
) -> float:
    """|fov_x(prediction) - fov_x(truth)| in degrees, fov_x = 2 atan(W / (2 fx)), both in pixels."""
    width = size_hw[1]
    prediction, truth = (
        math.degrees(2 * math.atan(width / (2 * float(k_33[0, 0]))))
        for k_33 in (intrinsics_33, truth_33)
    )
    return abs(prediction - truth)


class _Points(NamedTuple):
    p_P3: NDArray[np.float64]
    g_P3: NDArray[np.float64]


def _valid_points(
    prediction_HW3: NDArray, truth_HW3: NDArray, valid_HW: NDArray[np.bool_]
) -> _Points:
    if not prediction_HW3.shape == truth_HW3.shape == (*valid_HW.shape, 3):
        shapes = f"{prediction_HW3.shape}, {truth_HW3.shape}, mask {valid_HW.shape}"
        raise DataError("points", f"shapes differ: {shapes}")
    p_P3, g_P3 = (v[valid_HW].astype(np.float64) for v in (prediction_HW3, truth_HW3))
    if not len(g_P3):
        raise DataError("points", "no valid pixel to compare")
    for name, values_P3 in (("the prediction", p_P3), ("the ground truth", g_P3)):
        if not np.isfinite(values_P3).all():
            raise DataError("points", f"{name} is not finite inside the mask")
    return _Points(p_P3, g_P3)
