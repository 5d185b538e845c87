"""From the table of samples to means, intervals and groups, in the order the protocol averages.

images: mean over all images (or pooled over what `average.weights` counts). scenes, clips: mean of
the means of each scene. Intervals resample scenes (eval/statistics.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import DataError

from .parts import AveragePart
from .results import Summary
from .samples import OK, SampleRow, SampleTable
from .statistics import (
    Interval,
    bootstrap_interval,
    paired_difference,
    paired_goal_difference,
)

_RANGES_M = (2.0, 5.0, 10.0, 20.0)  # borders between images by their median true depth
_SEED = 0


class Column(NamedTuple):
    """One metric of the rows that have it: values, whole weights, scene ids, all of one length."""

    values_N: NDArray[np.float64]
    weights_N: NDArray[np.int64]
    scenes_N: NDArray[np.str_]
    undefined: int


def column(rows: Sequence[SampleRow], name: str, average: AveragePart) -> Column:
    """The finite values of a metric with their weights and scenes; the others are counted."""
    scored = [row for row in rows if row.status == OK and name in row.values]
    kept = [row for row in scored if np.isfinite(row.values[name])]
    counter = average.weights.get(name)
    weights = [1 if counter is None else int(row.notes.get(counter, 0)) for row in kept]
    kept = [row for row, weight in zip(kept, weights, strict=True) if weight > 0]
    return Column(
        np.array([row.values[name] for row in kept], np.float64),
        np.array([weight for weight in weights if weight > 0], np.int64),
        np.array([row.scene for row in kept], np.str_),
        len(scored) - len(kept),
    )


def summarize(part: Column, average: AveragePart) -> Summary:
    """Mean, median, spread and interval of a column; all None if it is empty."""
    values, scenes = _units(part, average)
    if not values.size:
        return Summary(mean=None, median=None, std=None, ci95=(None, None), n=0)
    spread = float(values.std(ddof=1)) if values.size > 1 else None
    low: float | None = None
    high: float | None = None
    if len(np.unique(part.scenes_N)) > 1:
        interval = bootstrap_interval(values, generator=_generator(), scenes=scenes)
        low, high = interval.low, interval.high
    return Summary(
        mean=float(values.mean()),
        median=float(np.median(values)),
        std=spread,
        ci95=(low, high),
        n=part.values_N.size,
    )


def summaries(table: SampleTable, average: AveragePart) -> dict[str, Summary]:
    """Every metric of a table that has at least one value."""
    out = {name: summarize(column(table.rows, name, average), average) for name in table.metrics}
    return {name: summary for name, summary in out.items() if summary.n}


def subsets(table: SampleTable, average: AveragePart) -> dict[str, dict[str, dict[str, Summary]]]:
    """Means (without intervals) by scene, by place, and by median true depth."""
    out: dict[str, dict[str, dict[str, Summary]]] = {}
    ways: dict[str, Callable[[SampleRow], str]] = {
        "scene": lambda row: row.scene,
        "place": lambda row: row.place,
        "range": lambda row: range_name(row.notes.get("median_m")),
    }
    for kind, name_of in ways.items():
        groups: dict[str, list[SampleRow]] = {}
        for row in table.rows:
            if row.status == OK and name_of(row):
                groups.setdefault(name_of(row), []).append(row)
        if len(groups) > 1:
            out[kind] = {
                group: _means(rows, table.metrics, average)
                for group, rows in sorted(groups.items(), key=lambda item: _order(item[0]))
            }
    return out


def difference(
    a: Sequence[SampleRow],
    b: Sequence[SampleRow],
    name: str,
    average: AveragePart,
    *,
    goal: float | None = None,
) -> Interval:
    """The mean of b - a of a metric on the same samples, with its paired interval.

    goal: value the mean should have; then the difference is that of the distances to it.
    """
    both = {row.sample_id: row for row in b if row.status == OK}
    pairs = [
        (row, both[row.sample_id])
        for row in a
        if row.status == OK and row.sample_id in both and np.isfinite(row.values.get(name, np.nan))
    ]
    pairs = [pair for pair in pairs if np.isfinite(pair[1].values.get(name, np.nan))]
    if not pairs:
        raise DataError(name, "no sample has it in both results")
    left, right = (column([pair[i] for pair in pairs], name, average) for i in (0, 1))
    values = [_units(part, average)[0] for part in (left, right)]
    scenes = _units(left, average)[1]
    if goal is not None:
        return paired_goal_difference(*values, goal=goal, generator=_generator(), scenes=scenes)
    return paired_difference(*values, generator=_generator(), scenes=scenes)


def range_name(median_m: float | None) -> str:
    """The group of an image by its median true depth: `0-2 m`, `2-5 m`, .., `20- m`."""
    if median_m is None or not np.isfinite(median_m):
        return ""
    borders = (0.0, *_RANGES_M)
    place = int(np.searchsorted(_RANGES_M, median_m, side="right"))
    upper = f"{_RANGES_M[place]:g}" if place < len(_RANGES_M) else ""
    return f"{borders[place]:g}-{upper} m"


def _units(part: Column, average: AveragePart) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """What is averaged, with the scene of each: images (repeated by weight) or scene means."""
    if average.over == "images":
        return (
            np.repeat(part.values_N, part.weights_N),
            np.repeat(part.scenes_N, part.weights_N),
        )
    names = np.unique(part.scenes_N)
    means = [
        np.average(
            part.values_N[part.scenes_N == name], weights=part.weights_N[part.scenes_N == name]
        )
        for name in names
    ]
    return np.array(means, np.float64), names


def _means(
    rows: Sequence[SampleRow], metrics: Sequence[str], average: AveragePart
) -> dict[str, Summary]:
    """Plain (pooled) means of a group."""
    out = {}
    for name in metrics:
        part = column(rows, name, average)
        if part.values_N.size:
            values = np.repeat(part.values_N, part.weights_N)
            out[name] = Summary(
                mean=float(values.mean()),
                median=float(np.median(values)),
                std=float(values.std(ddof=1)) if values.size > 1 else None,
                ci95=(None, None),
                n=part.values_N.size,
            )
    return out


def _order(name: str) -> tuple[float, str]:
    """Ranges by their lower border, other names by the alphabet."""
    start = name.partition("-")[0]
    return (float(start) if name.endswith(" m") else 0.0, name)


def _generator() -> np.random.Generator:
    return np.random.default_rng(_SEED)
