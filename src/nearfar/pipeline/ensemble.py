"""Hypotheses of one photo made comparable, their median, and how far they disagree.

Each hypothesis is known only up to the freedom of its kind (docs/ppd.md section 2: affine in
log depth), so each is first fitted to the common median, then the median is taken again, until it
stands still. After every round the group keeps mean scale 1 and mean shift 0: least squares shrinks
noisy maps a little, and without this the whole group would drift towards a constant.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.result import DepthKind

_FIT_PIXELS = 65536  # a regular subset this large fixes two numbers well enough
_ROUNDS = 10
_STILL = 1e-4  # of the median's spread


class Ensemble(NamedTuple):
    """depth_HW: float32 median. uncertainty_HW: float32 standard deviation, None if unknown."""

    depth_HW: NDArray[np.float32]
    uncertainty_HW: NDArray[np.float32] | None


def merge_hypotheses(
    depth_SHW: NDArray[np.float32],
    *,
    kind: DepthKind,
    spread_SHW: NDArray[np.float32] | None = None,
) -> Ensemble:
    """The median of the aligned hypotheses and their standard deviation, in the unit of `kind`.

    Metric maps are not aligned (their scale is part of what is uncertain), scale-invariant ones by
    a factor, affine kinds by factor and shift. Two or more maps: sample deviation (S - 1). The
    standard deviation a family knows of each map, `spread_SHW`, is all there is for a single one;
    for several its mean square is added to theirs (variance within and between).
    """
    if depth_SHW.shape[0] == 1:
        own_HW = None if spread_SHW is None else spread_SHW[0].astype(np.float32)
        return Ensemble(depth_SHW[0].astype(np.float32), own_HW)
    scale_S, shift_S = alignment(depth_SHW, kind=kind)
    aligned_SHW = depth_SHW * scale_S[:, None, None] + shift_S[:, None, None]
    median_HW = np.median(aligned_SHW, axis=0).astype(np.float32)
    deviation_HW = aligned_SHW.std(axis=0, ddof=1)
    if spread_SHW is not None:
        within_HW = np.square(spread_SHW * scale_S[:, None, None]).mean(axis=0)
        deviation_HW = np.sqrt(np.square(deviation_HW) + within_HW)
    return Ensemble(median_HW, deviation_HW.astype(np.float32))


def alignment(
    depth_SHW: NDArray[np.float32], *, kind: DepthKind
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scale [S] and shift [S] that bring every hypothesis to the common median."""
    count, height, width = depth_SHW.shape
    stride = max(1, math.ceil(math.sqrt(height * width / _FIT_PIXELS)))
    maps_SP = depth_SHW[:, ::stride, ::stride].reshape(count, -1).astype(np.float64)
    scale_S, shift_S = np.ones(count), np.zeros(count)
    if kind is not DepthKind.METRIC:
        before_P = np.median(maps_SP, axis=0)
        for _ in range(_ROUNDS):
            fit = _fit_scale if kind is DepthKind.SCALE_INVARIANT else _fit_affine
            scale_S, shift_S = fit(maps_SP, before_P)
            after_P = np.median(maps_SP * scale_S[:, None] + shift_S[:, None], axis=0)
            moved = np.abs(after_P - before_P).max()
            before_P = after_P
            if moved <= _STILL * max(float(after_P.std()), 1e-12):
                break
    return scale_S.astype(np.float32), shift_S.astype(np.float32)


def _fit_affine(
    maps_SP: NDArray[np.float64], target_P: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least-squares scale and shift of every map to the target; a map with scale <= 0 keeps 1."""
    mean_S, target_mean = maps_SP.mean(axis=1), target_P.mean()
    centered_SP = maps_SP - mean_S[:, None]
    power_S = (centered_SP**2).mean(axis=1)
    scale_S = (centered_SP * (target_P - target_mean)).mean(axis=1) / np.maximum(power_S, 1e-20)
    scale_S = np.where((scale_S > 0) & (power_S > 1e-16), scale_S, 1.0)
    shift_S = target_mean - scale_S * mean_S
    gauge = 1.0 / scale_S.mean()
    scale_S, shift_S = scale_S * gauge, shift_S * gauge
    return scale_S, shift_S - shift_S.mean()


def _fit_scale(
    maps_SP: NDArray[np.float64], target_P: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least-squares scale of every map to the target; a map with scale <= 0 keeps 1."""
    power_S = np.maximum((maps_SP**2).mean(axis=1), 1e-20)
    scale_S = (maps_SP * target_P).mean(axis=1) / power_S
    scale_S = np.where(scale_S > 0, scale_S, 1.0)
    return scale_S / scale_S.mean(), np.zeros(len(scale_S))
