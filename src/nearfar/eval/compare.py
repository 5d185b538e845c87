"""Results beside each other: how metrics are shown, paired differences, a table of all models.

`compare` asks of two results whether the difference is larger than its interval. `result_tables`
puts stored results of one protocol hash, one list and one machine in a table: times and memory of
two machines say nothing about two models. Baselines see no photo and stand in every table. What may
not be compared (custom protocols, subsets) is left out and named below.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from nearfar.errors import ConfigError, DataError

from .predictions import BASELINES
from .protocol import protocol_from_table
from .results import SAMPLES_FILE, EvalResult, SampleTable, load_result, read_table
from .summaries import difference

_TITLES = {
    "abs_rel": "AbsRel",
    "sq_rel": "SqRel",
    "rmse": "RMSE (m)",
    "rmse_log": "RMSE log",
    "i_rmse": "iRMSE (1/m)",
    "silog": "SILog x100",
    "boundary_f1": "boundary F1",
    "boundary_f1_masked": "boundary F1 (masked)",
    "edge_chamfer_m": "edge Chamfer (m)",
    "edge_chamfer_log": "edge Chamfer (log)",
    "edge_fly3d": "flying points",
    "flying_rate": "flying pixels",
    "tae": "TAE (%)",
    "tae_v2": "TAE v2 (%)",
    "tae_v2_checked": "TAE v2, visible (%)",
    "opw": "OPW",
    "flicker": "flicker (ln)",
    "scale_drift": "scale drift (ln, 100 frames)",
    "ause_abs_rel": "AUSE AbsRel",
    "aurg_abs_rel": "AURG AbsRel",
}
_HIGHER = ("delta", "boundary_", "windowed_boundary", "aurg_", "spearman", "pair_accuracy")
_HIGHER_ALSO = ("dde_equal",)
_COVERAGE = "coverage_"
_GOALS = {"scale_drift": 0.0}  # signed
_NEITHER = ("sharpness",)  # no goal by itself: narrow intervals are good only if they cover


def title_of(name: str) -> str:
    """The name of a metric as tables print it."""
    return _TITLES.get(name, name.replace("_", " "))


def goal_of(name: str) -> float | None:
    """The value a metric should have, where neither more nor less is better; else None.

    `coverage_90` should be 0.9: more means intervals that are too wide, less too narrow.
    """
    level = name.removeprefix(_COVERAGE)
    if level != name and level.isdigit():
        return int(level) / 100
    return _GOALS.get(name)


def is_judged(name: str) -> bool:
    """Whether one value of the metric can be better than another."""
    return name not in _NEITHER


def higher_is_better(name: str) -> bool:
    """Whether larger values are better; shares of wrong pixels and distances to a goal are not."""
    return not name.endswith("_error") and name.startswith((*_HIGHER, *_HIGHER_ALSO))


def shown(value: float | None, digits: int = 4) -> str:
    """A value with some significant digits, a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def arrow(name: str) -> str:
    """'up', 'down' or 'to 0.9', the better direction, for column heads; '' where there is none."""
    if not is_judged(name):
        return ""
    goal = goal_of(name)
    if goal is not None:
        return f"to {goal:g}"
    return "up" if higher_is_better(name) else "down"


class Difference(NamedTuple):
    """b - a of one metric on the same samples, with its paired 95 % interval.

    goal: the value the metric should have, or None; with a goal, mean, low and high are of the
    distance to it, |b - goal| - |a - goal|. is_clear: 0 lies outside the interval. better: 'a',
    'b', or '' if the difference is not clear or neither direction is better.
    """

    metric: str
    a: float | None
    b: float | None
    mean: float
    low: float
    high: float
    is_clear: bool
    better: str
    goal: float | None = None


class Comparison(NamedTuple):
    """Both results and the difference of every metric they share."""

    a: EvalResult
    b: EvalResult
    differences: list[Difference]


