"""From the table of samples to the result: means, intervals and groups, as the protocol averages.

images: mean over all images (or pooled over what `average.weights` counts). scenes, clips: mean of
the means of each scene. Intervals are percentile bootstrap (docs/evaluation.md, "Hashes and
intervals"): n units drawn with replacement, B times, and quantiles (linear) of the B means. The
unit is the image, or the scene where scene ids are known: images of one scene are not independent.
For video it is the clip.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError, DataError

from .protocol import AveragePart, protocol_from_table
from .results import (
    OK,
    RUN_FILE,
    SAMPLES_FILE,
    EvalResult,
    RunFiles,
    SampleRow,
    SampleTable,
    Summary,
    load_preview,
    preview_path,
    read_json,
    read_table,
    write_table,
)

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
        raise ConfigError("bootstrap", f"needs at least 1 resample, not {resamples}")
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


_WARM_UP = 10  # predictions that do not count for the speed, or a fifth of a short run
_GO_ON = "Go on with nearfar eval run ... --resume"
_LEVELS = ("50", "80", "90", "95")


def recompute(folder: str | Path) -> EvalResult:
    """Compute and write `result.json` again from `samples.csv` and `run.json` of a folder."""
    return assemble(folder)


def assemble(folder: str | Path) -> EvalResult:
    """Merge the tables of all processes, compute every number, and write `result.json`."""
    folder = Path(folder)
    run = _run_of(folder)
    files = RunFiles(folder, share=(0, int(run["processes"])))
    marks = files.marks()
    wanted = int(run["dataset"]["selected"])
    if len(marks) < files.world:
        done = sum(len(read_table(path).rows) for path in files.tables())
        raise DataError(folder, f"is not finished: {done} of {wanted} samples", _GO_ON)
    table = _merged(files)
    if len(table.rows) != wanted:
        finding = f"{SAMPLES_FILE} has {len(table.rows)} rows of {wanted} samples"
        raise DataError(folder, finding, _GO_ON)
    protocol = protocol_from_table(run["protocol"]["text"])
    rows = table.rows
    result = EvalResult(
        protocol=run["protocol"],
        model=run["model"],
        dataset=run["dataset"] | _counts(rows),
        settings=run["settings"],
        tool=run["tool"] | {"command": run.get("command", "")} | _resumed(run, marks),
        machine=run["machine"],
        metrics=summaries(table, protocol.average),
        comparable=not run["remarks"],
        remarks=tuple(run["remarks"]),
        subsets=subsets(table, protocol.average),
        degenerate=_degenerate(table),
        timing=_timing(rows, marks),
        curves=_curves(folder, table, protocol.average),
        started=run.get("started", ""),
        finished=max((str(m.get("finished", "")) for m in marks), default=""),
        csv_sha256=hashlib.sha256((folder / SAMPLES_FILE).read_bytes()).hexdigest(),
    )
    result.save(folder)
    return result


def _run_of(folder: Path) -> dict[str, Any]:
    """The table in `run.json`; DataError if it lacks what a run writes."""
    run = read_json(folder / RUN_FILE)
    wanted = {"protocol", "model", "dataset", "settings", "tool", "machine", "processes", "remarks"}
    if missing := wanted - set(run):
        raise DataError(folder / RUN_FILE, f"lacks {', '.join(sorted(missing))}", "Run again")
    return run


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _resumed(run: Mapping[str, Any], marks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a resumed part was made with, where that is not what the run was begun with."""
    others = [
        {name: mark[name] for name in ("tool", "machine")}
        for mark in marks
        if any(mark.get(name, run[name]) != run[name] for name in ("tool", "machine"))
    ]
    return {"resumed_with": others} if others else {}


