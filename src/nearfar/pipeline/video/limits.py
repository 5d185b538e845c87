"""Which depths the colors of a clip span: extremes and quantiles without keeping its frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.io.video.codes import DepthRange
from nearfar.result import DepthResult

from .config import RangeChoice

_BINS = 4096
_PIXELS = 1 << 14  # of each frame that are counted
_QUANTILES = (0.02, 0.98)
_KEEP = 0.9  # of the running range from one frame to the next
_NARROWEST = 1e-6


@dataclass(slots=True)
class DepthCounts:
    """A histogram over all frames that widens by whole factors of two, so counts stay exact.

    Quantiles are right to one bin: at most 1/2048 of the range of depths met. low, high: extremes.
    """

    start: float = 0.0
    width: float = 0.0  # of a bin; 0 = nothing counted
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, np.int64))
    low: float = np.inf
    high: float = -np.inf

    def add(self, result: DepthResult) -> None:
        """Count an even subset of the valid pixels; extremes are of all."""
        known = result.depth[result.valid]
        if not known.size:
            return
        self.low, self.high = min(self.low, float(known.min())), max(self.high, float(known.max()))
        if self.width == 0.0:
            span = max(self.high - self.low, _NARROWEST * max(1.0, abs(self.high)))
            self.start, self.width = self.low - span / 2, 2 * span / _BINS
        while self.low < self.start or self.high >= self.start + _BINS * self.width:
            self._widen(upwards=self.low >= self.start)
        chosen = known[:: -(-known.size // _PIXELS)].astype(np.float64)
        places = ((chosen - self.start) / self.width).astype(np.int64)
        self.counts += np.bincount(np.clip(places, 0, _BINS - 1), minlength=_BINS)

    def extremes(self) -> DepthRange:
        """The nearest and farthest valid depth met, apart from each other."""
        if self.width == 0.0:
            return DepthRange(0.0, 1.0)
        least = _NARROWEST * max(1.0, abs(self.high))
        return DepthRange(self.low, max(self.high, self.low + least))

    def quantiles(self) -> DepthRange:
        """The 2nd and 98th percentile, 0..1 if nothing was counted."""
        total = int(self.counts.sum())
        if not total:
            return DepthRange(0.0, 1.0)
        shares = np.cumsum(self.counts) / total
        near, far = (
            self.start + (int(np.searchsorted(shares, q)) + 0.5) * self.width for q in _QUANTILES
        )
        return DepthRange(near, max(far, near + self.width))

    def facts(self) -> dict[str, Any]:
        """Everything but the counts, as JSON."""
        return {"start": self.start, "width": self.width, "low": self.low, "high": self.high}

    def _widen(self, *, upwards: bool) -> None:
        """Twice the range: two bins become one, the other half is empty."""
        pairs = self.counts.reshape(-1, 2).sum(axis=1)
        empty = np.zeros(_BINS // 2, np.int64)
        self.counts = np.concatenate([pairs, empty] if upwards else [empty, pairs])
        if not upwards:
            self.start -= _BINS * self.width
        self.width *= 2


class ColorLimits:
    """The range of depths to paint each frame with, asked in the order of the frames."""

    def __init__(self, choice: RangeChoice, counts: DepthCounts) -> None:
        self._mode = choice.mode
        self._fixed = counts.quantiles() if choice.fixed is None else DepthRange(*choice.fixed)
        self._running: DepthRange | None = None

    def of(self, result: DepthResult, *, begins_shot: bool) -> DepthRange:
        """clip, fixed: always the same. running: each frame's 2..98 %, smoothed, anew at a cut."""
        if self._mode != "running":
            return self._fixed
        known = result.depth[result.valid]
        if not known.size:
            return self._running or DepthRange(0.0, 1.0)
        near, far = (float(v) for v in np.quantile(known[:: -(-known.size // _PIXELS)], _QUANTILES))
        if self._running is not None and not begins_shot:
            near = _KEEP * self._running.near + (1 - _KEEP) * near
            far = _KEEP * self._running.far + (1 - _KEEP) * far
        self._running = DepthRange(near, max(far, near + _NARROWEST * max(1.0, abs(near))))
        return self._running
