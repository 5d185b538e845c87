"""Numbers of the claims over seeds: means, spreads, paired differences, tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from stamp import circumstances, write_json

Row = dict[str, float]  # numbers of one training, by name


def summary(rows: Sequence[Row]) -> dict[str, dict[str, object]]:
    """Mean, sample deviation over seeds (None for one) and the values themselves, by name."""
    out: dict[str, dict[str, object]] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
        out[name] = {"mean": float(np.mean(values)), "spread": spread, "values": values}
    return out


def difference(ours: list[Row], other: list[Row]) -> dict[str, object]:
    """Ours minus the other's, seed by seed, of every number both have."""
    names = [name for name in ours[0] if name in other[0]]
    pairs = zip(ours, other, strict=True)
    return summary([{name: a[name] - b[name] for name in names} for a, b in pairs])


def over_seeds(
    rows: Mapping[str, list[Row]], claims: Mapping[str, tuple[str, str]]
) -> dict[str, dict[str, object]]:
    """Every arm over seeds, and what the first arm of each claim gains over its second."""
    return {
        "arms": {name: summary(found) for name, found in rows.items()},
        "claims": {
            name: difference(rows[ours], rows[other])
            for name, (ours, other) in claims.items()
            if ours in rows and other in rows
        },
    }


def print_row(name: str, row: Row) -> None:
    """One line of a long run, at once."""
    print(f"{name:28} {'  '.join(f'{key} {row[key]:.4g}' for key in row)}", flush=True)


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