def compare(path_a: str | Path, path_b: str | Path) -> Comparison:
    """The paired comparison of two run folders (or their JSON files).

    ConfigError unless protocol hash and list are the same: other numbers cannot be compared.
    """
    a, b = load_result(path_a), load_result(path_b)
    if a.protocol["hash"] != b.protocol["hash"]:
        raise ConfigError(
            "compare",
            f"{a.title} and {b.title} are different protocols",
            "Both runs need one protocol hash",
        )
    for name in ("list_sha256", "name", "split"):
        if a.dataset.get(name) != b.dataset.get(name):
            raise ConfigError("compare", f"the lists of samples differ ({name})", "Use one list")
    tables = [_table(path) for path in (path_a, path_b)]
    if not isinstance(a.protocol.get("text"), dict):
        raise DataError(path_a, "holds no text of its protocol", "Run it again")
    average = protocol_from_table(a.protocol["text"]).average
    out = []
    for name in a.metrics:
        if name not in b.metrics:
            continue
        goal = goal_of(name)
        found = difference(tables[0].rows, tables[1].rows, name, average, goal=goal)
        is_clear = not found.low <= 0 <= found.high
        is_b = (found.mean > 0) == (goal is None and higher_is_better(name))
        better = "" if not (is_clear and is_judged(name)) else "b" if is_b else "a"
        means = (a.metrics[name].mean, b.metrics[name].mean)
        interval = (found.mean, found.low, found.high)
        out.append(Difference(name, *means, *interval, is_clear, better, goal))
    if not out:
        raise DataError("compare", "the results share no metric")
    return Comparison(a, b, out)


def _table(path: str | Path) -> SampleTable:
    path = Path(path)
    return read_table((path if path.is_dir() else path.parent) / SAMPLES_FILE)


_SHOWN = (
    "abs_rel",
    "delta1",
    "boundary_f1_masked",
    "boundary_f1",
    "edge_chamfer_m",
    "flying_rate",
    "tae",
    "flicker",
    "pair_accuracy",
)
TO_MEASURE = "to be measured again"  # a stored result whose seconds were found to be wrong


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultTable:
    """One table: what was measured, and the results in order of `metrics[0]`, best first.

    machine: processor or GPU, threads and dtype of all its models; '' with baselines only.
    """

    title: str
    machine: str
    status: str
    about: str
    data: str
    metrics: tuple[str, ...]
    results: tuple[EvalResult, ...]


def read_results(folder: str | Path) -> list[EvalResult]:
    """All results `*.json` of a folder, in order of their names; DataError for a wrong one."""
    return [load_result(path) for path in sorted(Path(folder).glob("*.json"))]


def stored_name(result: EvalResult) -> str:
    """The file name of a result in the folder of stored ones; a newer run takes the same."""
    settings, protocol = result.settings, result.protocol
    parts = [str(protocol["id"]), str(result.model["name"])]
    if settings.get("ensemble_size", 1) not in (1, "model"):
        parts.append(f"ensemble{settings['ensemble_size']}")
    if settings.get("steps", "model") != "model":
        parts.append(f"steps{settings['steps']}")
    if settings.get("resolution", "model") != "model":
        parts.append(f"resolution{settings['resolution']}")
    text = "__".join(parts)
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in text) + ".json"


def result_tables(results: Iterable[EvalResult]) -> list[ResultTable]:
    """The comparable results grouped by protocol hash, list and machine, in order of these."""
    groups: dict[tuple[str, ...], dict[str, list[EvalResult]]] = {}
    for result in results:
        if result.comparable:
            protocol, data = result.protocol, result.dataset
            key = (str(protocol["id"]), str(protocol["hash"]), str(data.get("list_sha256", "")))
            groups.setdefault(key, {}).setdefault(_machine(result), []).append(result)
    tables = []
    for by_machine in (groups[key] for key in sorted(groups)):
        baselines = by_machine.pop("", [])
        by_machine = by_machine or {"": []}
        tables += [
            _result_table([*by_machine[name], *baselines], name) for name in sorted(by_machine)
        ]
    return tables


