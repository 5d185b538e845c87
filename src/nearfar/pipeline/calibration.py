"""The spread of hypotheses turned into a standard deviation whose intervals hold what they say.

Hypotheses of one network share its mistakes, so their spread s is smaller than their error, and
nearly nothing where all are wrong alike. On scenes with known depth the error is measured against

    sigma = sqrt((gain * s)^2 + (floor * u)^2)

in the space of the map's kind, where floor is what no spread tells: u = 1 for affine kinds (their
maps have a range of about 1), u = the map itself for metric and scale-invariant ones. floor / gain
has the least Gaussian negative log-likelihood; their size is that at which 90 % of the pixels lie
inside the 90 % interval. Every scene counts alike. The two numbers stand on the weights' card.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError, DataError, WeightsError
from nearfar.geometry.alignment import fit_affine
from nearfar.result import DepthKind

from .ensemble import Ensemble

METHOD = "gain_floor"
LEVEL = 0.9  # the interval that is made to cover its share
_PIXELS = 4096  # of a scene; neighbors say the same
_RATIOS = np.r_[0.0, np.geomspace(1e-2, 1e3, 101)]  # floor / gain, in typical spreads per unit
_ABSOLUTE = (DepthKind.AFFINE_DEPTH, DepthKind.AFFINE_LOG_DEPTH)

_Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """gain: times the spread. floor: the least deviation, in units u of the kind (see above)."""

    gain: float
    floor: float

    def __post_init__(self) -> None:
        if not (0 <= self.gain < math.inf and 0 <= self.floor < math.inf):
            raise ConfigError(
                "Calibration", f"gain {self.gain}, floor {self.floor}", "Both are 0 or more"
            )

    def deviation(self, spread: NDArray, depth: NDArray, *, kind: DepthKind) -> NDArray[np.float32]:
        """Standard deviation of the error of `depth`, in its unit, from the hypotheses' spread."""
        return np.hypot(self.gain * spread, self.floor * _unit(depth, kind)).astype(np.float32)


class Residuals(NamedTuple):
    """Valid pixels of one scene in the map's own space: error, raw spread, unit of the floor."""

    error_P: _Floats
    spread_P: _Floats
    unit_P: _Floats


def calibrated(merged: Ensemble, calibration: Calibration | None, *, kind: DepthKind) -> Ensemble:
    """The ensemble with its calibrated deviation; unchanged without calibration or spread."""
    if calibration is None or merged.uncertainty_HW is None:
        return merged
    deviation_HW = calibration.deviation(merged.uncertainty_HW, merged.depth_HW, kind=kind)
    return Ensemble(merged.depth_HW, deviation_HW)


def calibration_of(table: Mapping[str, Any], *, where: str) -> Calibration | None:
    """What a card's `uncertainty` says; None if it is empty, WeightsError if it makes no sense."""
    if not table:
        return None
    method = table.get("method")
    if method != METHOD:
        raise WeightsError(
            where, f"unknown calibration {method!r} on the card", f"This nearfar knows {METHOD}"
        )
    try:
        return Calibration(gain=float(table["gain"]), floor=float(table["floor"]))
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise WeightsError(
            where, f"the card's calibration is unreadable ({error})", "Calibrate again"
        ) from error


def residuals(
    depth_HW: NDArray[np.float32],
    spread_HW: NDArray[np.float32],
    truth_HW: NDArray[np.float32],
    valid_HW: NDArray[np.bool_],
    *,
    kind: DepthKind,
) -> Residuals:
    """Errors of a map in its own unit, the truth (metres) brought to it by least squares.

    Metric maps are compared as they are. valid_HW: where the truth is known and map and spread are
    finite. DataError if no pixel is.
    """
    valid_HW = valid_HW & np.isfinite(depth_HW) & np.isfinite(spread_HW) & (truth_HW > 0)
    if not valid_HW.any():
        raise DataError("calibration", "no valid pixel")
    scale, shift = 1.0, 0.0
    if kind is not DepthKind.METRIC:
        scale, shift, _ = fit_affine(depth_HW, truth_HW, valid_HW, kind=kind)
    target_P = truth_HW[valid_HW].astype(np.float64)
    if kind is DepthKind.AFFINE_LOG_DEPTH:
        target_P = np.log1p(target_P)
    depth_P = depth_HW[valid_HW].astype(np.float64)
    error_P = (target_P - shift) / scale - depth_P
    return Residuals(error_P, spread_HW[valid_HW].astype(np.float64), _unit(depth_P, kind))


def fit_calibration(scenes: Sequence[Residuals]) -> Calibration:
    """The gain and floor of these scenes (see the top of the file); DataError without scenes."""
    if not scenes:
        raise DataError("calibration", "no scene to calibrate on")
    parts = [_some(scene) for scene in scenes]
    error_P, spread_P, unit_P = (np.concatenate(column) for column in zip(*parts, strict=True))
    weight_P = np.concatenate([np.full(len(p.error_P), 1 / len(p.error_P)) for p in parts])
    error_P = np.abs(error_P)
    typical = float(np.median(spread_P)) / max(float(np.median(np.abs(unit_P))), 1e-12)
    shapes = [(1.0, ratio * typical) for ratio in _RATIOS] + [(0.0, 1.0)]
    likely = [
        _misfit(error_P, np.hypot(gain * spread_P, floor * unit_P), weight_P)
        for gain, floor in shapes
    ]
    gain, floor = shapes[int(np.argmin(likely))]
    shape_P = np.hypot(gain * spread_P, floor * unit_P)
    size = _quantile(error_P / np.maximum(shape_P, 1e-300), weight_P, LEVEL)
    size /= NormalDist().inv_cdf(0.5 + LEVEL / 2)
    return Calibration(gain=size * gain, floor=size * floor)


def _misfit(error_P: _Floats, shape_P: _Floats, weight_P: _Floats) -> float:
    """Gaussian negative log-likelihood, up to a constant, at the best common size of `shape_P`."""
    if not (shape_P > 0).all():
        return math.inf
    square = np.average((error_P / shape_P) ** 2, weights=weight_P)
    return float(
        np.average(np.log(shape_P), weights=weight_P) + 0.5 * math.log(max(square, 1e-300))
    )


def _quantile(values_P: _Floats, weight_P: _Floats, share: float) -> float:
    """The least value that `share` of the weight does not exceed."""
    order = np.argsort(values_P, kind="stable")
    below_P = np.cumsum(weight_P[order])
    place = np.searchsorted(below_P, share * below_P[-1])
    return float(values_P[order[min(int(place), len(order) - 1)]])


def _some(scene: Residuals) -> Residuals:
    """A regular subset of the pixels."""
    stride = max(1, math.ceil(len(scene.error_P) / _PIXELS))
    return Residuals(*(values_P[::stride] for values_P in scene))


def _unit(depth: NDArray, kind: DepthKind) -> _Floats:
    return np.ones(depth.shape) if kind in _ABSOLUTE else np.abs(depth).astype(np.float64)
