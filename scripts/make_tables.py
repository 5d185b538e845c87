"""Writes tables into documents: protocols, datasets, claims of DAR, and how good the default is.

    python scripts/make_tables.py          # write the tables again
    python scripts/make_tables.py --check  # exit 1 if one is not current

A table stands between `<!-- NAME -->` and `<!-- end -->`; the text around it is written by hand.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nearfar.data.catalog import DATASETS
from nearfar.eval.protocol import load_protocol, protocol_ids
from nearfar.io.atomic import atomic_path

ROOT = Path(__file__).resolve().parents[1]
CLAIMS_DAR = ROOT / "benchmarks" / "results" / "claims_dar.json"
QUALITY = ROOT / "benchmarks" / "results" / "quality_tiny.json"
SYNTHETIC = ROOT / "benchmarks" / "results" / "eval"
COMMERCIAL = {True: "yes", False: "no", None: "unclear"}


def protocol_table() -> str:
    """Every protocol with status, data, alignment, and the order of averaging."""
    lines = ["| id | v | status | data | images | alignment | mean over |", "|" + "---|" * 7]
    for name in protocol_ids():
        p = load_protocol(name)
        sets = list(p.table.get("sets", {}))
        shown = f"`{p.id}`" if not sets else f"`{p.id}-`{', '.join(sets)}"
        names = [f"{p.id}-{chosen}" for chosen in sets] or [p.id]
        scope = "" if p.alignment.scope == "none" else f" per {p.alignment.scope}"
        cells = (
            shown,
            str(p.version),
            p.status,
            ", ".join(dict.fromkeys(load_protocol(one).dataset.name for one in names)),
            "by set" if sets else str(p.dataset.count or "all"),
            p.alignment.id + scope,
            p.average.over,
        )
        lines.append(row(cells))
    return "\n".join(lines)


def dataset_table() -> str:
    """Every dataset with licence, splits and options."""
    lines = [
        "| name | data | licence | commercial | splits (official count) | options | remarks |",
        "|" + "---|" * 7,
    ]
    for card in DATASETS.values():
        counts = card.expected_counts
        splits = ", ".join(f"{s} ({counts[s]})" if s in counts else s for s in card.splits)
        options = "; ".join(
            f"{name}={'/'.join(v for v in values if v) or '...'}"
            for name, values in card.options.items()
        )
        cells = (
            f"`{card.name}`",
            ", ".join(part for part in (card.title, card.size) if part),
            card.licence,
            COMMERCIAL[card.commercial],
            splits,
            options,
            card.notes,
        )
        lines.append(row(cells))
    return "\n".join(lines)


def claims_table() -> str:
    """Every stored run of `benchmarks/claims dar`: its rows, then its claims (first - second)."""
    stored = json.loads(CLAIMS_DAR.read_text(encoding="utf-8"))
    parts = []
    for run in stored.get("runs", [stored]):
        dtype = run.get("dtype", "bf16")  # not recorded by the first run
        parts += [
            f"{run['date'][:10]}, {run['machine']}, {dtype}, {run['seconds']:g} s each, "
            f"{run['seeds']} seeds, commit {run['commit']}:",
            "",
            row(("row or claim", "AbsRel, metres", "AbsRel, fitted", "optimizer steps")),
            "|" + "---|" * 4,
        ]
        for name, numbers in run["arms"].items():
            parts.append(row((name, *cells_of(numbers))))
        for name, numbers in run["claims"].items():
            parts.append(row((f"*{name}*", *cells_of(numbers, sign="+"))))
        parts.append("")
    return "\n".join(parts[:-1])


def quality_table() -> str:
    """The default model beside maps that see no photo; seconds if they are of the same machine."""
    stored = json.loads(QUALITY.read_text(encoding="utf-8"))
    sets = {"one photo (motorcycle)": "motorcycle (real)", "21 real pairs": "pairs (real)"}
    sets["32 rendered scenes"] = "rendered"
    run = json.loads((SYNTHETIC / "synthetic__ppd-tiny.json").read_text(encoding="utf-8"))
    place = (run["machine"]["processor"], run["machine"]["threads"], run["tool"]["git_commit"][:7])
    is_one = stored["machine"].startswith(place[0]) and stored["commit"][:7] == place[2]
    speed = f"s a scene of 256x192, {place[0]}, {place[1]} threads"
    head = ("", *sets, *([speed] if is_one else []))
    lines = [row(head), "|" + "---|" * len(head)]
    for name in stored["sets"]["rendered"]:
        scores = [stored["sets"][key][name] for key in sets.values()]
        shown = [f"{one['abs_rel']:.3f} / {one['delta1']:.3f}" for one in scores]
        is_timed = name.startswith("ppd-tiny, ") and "median" not in name
        seconds = f"{run['timing']['seconds_median']:.2f}" if is_timed else "-"
        lines.append(row((name, *shown, seconds)[: len(head)]))
    return "\n".join(lines)


def cells_of(numbers: dict[str, Any], *, sign: str = "") -> tuple[str, str, str]:
    """AbsRel in metres and fitted with their deviations over seeds, and the steps."""
    cells = []
    for name in ("abs_rel", "aligned_abs_rel"):
        spread = numbers[name]["spread"]
        cells.append(f"{numbers[name]['mean']:{sign}.3f}")
        cells[-1] += "" if spread is None else f" +- {spread:.3f}"
    steps = numbers.get("train_steps")
    return cells[0], cells[1], "" if steps is None else f"{steps['mean']:{sign}.0f}"


def row(cells: tuple[str, ...]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cell.replace('|', ' or ') for cell in cells)} |"


TABLES: dict[str, tuple[Path, Callable[[], str]]] = {
    "quality": (ROOT / "README.md", quality_table),
    "protocols": (ROOT / "docs" / "evaluation.md", protocol_table),
    "claims of dar": (ROOT / "docs" / "dar.md", claims_table),
    "datasets": (ROOT / "docs" / "datasets.md", dataset_table),
}


def renewed(text: str, name: str, table: str) -> str:
    """The document with its table replaced; exits if there is no place for it."""
    start, end = f"<!-- {name} -->", "<!-- end -->"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        sys.exit(f"no {start} ... {end}")
    return pattern.sub(lambda _: f"{start}\n{table}\n{end}", text, count=1)


def main() -> None:
    stale = []
    for name, (path, table) in TABLES.items():
        text = path.read_text(encoding="utf-8")
        new = renewed(text, name, table())
        if new == text:
            continue
        stale.append(path.name)
        if "--check" not in sys.argv[1:]:
            with atomic_path(path) as temporary:
                temporary.write_text(new, encoding="utf-8")
    if stale and "--check" in sys.argv[1:]:
        sys.exit(f"not current: {', '.join(stale)}; run python scripts/make_tables.py")
    print(", ".join(stale) or "all current")


if __name__ == "__main__":
    main()
