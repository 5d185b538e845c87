"""Searches for exact minima of weighted L1 losses, used by `robust_fits.py`.

The loss sum w |s x + t - y| is convex and piecewise linear in (s, t): a minimum passes through
samples. With terms capped at tau, or with one anchor point for several axes, it is not convex, and
every anchor is a candidate. Arrays _KP: K axes (1 for depths, 3 for points) of P samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DENOMINATOR_FLOOR = 1e-7
_BLOCK = 1 << 18  # numbers per temporary array when many anchors are tried at once
_PIVOTS = 1000  # never reached; a descent takes about ten
_CROSSING = 1e-12  # residuals below this share of the largest value lie on the line
_PROBES = 32  # anchors solved first, for a good bound
_ROUNDS = 60
_FEW = 64  # anchors not worth another round
_PARTS = 256  # intervals of scales; more means losses that are nearly equal
_TIES = 1e-9  # losses within this share are equal
_FARTHEST = 1e12

Array = NDArray[np.float64]


class Scales(NamedTuple):
    """Per row: the scale of least loss, that loss, and the column whose ratio it is."""

    scale_L: Array
    loss_L: Array
    column_L: NDArray[np.int64]


class Anchor(NamedTuple):
    """The sample a line passes through, its scale and loss, the second sample it hits (or -1)."""

    sample: int
    scale: float
    loss: float
    hit: int


def best_scales(x_LP: Array, y_LP: Array, w_LP: Array, truncation: float | None) -> Scales:
    """Per row the minimum of sum w |s x - y| over s: a weighted median of ratios (`l1_scale`).

    First sorted ratio with 2 cumsum(w |x|) - total >= 0; the ratio's denominator is |x|, at least
    1e-7. With truncation: the ratio of least sum min(tau, w |s x - y|).
    """
    sign_LP = np.where(x_LP < 0, -1.0, 1.0)
    x_LP, y_LP = x_LP * sign_LP, y_LP * sign_LP
    ratio_LP = y_LP / np.maximum(x_LP, DENOMINATOR_FLOOR)
    slope_LP = w_LP * x_LP
    if truncation is None:
        order_LP = np.argsort(ratio_LP, axis=1)
        running_LP = np.cumsum(np.take_along_axis(slope_LP, order_LP, axis=1), axis=1)
        first_L = (2 * running_LP >= running_LP[:, -1:]).argmax(axis=1)
        column_L = np.take_along_axis(order_LP, first_L[:, None], axis=1)[:, 0]
    else:
        rows = zip(ratio_LP, slope_LP)
        columns = [_truncated_column(r_P, c_P, truncation) for r_P, c_P in rows]
        column_L = np.array(columns, np.int64)
    scale_L = ratio_LP[np.arange(len(ratio_LP)), column_L]
    terms_LP = w_LP * np.abs(scale_L[:, None] * x_LP - y_LP)
    if truncation is not None:
        terms_LP = np.minimum(terms_LP, truncation)
    return Scales(scale_L, terms_LP.sum(axis=1), column_L)


def descend(x_KP: Array, y_KP: Array, w_KP: Array, moves_K: NDArray[np.bool_]) -> Anchor:
    """The exact minimum over (s, t), where the shift t acts on the one axis that moves.

    From line to line: turning about a sample of the current line until the next sample is hit is
    an exact line search (`best_scales`). A line that no turn about any of its own samples, and no
    move at the same slope, improves is the minimum, because the loss is convex.
    """
    axis = int(np.flatnonzero(moves_K)[0])
    x_P, y_P, w_P = x_KP[axis], y_KP[axis], w_KP[axis]
    tried: set[int] = set()
    best = Anchor(-1, 0.0, np.inf, -1)
    queue = [_middle(y_P - _start(x_P, y_P, w_P) * x_P, w_P)]
    for _ in range(_PIVOTS):
        tried.update(queue)
        found = _solve(np.array(queue), x_KP, y_KP, w_KP, moves_K, None)
        if found.loss < best.loss:
            best = found
        off_P = y_P - best.scale * x_P
        queue = [index for index in {_middle(off_P, w_P), found.hit} - tried if index >= 0]
        if not queue:
            steepest = _steepest(best, x_KP, y_KP, w_KP, moves_K)
            if steepest < 0 or steepest in tried:
                return best
            queue = [steepest]
    return best


def best_anchor(
    x_KP: Array, y_KP: Array, w_KP: Array, moves_K: NDArray[np.bool_], truncation: float | None
) -> Anchor:
    """The best of all lines through one sample in every axis that moves, all samples tried.

    Without truncation the loss of an anchor is convex in the scale, so that tangents bound it from
    below, and anchors that cannot beat the best one known are dropped (`_promising`).
    """
    alive_L = np.flatnonzero((w_KP > 0).any(axis=0))
    if truncation is None:
        alive_L = _promising(alive_L, x_KP, y_KP, w_KP, moves_K)
    return _solve(alive_L, x_KP, y_KP, w_KP, moves_K, truncation)


def _truncated_column(ratio_P: Array, slope_P: Array, truncation: float) -> int:
    """Index of the ratio a with least sum min(tau, c |a - r|), by sorted sums: O(n log n)."""
    used_P = np.flatnonzero(slope_P > 0)
    if not used_P.size:
        return 0
    middle = float(np.median(ratio_P[used_P]))  # sums around it lose no digits
    r_P, c_P = ratio_P[used_P] - middle, slope_P[used_P]
    half_P = truncation / c_P
    order_P = np.argsort(r_P)
    a_P = r_P[order_P]
    total_P = np.full(a_P.size, truncation * r_P.size)
    for start_P, sign in ((r_P - half_P, 1.0), (r_P, -2.0), (r_P + half_P, 1.0)):
        # each term is tau minus a triangle: three kinks, at r - half, r, r + half
        kink_P = np.argsort(start_P)
        passed_P = np.searchsorted(start_P[kink_P], a_P)
        sum_c = np.concatenate([[0.0], np.cumsum(c_P[kink_P])])[passed_P]
        sum_cs = np.concatenate([[0.0], np.cumsum((c_P * start_P)[kink_P])])[passed_P]
        total_P -= sign * (sum_c * a_P - sum_cs)
    return int(used_P[order_P[total_P.argmin()]])


def _start(x_P: Array, y_P: Array, w_P: Array) -> float:
    """The slope of the weighted least-squares line: only where the descent begins."""
    total = w_P.sum()
    x_P = x_P - (w_P @ x_P) / total
    power = float(w_P @ np.square(x_P))
    return float(w_P @ (x_P * y_P)) / power if power > 0 else 0.0


def _middle(values_P: Array, w_P: Array) -> int:
    """Index of the weighted median: the first sorted value with 2 cumsum - total >= 0."""
    order_P = np.argsort(values_P)
    running_P = np.cumsum(w_P[order_P])
    return int(order_P[(2 * running_P >= running_P[-1]).argmax()])


def _steepest(
    line: Anchor, x_KP: Array, y_KP: Array, w_KP: Array, moves_K: NDArray[np.bool_]
) -> int:
    """The sample on this line about which a turn lowers the loss most steeply; -1: none does.

    Turning about sample k changes the loss, per unit of slope, by +-(sum of w sign(r) (x - x_k)
    over the samples off the line) + sum of w |x - x_k| over those on it.
    """
    axis = int(np.flatnonzero(moves_K)[0])
    shift_K = np.where(moves_K, y_KP[:, line.sample] - line.scale * x_KP[:, line.sample], 0.0)
    off_KP = line.scale * x_KP + shift_K[:, None] - y_KP
    on_KP = np.abs(off_KP) <= _CROSSING * (np.abs(y_KP).max() + np.abs(shift_K).max())
    pull_KP = np.where(on_KP, 0.0, w_KP * np.sign(off_KP))
    still = float((w_KP * np.abs(x_KP))[~moves_K][on_KP[~moves_K]].sum())
    on_P = np.flatnonzero(on_KP[axis] & (w_KP[axis] > 0))
    on_P = on_P[np.argsort(x_KP[axis, on_P])]
    x_P, w_P = x_KP[axis, on_P], w_KP[axis, on_P]
    below_P, below_x_P = np.cumsum(w_P), np.cumsum(w_P * x_P)
    spread_P = x_P * (2 * below_P - below_P[-1]) - (2 * below_x_P - below_x_P[-1])
    push_P = (pull_KP * x_KP).sum() - pull_KP[axis].sum() * x_P
    slope_P = spread_P + still - np.abs(push_P)
    row = int(slope_P.argmin())
    return int(on_P[row]) if slope_P[row] < -_CROSSING * float((w_KP * np.abs(x_KP)).sum()) else -1


def _differences(anchor_L: NDArray[np.int64], values_KP: Array, moves_K: NDArray) -> Array:
    """Values minus the anchor's, in the axes that move; rows [L, K * P]."""
    shift_LK = np.where(moves_K, values_KP[:, anchor_L].T, 0.0)
    return (values_KP[None] - shift_LK[:, :, None]).reshape(len(anchor_L), -1)


