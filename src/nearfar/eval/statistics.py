"""Confidence intervals of means over images, by percentile bootstrap.

Spec evaluation.md section 6. Draw n units with replacement, B times, and take quantiles (linear) of
the B means. The unit is the image, or the scene where scene ids are known: images of one scene are
not independent. For video the unit is the clip.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError, DataError

RESAMPLES = 10_000
LEVEL = 0.95
_DRAWS_AT_ONCE = 1 << 21


class Interval(NamedTuple):
    """mean of `values` numbers, and its interval low..high at `level`, from `resamples` draws.

    units: what was drawn (scenes if `clustered`, else values). One unit gives low = high = mean.
    """

    mean: float
    low: float
    high: float
    level: float
    resamples: int
    values: int
    units: int
    clustered: bool


class Resampled(NamedTuple):
    """means_B: of the resamples. mean: of the values themselves. The rest as in `Interval`."""

    means_B: NDArray[np.float64]
    mean: float
    values: int
    units: int
    clustered: bool


def bootstrap_interval(
    values_N: NDArray,
    *,
    generator: np.random.Generator,
    scenes: Sequence[object] | NDArray | None = None,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """The mean of the values and its percentile interval; see `bootstrap_means`."""
    drawn = bootstrap_means(values_N, generator=generator, scenes=scenes, resamples=resamples)
    return _interval(drawn, level=level)


def bootstrap_means(
    values_N: NDArray,
    *,
    generator: np.random.Generator,
    scenes: Sequence[object] | NDArray | None = None,
    resamples: int = RESAMPLES,
) -> Resampled:
    """The means of B resamples of the values; indices are integers(0, n, (B, n)).

    With `scenes` (one id for each value) whole scenes are drawn, in sorted order of their ids, and
    a resample's mean is sum of sums / sum of counts.
    """
    values = np.asarray(values_N, np.float64)
    if values.ndim != 1 or not values.size:
        raise DataError("bootstrap", f"values are {list(values.shape)}, not a list of numbers")
    if not np.isfinite(values).all():
        raise DataError(
            "bootstrap",
            f"{np.count_nonzero(~np.isfinite(values))} of {values.size} values are not finite",
            "Leave out what was skipped for a stated reason, and count it",
        )
    if resamples < 1:
        raise ConfigError("bootstrap", f"{resamples} resamples are impossible")
    sums, counts = values, np.ones(len(values))
    if scenes is not None:
        sums, counts = _per_scene(values, scenes)
    means = _resampled_means(sums, counts, resamples, generator)
    return Resampled(means, float(values.mean()), values.size, sums.size, scenes is not None)


def paired_difference(
    a_N: NDArray,
    b_N: NDArray,
    *,
    generator: np.random.Generator,
    scenes: Sequence[object] | NDArray | None = None,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """The mean of b - a on the same images in the same order, and its interval.

    The difference is larger than chance explains where 0 lies outside low..high.
    """
    a, b = np.asarray(a_N, np.float64), np.asarray(b_N, np.float64)
    if a.shape != b.shape:
        raise DataError("paired difference", f"{a.size} values against {b.size}")
    return bootstrap_interval(
        b - a, generator=generator, scenes=scenes, resamples=resamples, level=level
    )


def paired_goal_difference(
    a_N: NDArray,
    b_N: NDArray,
    *,
    goal: float,
    generator: np.random.Generator,
    scenes: Sequence[object] | NDArray | None = None,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """The difference |mean(b) - goal| - |mean(a) - goal| on the same images, and its interval.

    For metrics that should have a value, such as coverage: below 0, b lies closer to it.
    """
    again = copy.deepcopy(generator)  # both means of a resample are of the same units
    a = bootstrap_means(a_N, generator=generator, scenes=scenes, resamples=resamples)
    b = bootstrap_means(b_N, generator=again, scenes=scenes, resamples=resamples)
    if a.values != b.values:
        raise DataError("paired difference", f"{a.values} values against {b.values}")
    distance = np.abs(b.means_B - goal) - np.abs(a.means_B - goal)
    mean = abs(b.mean - goal) - abs(a.mean - goal)
    return _interval(b._replace(means_B=distance, mean=mean), level=level)


def _interval(drawn: Resampled, *, level: float) -> Interval:
    """The central share `level` of the resamples."""
    if not 0 < level < 1:
        raise ConfigError("bootstrap", f"level {level} is not between 0 and 1")
    low, high = np.quantile(drawn.means_B, [(1 - level) / 2, (1 + level) / 2])
    return Interval(
        mean=drawn.mean,
        low=float(low),
        high=float(high),
        level=level,
        resamples=drawn.means_B.size,
        values=drawn.values,
        units=drawn.units,
        clustered=drawn.clustered,
    )


def _per_scene(
    values: NDArray[np.float64], scenes: Sequence[object] | NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums and counts of the values of each scene."""
    if len(scenes) != len(values):
        raise DataError("bootstrap", f"{len(scenes)} scene ids for {len(values)} values")
    _, place = np.unique(np.asarray(scenes), return_inverse=True)
    sums = np.bincount(place, weights=values).astype(np.float64)
    return sums, np.bincount(place).astype(np.float64)


def _resampled_means(
    sums: NDArray[np.float64],
    counts: NDArray[np.float64],
    resamples: int,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Means [resamples]; drawn in blocks of rows, which gives the numbers of one large draw."""
    units = sums.size
    rows = max(1, _DRAWS_AT_ONCE // units)
    means = np.empty(resamples)
    for start in range(0, resamples, rows):
        stop = min(start + rows, resamples)
        drawn = generator.integers(0, units, (stop - start, units))
        means[start:stop] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return means
