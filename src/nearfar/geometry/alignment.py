"""Scale and shift of a depth map against metres, fitted in the map's own space.

With d the map and z the reference in metres:
metric, scale_invariant  z = s * d
affine_depth             z = s * d + t
affine_log_depth         ln(z + 1) = s * d + t      (PPD, arXiv 2510.07316, docs/ppd.md section 8)
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError, InputError

_LOG = logging.getLogger(__name__)
_KINDS = ("metric", "scale_invariant", "affine_depth", "affine_log_depth")
_MAX_EXPONENT = 80.0  # exp of it is still finite in float32, also with s * d on top rounded
_SCORED_POINTS = 4096  # RANSAC hypotheses are compared on so many points, drawn once


class AffineFit(NamedTuple):
    """scale s > 0 and shift t of the kind's formula; inliers: [H,W] pixels the fit rests on."""

    scale: float
    shift: float
    inliers: NDArray[np.bool_]


class _Line(NamedTuple):
    scale: float
    shift: float


class _Lines(NamedTuple):
    scale: NDArray[np.float64]
    shift: NDArray[np.float64]


class _Samples(NamedTuple):
    depth: NDArray[np.float64]
    target: NDArray[np.float64]


def apply_affine(
    depth: NDArray[np.float32], *, scale: float, shift: float, kind: str
) -> NDArray[np.float32]:
    """Metres (float32, NaN stays NaN): s * d + t, or exp(s * d + t) - 1 for affine_log_depth.

    The exponent is held below 80, so that a wild scale gives huge but finite metres.
    """
    line = scale * depth.astype(np.float64) + shift
    if _checked(kind) == "affine_log_depth":
        line = np.expm1(np.minimum(line, _MAX_EXPONENT))
    limit = np.finfo(np.float32).max
    return np.clip(line, -limit, limit).astype(np.float32)


def fit_affine(
    depth: NDArray[np.float32],
    reference: NDArray[np.float32],
    usable: NDArray[np.bool_],
    *,
    kind: str,
) -> AffineFit:
    """Least-squares scale and shift over all usable pixels (finite, reference > 0).

    A slope that is not positive is replaced as in `_positive`.
    """
    usable = _usable(depth, reference, usable)
    x, y = _in_space(depth[usable], reference[usable], kind)
    return AffineFit(*_positive(_least_squares(x, y, kind), x, y, kind), usable)


def fit_affine_ransac(
    depth: NDArray[np.float32],
    reference: NDArray[np.float32],
    usable: NDArray[np.bool_],
    *,
    kind: str,
    generator: np.random.Generator,
    trials: int = 1000,
) -> AffineFit:
    """Scale and shift that most pixels agree on: RANSAC, then least squares over the inliers.

    docs/ppd.md section 8: lines through 2 drawn points (1 for kinds without shift), inliers within
    the median absolute deviation of the target, most inliers win, equal counts are told apart by
    the smaller residual. Released code: stops early at 99 % confidence; here all trials are
    compared at once, on 4096 drawn pixels when there are more. Draws from `generator`.
    """
    usable = _usable(depth, reference, usable)
    x, y = _in_space(depth[usable], reference[usable], kind)
    threshold = float(np.median(np.abs(y - np.median(y))))
    drawn = (
        generator.choice(len(x), _SCORED_POINTS, replace=False)
        if len(x) > _SCORED_POINTS
        else np.arange(len(x))
    )
    scale, shift = _hypotheses(x, y, kind, trials, generator)
    if not len(scale):
        return AffineFit(*_positive(_least_squares(x, y, kind), x, y, kind), usable)
    counts, residuals = np.empty(len(scale)), np.empty(len(scale))
    for start in range(0, len(scale), 64):
        part = slice(start, start + 64)
        off = np.abs(y[drawn] - scale[part, None] * x[drawn] - shift[part, None])
        agree = off <= threshold
        counts[part] = agree.sum(axis=1)
        residuals[part] = np.where(agree, off, 0).sum(axis=1)
    best = np.lexsort((residuals, -counts))[0]
    agree = np.abs(y - scale[best] * x - shift[best]) <= threshold
    inliers = np.zeros(usable.shape, np.bool_)
    inliers[usable] = agree
    line = _least_squares(x[agree], y[agree], kind) if agree.any() else _least_squares(x, y, kind)
    return AffineFit(*_positive(line, x, y, kind), inliers)


def _hypotheses(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    kind: str,
    trials: int,
    generator: np.random.Generator,
) -> _Lines:
    """Scales and shifts of lines through drawn points; pairs that define no line are left out."""
    first = generator.integers(0, len(x), trials)
    if kind in ("metric", "scale_invariant"):
        first = first[x[first] != 0]
        return _Lines(y[first] / x[first], np.zeros(len(first)))
    second = (first + generator.integers(1, max(len(x), 2), trials)) % len(x)
    run = x[second] - x[first]
    first, second, run = first[run != 0], second[run != 0], run[run != 0]
    scale = (y[second] - y[first]) / run
    return _Lines(scale, y[first] - scale * x[first])


def _least_squares(x: NDArray[np.float64], y: NDArray[np.float64], kind: str) -> _Line:
    """The line of least squared residuals; slope 1 where the points do not determine it."""
    if kind in ("metric", "scale_invariant"):
        power = float(x @ x)
        return _Line(float(x @ y) / power if power > 0 else 1.0, 0.0)
    mean_x, mean_y = float(x.mean()), float(y.mean())
    spread = float(np.square(x - mean_x).sum())
    scale = float((x - mean_x) @ (y - mean_y)) / spread if spread > 0 else 1.0
    return _Line(scale, mean_y - scale * mean_x)


def _positive(line: _Line, x: NDArray[np.float64], y: NDArray[np.float64], kind: str) -> _Line:
    """The line itself if it rises, else s = mean(y) / mean(x), t = 0 (docs/ppd.md section 8).

    Where even that does not rise, the nearly flat line through the mean: farther stays farther.
    """
    if line.scale > 0:
        return line
    _LOG.warning("alignment found no positive scale (%s, %.4g); the map is unusable", kind, line[0])
    ratio = float(y.mean()) / float(x.mean()) if x.mean() != 0 else 0.0
    if ratio > 0:
        return _Line(ratio, 0.0)
    return _Line(1e-6, float(y.mean()) if kind.startswith("affine") else 0.0)


def _usable(
    depth: NDArray[np.float32], reference: NDArray[np.float32], usable: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Usable pixels with a finite depth and a positive finite reference; InputError if none."""
    if not depth.shape == reference.shape == usable.shape:
        raise InputError(
            "alignment",
            f"depth {depth.shape}, reference {reference.shape}, mask {usable.shape} differ in size",
            "Resize the reference to the map (nearest)",
        )
    usable = usable & np.isfinite(depth) & np.isfinite(reference) & (reference > 0)
    if not usable.any():
        raise InputError("alignment", "no pixel has both a depth and a reference above 0")
    return usable


def _in_space(
    depth_P: NDArray[np.float32], reference_P: NDArray[np.float32], kind: str
) -> _Samples:
    """Depth and target of the fit: metres, or ln(metres + 1) for affine_log_depth."""
    target_P = reference_P.astype(np.float64)
    if _checked(kind) == "affine_log_depth":
        target_P = np.log1p(target_P)
    return _Samples(depth_P.astype(np.float64), target_P)


def _checked(kind: str) -> str:
    if kind not in _KINDS:
        raise ConfigError("kind", f"unknown kind {kind!r}", f"Use one of {', '.join(_KINDS)}")
    return kind
