"""Numbers of claims_*.py over seeds: means, spreads, paired differences, tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from stamp import circumstances, write_json


def summary(rows: Sequence[dict[str, float]]) -> dict[str, dict[str, object]]:
    """Mean, sample deviation over seeds (None for one) and the values themselves, by name."""
    out: dict[str, dict[str, object]] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
        out[name] = {"mean": float(np.mean(values)), "spread": spread, "values": values}
    return out


def difference(ours: list[dict[str, float]], other: list[dict[str, float]]) -> dict[str, object]:
    """Ours minus the other's, seed by seed, of every number both have."""
    names = [name for name in ours[0] if name in other[0]]
    pairs = zip(ours, other, strict=True)
    return summary([{name: a[name] - b[name] for name in names} for a, b in pairs])


def shown(row: dict[str, float], key: str) -> str:
    return f"{key} {row[key]:.4g}"


def print_tables(numbers: dict, *, names: Sequence[str]) -> None:
    """Means and spreads of every arm, then what each claim gains (first minus second)."""
    for title in ("arms", "claims"):
        print(f"\n{title:24}" + "".join(f"{name:>20}" for name in names))
        for row_name, row in numbers[title].items():
            cells = [cell(row.get(name)) for name in names]
            print(f"{row_name:24}" + "".join(f"{text:>20}" for text in cells))
    print("\nlower is better but for delta1 and boundary_f1; +- is the deviation over seeds\n")


def cell(entry: dict | None) -> str:
    if entry is None:
        return "-"
    spread = "" if entry["spread"] is None else f" +- {entry['spread']:.2g}"
    return f"{entry['mean']:.4f}{spread}"


def add_run(name: str, numbers: dict[str, object], *, path: Path | None, keep: bool) -> None:
    """Print the run with its circumstances as one JSON line; write it as the last of path's runs.

    keep: leave the runs that the file holds; each stays with its own date, commit and command. A
    file of one run in the older layout becomes a list of one.
    """
    record = {**circumstances(), **numbers}
    print(json.dumps({"benchmark": name, **record}))
    if path is None:
        return
    runs: list[object] = []
    if keep and path.is_file():
        stored = json.loads(path.read_text(encoding="utf-8"))
        stored.pop("benchmark")
        runs = stored.get("runs", [stored])
    write_json({"benchmark": name, "runs": [*runs, record]}, path)