def _solve(
    anchor_L: NDArray[np.int64],
    x_KP: Array,
    y_KP: Array,
    w_KP: Array,
    moves_K: NDArray[np.bool_],
    truncation: float | None,
) -> Anchor:
    """The best line through any of these samples; the first of equals."""
    best = Anchor(-1, 0.0, np.inf, -1)
    step = max(1, _BLOCK // x_KP.size)
    for start in range(0, len(anchor_L), step):
        part_L = anchor_L[start : start + step]
        x_LP = _differences(part_L, x_KP, moves_K)
        w_LP = np.broadcast_to(w_KP.reshape(1, -1), x_LP.shape)
        found = best_scales(x_LP, _differences(part_L, y_KP, moves_K), w_LP, truncation)
        row = int(found.loss_L.argmin())
        if found.loss_L[row] < best.loss:
            axis, hit = divmod(int(found.column_L[row]), x_KP.shape[1])
            best = Anchor(
                int(part_L[row]),
                float(found.scale_L[row]),
                float(found.loss_L[row]),
                hit if moves_K[axis] else -1,
            )
    return best


class _Tangents(NamedTuple):
    """Losses of anchors at one scale, and their slopes over the scale (a subgradient)."""

    scale: float
    value_L: Array
    slope_L: Array

    def of(self, rows: NDArray[np.int64]) -> _Tangents:
        """Those of some anchors."""
        return _Tangents(self.scale, self.value_L[rows], self.slope_L[rows])


def _tangents(
    scale: float, x_KP: Array, y_KP: Array, w_KP: Array, moves_K: NDArray[np.bool_]
) -> _Tangents:
    """Of every anchor at one scale, by sums over sorted residuals: O(P log P) for all together.

    A shift takes the anchor k to zero, so that its loss in an axis is sum w |r_k - r_i| with
    r = y - scale x.
    """
    off_KP = scale * x_KP - y_KP
    still_KP = w_KP[~moves_K]
    value_P = np.full(x_KP.shape[1], (still_KP * np.abs(off_KP[~moves_K])).sum())
    slope_P = np.full_like(value_P, (still_KP * np.sign(off_KP[~moves_K]) * x_KP[~moves_K]).sum())
    for axis in np.flatnonzero(moves_K):
        r_P, x_P = -off_KP[axis], x_KP[axis]
        r_P = r_P - np.median(r_P)  # sums around it lose no digits
        order_P = np.argsort(r_P)
        w_P, rank_P = w_KP[axis, order_P], np.empty_like(order_P)
        rank_P[order_P] = np.arange(order_P.size)
        # weight, residual and x of what lies below each anchor minus what lies above it
        weight_P, sum_P, sum_x_P = (
            (2 * total - total[-1])[rank_P]
            for total in (np.cumsum(w_P * v) for v in (1.0, r_P[order_P], x_P[order_P]))
        )
        value_P += weight_P * r_P - sum_P
        slope_P += sum_x_P - weight_P * x_P
    return _Tangents(scale, value_P, slope_P)


def _promising(
    anchor_L: NDArray[np.int64], x_KP: Array, y_KP: Array, w_KP: Array, moves_K: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The anchors that may hold the best line; all others are bounded away.

    Between two scales the loss of an anchor, which is convex, lies above its tangents at both.
    Intervals of scales are halved, and anchors whose tangents meet above the best loss known are
    dropped, until few are left.
    """

    def at(scale: float) -> _Tangents:
        return _tangents(scale, x_KP, y_KP, w_KP, moves_K).of(every_L)

    # samples that are the same (small images are repeated) make the same line
    every_L = np.unique(np.vstack([x_KP, y_KP])[:, anchor_L], axis=1, return_index=True)[1]
    every_L = anchor_L[np.sort(every_L)]
    probes_L = every_L[:: max(1, len(every_L) // _PROBES)]
    best = _solve(probes_L, x_KP, y_KP, w_KP, moves_K, None)
    size = float((w_KP * np.abs(y_KP)).sum())
    if best.loss <= _CROSSING * size:
        return probes_L  # a perfect fit: every anchor has it
    slack = _TIES * best.loss + _CROSSING * size
    middle = at(best.scale)
    ceiling = min(best.loss, float(middle.value_L.min()))
    inside = np.arange(len(every_L))
    flat = _CROSSING * float((w_KP * np.abs(x_KP)).sum())
    parts = [_Part(_end(at, best.scale, -1, flat), middle, inside)]
    parts += [_Part(middle, _end(at, best.scale, 1, flat), inside)]
    kept = inside
    for _ in range(_ROUNDS):
        parts = [part.pruned(ceiling + slack) for part in parts]
        parts = [part for part in parts if part.inside.size]
        kept = np.unique(np.concatenate([np.empty(0, np.int64), *(p.inside for p in parts)]))
        if len(kept) <= _FEW or len(parts) > _PARTS:
            break
        inner = [at((part.low.scale + part.high.scale) / 2) for part in parts]
        ceiling = min(ceiling, *(float(one.value_L.min()) for one in inner))
        halves = zip(parts, inner, strict=True)
        parts = [half for part, one in halves for half in part.split(one)]
    return np.unique(np.concatenate([probes_L, every_L[kept]]))


def _end(at: Callable[[float], _Tangents], scale: float, sign: int, flat: float) -> _Tangents:
    """Tangents at a scale beyond which, in this direction, no anchor's loss falls any more.

    flat: slopes of this size are rounding (x is constant).
    """
    step = sign * max(abs(scale), DENOMINATOR_FLOOR)
    found = at(scale + step)
    while (sign * found.slope_L < -flat).any() and abs(step) < _FARTHEST:
        step *= 4
        found = at(scale + step)
    return found


class _Part(NamedTuple):
    """An interval of scales between two tangents; inside: the rows that may be best in it."""

    low: _Tangents
    high: _Tangents
    inside: NDArray[np.int64]

    def split(self, inner: _Tangents) -> tuple[_Part, _Part]:
        """Both halves."""
        return self._replace(high=inner), self._replace(low=inner)

    def pruned(self, ceiling: float) -> _Part:
        """Without the rows whose tangents meet above the ceiling."""
        a, b = self.low.of(self.inside), self.high.of(self.inside)
        width = b.scale - a.scale
        # a tangent that leads out of the interval is flat: its end is the lowest point
        down_L, up_L = np.minimum(a.slope_L, 0.0), np.maximum(b.slope_L, 0.0)
        gap_L = np.maximum(up_L - down_L, np.finfo(np.float64).tiny)
        meet_L = np.clip((a.value_L - b.value_L + up_L * width) / gap_L, 0, width)
        rising_L = b.value_L - up_L * (width - meet_L)
        bound_L = np.maximum(a.value_L + down_L * meet_L, rising_L)
        return self._replace(inside=self.inside[bound_L <= ceiling])
