"""Numbers of claims_*.py over seeds: means, spreads, paired differences, tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


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