def markdown(results: Sequence[EvalResult]) -> str:
    """The tables as Markdown, and the results that may not stand in one."""
    parts: list[str] = []
    for title, tables in groupby(result_tables(results), key=lambda one: one.title):
        parts += [f"## {title}", *(_markdown_table(one) for one in tables)]
    others = [result for result in results if not result.comparable]
    if others:
        lines = [f"- {_model(r)} on {r.title}: {'; '.join(r.remarks)}" for r in others]
        parts.append("## Not comparable\n\n" + "\n".join(lines))
    return "\n\n".join(parts) if parts else "No results are stored yet."


def _result_table(results: Sequence[EvalResult], machine: str) -> ResultTable:
    first = results[0]
    every = set.intersection(*(set(result.metrics) for result in results))
    metrics = tuple(name for name in _SHOWN if name in every) or tuple(sorted(every)[:4])
    if not metrics:
        raise DataError(first.title, "the stored results share no metric", "Run them again")
    sign = -1 if higher_is_better(metrics[0]) else 1

    def rank(result: EvalResult) -> float:
        mean = result.metrics[metrics[0]].mean
        return float("inf") if mean is None else sign * mean

    text: dict[str, Any] = first.protocol.get("text") or {}
    counts = f"{first.dataset.get('evaluated', '?')} images"
    return ResultTable(
        title=first.title,
        machine=machine,
        status=str(first.protocol.get("status", "")),
        about=str(text.get("title", "")),
        data=f"{first.dataset.get('name', '?')}, {counts}",
        metrics=metrics,
        results=tuple(sorted(results, key=rank)),
    )


def _markdown_table(one: ResultTable) -> str:
    """One line about protocol and machine, and the table with intervals, seconds and memory."""
    head = ["model", *(f"{title_of(name)}, {arrow(name)}" for name in one.metrics)]
    head += ["s per image", "memory (MB)"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for result in one.results:
        cells = [_model(result), *(_cell(result, name) for name in one.metrics)]
        is_baseline = result.model.get("name") in BASELINES
        timing = result.timing
        seconds = timing.get("seconds_median")
        known = TO_MEASURE if seconds is None else shown(seconds, 2)
        cells.append("-" if is_baseline else known)
        cells.append("-" if is_baseline else shown(timing.get("peak_rss_mb"), 3))
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    about = ", ".join(part for part in (one.about, one.data, f"status: {one.status}") if part)
    if one.machine:
        about += f". Machine: {one.machine}"
    return f"{about}.\n\n" + "\n".join(lines)


def _cell(result: EvalResult, name: str) -> str:
    """Mean and, in brackets, its 95 % interval."""
    summary = result.metrics[name]
    low, high = summary.ci95
    if low is None or high is None:
        return shown(summary.mean, 3)
    return f"{shown(summary.mean, 3)} ({shown(low, 3)} to {shown(high, 3)})"


def _model(result: EvalResult) -> str:
    """Name, weights and what was asked of the model."""
    settings = result.settings
    words = [f"{result.model.get('name', '?')}"]
    digest = str(result.model.get("weights_sha256") or "")
    if digest:
        words[0] += f" `{digest[:8]}`"
    if settings.get("ensemble_size", 1) not in (1, "model"):
        words.append(f"median of {settings['ensemble_size']}")
    if settings.get("steps", "model") != "model":
        words.append(f"{settings['steps']} step{'' if settings['steps'] == 1 else 's'}")
    if settings.get("resolution", "model") != "model":
        words.append(f"at {settings['resolution']} px")
    return ", ".join(words)


def _machine(result: EvalResult) -> str:
    """What its time belongs to; '' for baselines, whose time is nobody's concern."""
    if result.model.get("name") in BASELINES:
        return ""
    machine = result.machine
    name = str(machine.get("device_name") or machine.get("processor") or "?")
    threads = machine.get("threads", "?")
    plural = "" if threads == 1 else "s"
    return f"{name}, {threads} thread{plural}, {machine.get('dtype', '?')}"
