"""Whether a predicted uncertainty ranks errors (AUSE) and has the right size (coverage).

Arrays are the valid pixels of one image, [P], in float64; means over images are the caller's. The
sparsification of `ause_aurg` is that of Poggi et al. (arXiv 2005.06209); docs/evaluation.md,
"Uncertainty of a map". Ranking and size are separate questions: AUSE is blind to calibration,
coverage to ranking.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError, DataError

INTERVALS = 50
LEVELS = (0.5, 0.8, 0.9, 0.95)
CALIBRATION_LEVELS = tuple(step / 10 for step in range(1, 10))
CURVE_POINTS = 101
SPACES = ("depth", "disparity", "log1p", "log")
_WRONG_RATIO = 1.25

_Floats = NDArray[np.float64]


class Sparsification(NamedTuple):
    """ause: area between the curve and the best possible one, lower is better. aurg: gain over
    a random ranking, higher is better. Unit of `metric`; `intervals` steps of the curve.
    """

    ause: float
    aurg: float
    metric: str
    intervals: int = INTERVALS


class Coverage(NamedTuple):
    """share of pixels inside the central interval of each level, all 0..1.

    sharpness: mean sigma / depth, to be read beside the shares: wide intervals always cover.
    """

    shares: tuple[float, ...]
    levels: tuple[float, ...]
    sharpness: float


class CalibrationError(NamedTuple):
    """ece: mean |share - level| over `levels`, 0 is right. shares: coverage at each level."""

    ece: float
    shares: tuple[float, ...]
    levels: tuple[float, ...]


class RiskCurve(NamedTuple):
    """risk of the most certain pixels, for the share `coverage_P` of them that is kept (0..1)."""

    coverage_P: _Floats
    risk_P: _Floats
    metric: str


class _Metric(NamedTuple):
    """Per-pixel error that sorts best, and what a set of pixels scores from its summands."""

    error: Callable[[_Floats, _Floats], _Floats]
    summand: Callable[[_Floats, _Floats], _Floats]
    finish: Callable[[_Floats], _Floats]


def _relative(depth_P: _Floats, truth_P: _Floats) -> _Floats:
    return np.asarray(np.abs(truth_P - depth_P) / truth_P)


def _square(depth_P: _Floats, truth_P: _Floats) -> _Floats:
    return np.asarray((truth_P - depth_P) ** 2)


def _ratio(depth_P: _Floats, truth_P: _Floats) -> _Floats:
    with np.errstate(divide="ignore"):
        return np.maximum(truth_P / depth_P, depth_P / truth_P)


def _is_wrong(depth_P: _Floats, truth_P: _Floats) -> _Floats:
    return np.asarray(_ratio(depth_P, truth_P) >= _WRONG_RATIO, np.float64)


METRICS = {  # "a1" is the share of pixels that are wrong
    "abs_rel": _Metric(_relative, _relative, np.asarray),
    "rmse": _Metric(_square, _square, np.sqrt),
    "a1": _Metric(_ratio, _is_wrong, np.asarray),
}


def ause_aurg(
    depth_P: NDArray, truth_P: NDArray, uncertainty_P: NDArray, *, metric: str = "abs_rel"
) -> Sparsification:
    """Areas of the sparsification curve of one image; `metric` is abs_rel, rmse or a1.

    Point q = 0, 2, .., 98: the metric on pixels with -u >= percentile(-u, q) (linear, ties kept);
    0 at the end; trapezoid over the 51 points. AUSE = area - area when sorted by the pixel's own
    error, AURG = metric(all) - area.
    """
    rule = _metric(metric)
    depth, truth, uncertainty = _pixels(depth_P, truth_P, uncertainty_P)
    quantiles = np.asarray(100 / INTERVALS * np.arange(INTERVALS), np.float64)
    summand = rule.summand(depth, truth)

    def area(key_P: _Floats) -> float:
        curve = np.r_[rule.finish(_means_of_kept(summand, key_P, quantiles)), 0.0]
        return float(np.sum(curve[1:] + curve[:-1]) / 2 / INTERVALS)

    found = area(uncertainty)
    everything = float(rule.finish(np.asarray(summand.mean())))
    return Sparsification(found - area(rule.error(depth, truth)), everything - found, metric)


def risk_coverage_curve(
    depth_P: NDArray, truth_P: NDArray, uncertainty_P: NDArray, *, metric: str = "abs_rel"
) -> RiskCurve:
    """The metric on the most certain c of the pixels, c = 0, .01, .., 1 (ties kept).

    Kept are pixels with u <= percentile(u, 100 c), so the curve starts at the least u, not at 0.
    """
    rule = _metric(metric)
    depth, truth, uncertainty = _pixels(depth_P, truth_P, uncertainty_P)
    coverage_P = np.linspace(0, 1, CURVE_POINTS)
    kept = _means_of_kept(rule.summand(depth, truth), uncertainty, 100 * (1 - coverage_P))
    return RiskCurve(coverage_P, rule.finish(kept), metric)


def coverage(
    depth_P: NDArray, truth_P: NDArray, sigma_P: NDArray, *, levels: Sequence[float] = LEVELS
) -> Coverage:
    """The shares with |d - g| <= z sigma, z the normal quantile of each central level."""
    depth, truth, sigma = _pixels(depth_P, truth_P, sigma_P)
    error = np.abs(depth - truth)
    shares = [float(np.mean(error <= _normal_bound(level) * sigma)) for level in levels]
    return Coverage(tuple(shares), tuple(levels), float(np.mean(sigma / np.abs(depth))))


def interval_coverage(truth_P: NDArray, low_P: NDArray, high_P: NDArray) -> float:
    """The share 0..1 of pixels with low <= truth <= high: for distributions that are not normal."""
    truth, low, high = _pixels(truth_P, low_P, high_P)
    return float(np.mean((low <= truth) & (truth <= high)))


def expected_calibration_error(
    depth_P: NDArray,
    truth_P: NDArray,
    sigma_P: NDArray,
    *,
    levels: Sequence[float] = CALIBRATION_LEVELS,
) -> CalibrationError:
    """The mean of |coverage - level| over the levels."""
    shares = coverage(depth_P, truth_P, sigma_P, levels=levels).shares
    ece = float(np.mean(np.abs(np.asarray(shares) - np.asarray(levels))))
    return CalibrationError(ece, shares, tuple(levels))


def nll(depth_P: NDArray, truth_P: NDArray, sigma_P: NDArray) -> float:
    """Mean of ln(2 pi sigma^2) / 2 + (d - g)^2 / (2 sigma^2), nats a pixel; sigma must be > 0."""
    depth, truth, sigma = _pixels(depth_P, truth_P, sigma_P)
    if not (sigma > 0).all():
        raise DataError("nll", f"{np.count_nonzero(sigma <= 0)} sigmas are not positive")
    ratio = (depth - truth) / sigma
    return float(np.mean(0.5 * math.log(2 * math.pi) + np.log(sigma) + 0.5 * ratio**2))


def spearman(uncertainty_P: NDArray, error_P: NDArray) -> float:
    """Rank correlation -1..1 of two lists, ties at their mean rank; NaN if one is constant."""
    ranks = [_ranks(values) for values in _pixels(uncertainty_P, error_P)]
    x, y = (rank - rank.mean() for rank in ranks)
    spread = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / spread if spread else math.nan


def propagate_sigma(
    sigma: NDArray, *, space: str, scale: float, depth: NDArray | None = None
) -> _Floats:
    """Sigma in metres of aligned depth, first order, from sigma of the raw map.

    For target = scale p + shift: depth |s| sigma; disparity d^2 |s| sigma; log1p (d + 1) |s| sigma;
    log d |s| sigma; d is the aligned `depth`.
    """
    sigma = np.asarray(sigma, np.float64) * abs(scale)
    if space == "depth":
        return sigma
    if space not in SPACES:
        raise ConfigError("propagate_sigma", f"unknown space {space!r}", f"Use {', '.join(SPACES)}")
    if depth is None:
        raise ConfigError("propagate_sigma", f"{space} needs the aligned depth")
    metres = np.asarray(depth, np.float64)
    slope = {"disparity": metres**2, "log1p": metres + 1, "log": metres}[space]
    return np.asarray(slope * sigma)


def _metric(name: str) -> _Metric:
    if name not in METRICS:
        raise ConfigError("metric", f"unknown {name!r}", f"Use {', '.join(METRICS)}")
    return METRICS[name]


def _means_of_kept(summand_P: _Floats, key_P: _Floats, quantiles: _Floats) -> _Floats:
    """For each q, the mean over pixels with -key >= percentile(-key, q): q % of largest key gone.

    One sort; what is kept is a head of the list, so all means come from one running sum.
    """
    order = np.argsort(key_P, kind="stable")
    key = key_P[order]
    totals = np.cumsum(summand_P[order])
    finite = np.minimum(key, np.finfo(np.float64).max)  # an infinite error must not interpolate
    limits = -np.percentile(-finite, quantiles)
    kept = np.maximum(np.searchsorted(finite, limits, side="right"), 1)
    return np.asarray(totals[kept - 1] / kept)


def _normal_bound(level: float) -> float:
    if not 0 < level < 1:
        raise ConfigError("coverage", f"level {level} is not between 0 and 1")
    return NormalDist().inv_cdf(0.5 + level / 2)


def _ranks(values_P: _Floats) -> _Floats:
    """Ranks from 0, tied values at the mean of their ranks."""
    _, place, count = np.unique(values_P, return_inverse=True, return_counts=True)
    last = np.cumsum(count) - 1
    return np.asarray((last - (count - 1) / 2)[place])


def _pixels(*lists: NDArray) -> list[_Floats]:
    """Float64 lists of one length; DataError unless all are finite and there is a pixel."""
    found = [np.asarray(values, np.float64) for values in lists]
    shapes = {values.shape for values in found}
    if len(shapes) > 1 or found[0].ndim != 1:
        raise DataError("uncertainty", f"lists of pixels expected, found {sorted(shapes)}")
    if not found[0].size:
        raise DataError("uncertainty", "no valid pixel")
    if not all(np.isfinite(values).all() for values in found):
        raise DataError("uncertainty", "a value is not finite")
    return found