def _merged(files: RunFiles) -> SampleTable:
    """All rows in list order, each sample once; `samples.csv` holds them afterwards."""
    tables = [read_table(path) for path in files.tables()]
    if not tables:
        raise DataError(files.folder, "has no table of samples", _GO_ON)
    if any((t.metrics, t.notes) != (tables[0].metrics, tables[0].notes) for t in tables):
        raise DataError(files.folder, "the tables of the processes have different columns")
    rows = sorted((row for t in tables for row in t.rows), key=lambda row: row.index)
    if len({row.index for row in rows}) != len(rows):
        raise DataError(files.folder, "a sample is there twice", "Run again in another folder")
    path = files.folder / SAMPLES_FILE
    write_table(path, rows, tables[0].metrics, tables[0].notes)
    return read_table(path)


def _counts(rows: Sequence[SampleRow]) -> dict[str, Any]:
    skipped = [row for row in rows if row.status != OK]
    return {
        "evaluated": len(rows) - len(skipped),
        "skipped": len(skipped),
        "skipped_samples": [{"id": row.sample_id, "reason": row.reason} for row in skipped],
    }


def _degenerate(table: SampleTable) -> dict[str, float]:
    """How many images had a special fit, mean shares of special pixels, undefined values."""
    rows = [row for row in table.rows if row.status == OK]
    out: dict[str, float] = {"images_skipped": float(len(table.rows) - len(rows))}
    for name in ("negative_scale", "degenerate", "fallback"):
        out[f"images_{name}"] = float(sum(row.notes.get(name, 0.0) for row in rows))
    for name in (name for name in table.notes if name.endswith("_share")):
        values = [row.notes[name] for row in rows if name in row.notes]
        out[f"mean_{name}"] = float(np.mean(values)) if values else 0.0
    for name in table.metrics:
        undefined = sum(name in r.values and not np.isfinite(r.values[name]) for r in rows)
        if undefined:
            out[f"undefined_{name}"] = float(undefined)
    return out


def _timing(
    rows: Sequence[SampleRow], marks: Sequence[Mapping[str, Any]]
) -> dict[str, float | None]:
    """Seconds of a prediction (end to end, without disk) and memory; warm-up left out."""
    seconds = [row.seconds for row in rows if row.seconds is not None]
    warm_up = min(_WARM_UP, len(seconds) // 5)
    timed = np.array(seconds[warm_up:], np.float64)
    peaks = [float(m["peak_rss_mb"]) for m in marks if m.get("peak_rss_mb") is not None]
    device = [float(m["peak_device_mb"]) for m in marks if m.get("peak_device_mb") is not None]
    quantile = {"seconds_median": 0.5, "seconds_p10": 0.1, "seconds_p90": 0.9}
    return {
        **{k: float(np.quantile(timed, q)) if timed.size else None for k, q in quantile.items()},
        "predictions_timed": float(timed.size),
        "warm_up": float(warm_up),
        "peak_rss_mb": max(peaks, default=None),
        "peak_device_mb": max(device, default=None),
        "load_seconds": max((float(m.get("load_seconds", 0.0)) for m in marks), default=None),
    }


def _curves(folder: Path, table: SampleTable, average: AveragePart) -> dict[str, Any]:
    """Risk of the most certain pixels (mean over images) and coverage, where there is sigma."""
    curves: list[np.ndarray] = []
    if "ause_abs_rel" not in table.metrics:
        return {}
    for row in table.rows:
        preview = load_preview(preview_path(folder, row.index)) if row.status == OK else None
        if preview is not None and preview.risk_101 is not None:
            curves.append(preview.risk_101)
    if not curves:
        return {}
    shares = []
    for level in _LEVELS:
        values = [row.values.get(f"coverage_{level}", np.nan) for row in table.rows]
        shares.append(float(np.nanmean(values)))
    risk = np.mean(np.stack(curves), axis=0)
    return {
        "risk_coverage": {
            "kept": [float(v) for v in np.linspace(0, 1, risk.size)],
            "abs_rel": [float(v) for v in risk],
        },
        "calibration": {"levels": [int(v) / 100 for v in _LEVELS], "share_inside": shares},
    }
