"""Scene cuts: where one frame has nothing to do with the one before.

Two measures of neighbors, both on a small picture (the frame averaged to 18 x 32 cells).
Structure: 1 - the best correlation of the brightness over small shifts, so pans and shakes count
little and changes of light not at all. Color: half the difference of smoothed color histograms. A
cut is where both together are large and several times what the last frames had, so that a wild
hand-held pan is not one. Nothing is looked up in later frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_CELLS_HW = (18, 32)
_SHIFTS_YX = (3, 5)  # cells a pan may move between two frames
_BINS = 4  # per color
_FLAT = 0.004  # standard deviation of brightness, 0..1, below which a picture has no structure
_STRONG = 0.1  # one that is as different from a flat picture as can be
_THRESHOLD = 0.45  # rendered paths: neighbors at most 0.17, different scenes 0.48 and more
_LEAST_STRUCTURE = 0.18  # a flash changes colors more than structure
_TIMES_USUAL = 3.0
_REMEMBERED = 8  # scores whose median is what is usual


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CutMemory:
    """What detection needs of the frames before. cells: float32 [18,32,3], or None at first."""

    cells: NDArray[np.float32] | None = None
    scores: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CutFinding:
    """is_cut: a new scene begins with the frame. score: 0 same .. 2. memory: for the next."""

    is_cut: bool
    score: float
    memory: CutMemory


def find_cut(rgb_HW3: NDArray[np.uint8], memory: CutMemory) -> CutFinding:
    """Whether this frame begins a new scene (the first frame does not); 4 ms for 1920 x 1080."""
    cells = _average(rgb_HW3)
    if memory.cells is None:
        return CutFinding(is_cut=False, score=0.0, memory=CutMemory(cells=cells))
    structure = _structure(memory.cells.mean(axis=2), cells.mean(axis=2))
    score = structure + _color(memory.cells, cells)
    usual = float(np.median(memory.scores)) if memory.scores else 0.0
    is_cut = structure > _LEAST_STRUCTURE and score > max(_THRESHOLD, _TIMES_USUAL * usual)
    scores = () if is_cut else (*memory.scores, score)[-_REMEMBERED:]
    return CutFinding(is_cut=is_cut, score=score, memory=CutMemory(cells=cells, scores=scores))


def _average(rgb_HW3: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Means of the frame's cells, 0..1, from at most 8 x 8 pixels of each."""
    picture = rgb_HW3
    for axis, cells in enumerate(_CELLS_HW):
        size = picture.shape[axis]
        places = ((np.arange(cells * 8) + 0.5) * size / (cells * 8)).astype(np.intp)
        picture = np.take(picture, places, axis=axis)
    rows, columns = _CELLS_HW
    blocks = picture.reshape(rows, 8, columns, 8, 3).astype(np.float32)
    cells_hw3: NDArray[np.float32] = blocks.mean(axis=(1, 3)) / np.float32(255)
    return cells_hw3


def _structure(before: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    """1 - the best correlation over shifts, 0..1; next to a flat picture the other's contrast."""
    contrast = float(before.std()), float(now.std())
    if min(contrast) < _FLAT:
        return min(1.0, max(contrast) / _STRONG) if max(contrast) >= _FLAT else 0.0
    best = -1.0
    rows, columns = before.shape
    for down in range(-_SHIFTS_YX[0], _SHIFTS_YX[0] + 1):
        for right in range(-_SHIFTS_YX[1], _SHIFTS_YX[1] + 1):
            a = before[max(0, down) : rows + min(0, down), max(0, right) : columns + min(0, right)]
            b = now[max(0, -down) : rows - max(0, down), max(0, -right) : columns - max(0, right)]
            best = max(best, _correlation(a, b))
    return min(1.0, 1.0 - best)


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    a, b = a - a.mean(), b - b.mean()
    power = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / power if power > 1e-9 else 0.0


def _color(before: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    """Half the L1 distance of color histograms, 0..1, after making both equally bright."""
    level = np.float32(max(0.05, float(before.mean()))) / max(0.05, float(now.mean()))
    return float(np.abs(_histogram(before) - _histogram(now * level)).sum() / 2)


def _histogram(cells: NDArray[np.float32]) -> NDArray[np.float64]:
    """Shares of _BINS^3 colors; a cell counts for the two nearest bins of each channel."""
    place = np.clip(cells.reshape(-1, 3) * _BINS - 0.5, 0, _BINS - 1)
    low = np.minimum(place.astype(np.intp), _BINS - 2)
    share = place - low
    counts = np.zeros((_BINS, _BINS, _BINS))
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(corner, share, 1 - share), axis=1)
        np.add.at(counts, tuple((low + corner).T), weight)
    total: NDArray[np.float64] = counts / len(place)
    return total
