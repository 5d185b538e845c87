"""Depth metrics per image: one pass over the valid pixels gives every metric asked for.

Definitions: docs/evaluation.md, "Metrics of an image". All sums in float64, per image, unweighted
(only the ratios of the deltas are float32); the mean over images is the caller's. Nothing is
dropped: NaN, infinity and undefined logarithms are errors. Beside it: AbsRel and delta1 after
`lstsq_log1p`, and two maps that look at no photo.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError, DataError
from nearfar.geometry.fits import fit_lstsq_log1p, valid_pairs
from nearfar.result import DepthKind

DELTA1_RATIO = 1.25
_BLOCK = 1 << 15  # pixels at a time: all temporaries of a block stay in the processor's cache
_PPD_EPS = 1e-5
_MOGE_EPS = 1e-6

Terms = dict[str, float]


class Scores(NamedTuple):
    """abs_rel: mean |d-g|/g, lower is better. delta1: share of pixels within 1.25x, 0..1."""

    abs_rel: float
    delta1: float


class Metric(NamedTuple):
    """terms: the sums over pixels it needs (names of `_TERMS`); value: what they make, with n."""

    terms: tuple[str, ...]
    value: Callable[[Terms, int], float]


def image_metrics(
    depth_HW: NDArray,
    truth_HW: NDArray,
    valid_HW: NDArray[np.bool_],
    *,
    names: Sequence[str],
    strict: bool = False,
) -> dict[str, float]:
    """The metrics of these names (keys of `METRICS`) for one image; depth and truth in metres.

    strict: pixels with d <= 0 count as wrong for every delta, and `nonpositive_share` is reported
    too. Otherwise (parity) their negative ratios count as correct, as in the released code of
    protocols that clamp nothing. Metrics with logarithms refuse d <= 0 either way: DataError.
    """
    unknown = sorted(set(names) - METRICS.keys())
    if unknown:
        raise ConfigError("metrics", f"unknown: {', '.join(unknown)}", f"Use {', '.join(METRICS)}")
    wanted = tuple(dict.fromkeys([*names, "nonpositive_share"] if strict else names))
    # 1. valid pixels [P], and the sums over them that the metrics share
    d_P, g_P = valid_pairs(depth_HW, truth_HW, valid_HW, where="metrics")
    terms = sorted({term for name in wanted for term in METRICS[name].terms})
    if any(term.startswith("log") for term in terms) and d_P.min() <= 0:
        raise DataError(
            "metrics",
            f"{np.count_nonzero(d_P <= 0)} of {d_P.size} valid pixels have depth <= 0, which has "
            "no logarithm",
            "Use a protocol with caps, or only metrics without logarithms",
        )
    # 2. sums of blocks, added without rounding
    parts: dict[str, list[float]] = {term: [] for term in terms}
    for start in range(0, d_P.size, _BLOCK):
        block = _Block(d_P[start : start + _BLOCK], g_P[start : start + _BLOCK], strict)
        for term in terms:
            parts[term].append(_TERMS[term](block))
    sums = {term: math.fsum(values) for term, values in parts.items()}
    # 3. metrics from sums
    scores = {name: METRICS[name].value(sums, d_P.size) for name in wanted}
    lost = [name for name, score in scores.items() if not math.isfinite(score)]
    if lost:
        raise DataError(
            "metrics", f"not finite: {', '.join(lost)}", "Look for zeros in the prediction"
        )
    return scores


class _Block:
    """Some pixels and what several metrics need of them, each computed at most once."""

    def __init__(self, d_P: NDArray[np.float64], g_P: NDArray[np.float64], strict: bool) -> None:
        self.d_P, self.g_P, self.strict = d_P, g_P, strict

    @cached_property
    def off_P(self) -> NDArray[np.float64]:
        """|d - g|."""
        return np.abs(self.d_P - self.g_P)

    @cached_property
    def share_P(self) -> NDArray[np.float64]:
        """|d - g| / g."""
        return self.off_P / self.g_P

    @cached_property
    def log_P(self) -> NDArray[np.float64]:
        """ln d - ln g."""
        return np.log(self.d_P / self.g_P)

    @cached_property
    def ratio_P(self) -> NDArray[np.float32]:
        """max(d / g, g / d); infinite for d = 0, and for d < 0 too in strict mode.

        float32, as in released code: of millimetre data many ratios are 1.25 up to rounding, and
        the rounding decides which of them count.
        """
        d_P, g_P = self.d_P.astype(np.float32), self.g_P.astype(np.float32)
        return self._judged(d_P, g_P, np.float32(0))

    @cached_property
    def ratio_ppd_P(self) -> NDArray[np.float32]:
        """max(g / (d + 1e-5), d / (g + 1e-5)), float32."""
        d_P, g_P = self.d_P.astype(np.float32), self.g_P.astype(np.float32)
        return self._judged(d_P, g_P, np.float32(_PPD_EPS))

    def _judged(
        self, d_P: NDArray[np.float32], g_P: NDArray[np.float32], eps: np.float32
    ) -> NDArray[np.float32]:
        with np.errstate(divide="ignore", over="ignore"):
            ratio_P: NDArray[np.float32] = np.maximum(d_P / (g_P + eps), g_P / (d_P + eps))
        if self.strict:
            ratio_P[self.d_P <= 0] = np.inf
        return ratio_P


def _within(power: float, *, ppd: bool = False) -> Callable[[_Block], float]:
    """Counts pixels with a ratio strictly below 1.25^power."""
    limit = DELTA1_RATIO**power
    if ppd:
        return lambda block: float(np.count_nonzero(block.ratio_ppd_P < limit))
    return lambda block: float(np.count_nonzero(block.ratio_P < limit))


def _beyond(limit: float) -> Callable[[_Block], float]:
    """Counts pixels with a ratio above the limit (DepthART's error shares)."""
    return lambda block: float(np.count_nonzero(block.ratio_P > limit))


def _inverse_square(block: _Block) -> float:
    with np.errstate(divide="ignore"):
        off_P = 1 / block.d_P - 1 / block.g_P
    return float(off_P @ off_P)


_TERMS: MappingProxyType[str, Callable[[_Block], float]] = MappingProxyType(
    {
        "off": lambda b: float(b.off_P.sum()),
        "off_square": lambda b: float(b.off_P @ b.off_P),
        "share": lambda b: float(b.share_P.sum()),
        "share_ppd": lambda b: float((b.off_P / (b.g_P + _PPD_EPS)).sum()),
        "share_moge": lambda b: float((b.off_P / (b.g_P + _MOGE_EPS)).sum()),
        "share_off": lambda b: float(b.share_P @ b.off_P),
        "log": lambda b: float(b.log_P.sum()),
        "log_absolute": lambda b: float(np.abs(b.log_P).sum()),
        "log_square": lambda b: float(b.log_P @ b.log_P),
        "inverse_square": _inverse_square,
        "nonpositive": lambda b: float(np.count_nonzero(b.d_P <= 0)),
        **{f"within{power:g}": _within(power) for power in (0.5, 1, 2, 3)},
        **{f"within{power:g}_ppd": _within(power, ppd=True) for power in (0.5, 1, 2, 3)},
        **{f"beyond{power}": _beyond(DELTA1_RATIO**power) for power in (1, 2, 3)},
        **{f"beyond_{limit:.2f}": _beyond(limit) for limit in (1.02, 1.05, 1.1)},
    }
)


def _mean(term: str) -> Metric:
    return Metric((term,), lambda sums, n: sums[term] / n)


def _root(term: str) -> Metric:
    return Metric((term,), lambda sums, n: math.sqrt(sums[term] / n))


def _silog(weight: float, factor: float) -> Metric:
    """factor * sqrt(mean e^2 - weight * (mean e)^2), e = ln d - ln g."""

    def value(sums: Terms, n: int) -> float:
        square, mean = sums["log_square"] / n, sums["log"] / n
        return factor * math.sqrt(max(0.0, square - weight * mean**2))

    return Metric(("log", "log_square"), value)


def _silog_unidepth(sums: Terms, n: int) -> float:
    """100 * standard deviation of e with n - 1 in the denominator."""
    if n < 2:
        raise DataError("metrics", "silog_unidepth needs two valid pixels")
    return 100 * math.sqrt(max(0.0, sums["log_square"] - sums["log"] ** 2 / n) / (n - 1))


METRICS: MappingProxyType[str, Metric] = MappingProxyType(
    {
        "abs_rel": _mean("share"),
        "sq_rel": _mean("share_off"),
        "rmse": _root("off_square"),
        "rmse_log": _root("log_square"),
        "log10": Metric(("log_absolute",), lambda s, n: s["log_absolute"] / n / math.log(10)),
        **{f"delta{power:g}": _mean(f"within{power:g}") for power in (0.5, 1, 2, 3)},
        "i_rmse": _root("inverse_square"),
        "silog": _silog(1.0, 100.0),
        "mae": _mean("off"),
        "mse": _mean("off_square"),
        # variants: never in one table with the above
        "silog_dav2": _silog(0.5, 1.0),
        "silog_loss": _silog(0.85, 10.0),
        "silog_unidepth": Metric(("log", "log_square"), _silog_unidepth),
        "abs_rel_ppd": _mean("share_ppd"),
        **{f"delta{power:g}_ppd": _mean(f"within{power:g}_ppd") for power in (0.5, 1, 2, 3)},
        "abs_rel_moge": _mean("share_moge"),
        **{f"delta{power}_error": _mean(f"beyond{power}") for power in (1, 2, 3)},
        **{f"ratio_{limit:.2f}_error": _mean(f"beyond_{limit:.2f}") for limit in (1.02, 1.05, 1.1)},
        "nonpositive_share": _mean("nonpositive"),
    }
)


def abs_rel(depth: NDArray, truth: NDArray, valid: NDArray[np.bool_]) -> float:
    """The mean of |depth - truth| / truth over the valid pixels; both in metres."""
    return image_metrics(depth, truth, valid, names=("abs_rel",))["abs_rel"]


def delta1(depth: NDArray, truth: NDArray, valid: NDArray[np.bool_]) -> float:
    """The share 0..1 of valid pixels with max(d/g, g/d) < 1.25; d <= 0 counts as wrong."""
    return image_metrics(depth, truth, valid, names=("delta1",), strict=True)["delta1"]


def align_log1p(
    log_depth: NDArray, truth: NDArray, valid: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Metres [H,W] float64: exp(a * log_depth + b) - 1 with a, b by least squares on valid pixels.

    Minimizes sum (a p + b - ln(g + 1))^2 (`lstsq_log1p`). A constant map gets the minimum-norm
    solution, i.e. the best constant. A negative slope is kept: it is the prediction's fault.
    """
    fit = fit_lstsq_log1p(log_depth, truth, valid)
    return np.expm1(fit.scale * np.asarray(log_depth, dtype=np.float64) + fit.shift)


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
