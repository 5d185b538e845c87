"""Two results of one protocol beside each other: is the difference larger than its interval?"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from nearfar.errors import ConfigError, DataError

from .metric_names import goal_of, higher_is_better, is_judged
from .protocol import protocol_from_table
from .results import SAMPLES_FILE, EvalResult, load_result
from .samples import SampleTable, read_table
from .summaries import difference


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
            "compare", f"{a.title} against {b.title}", "Both must be of one protocol hash"
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
