"""Runs by name and seed in one JSON file, written after every run: long benchmarks resume with it.

A file that was made with other settings is refused, never mixed with or written over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stamp import circumstances, write_json


class Ledger:
    """`runs[name][seed]`: what a run gave. `path` None: kept in memory only."""

    def __init__(self, benchmark: str, path: Path | None, settings: Mapping[str, object]) -> None:
        self.benchmark, self.path, self.settings = benchmark, path, dict(settings)
        self.runs: dict[str, dict[str, Any]] = {}
        if path is None or not path.exists():
            return
        stored = json.loads(path.read_text(encoding="utf-8"))
        then = stored.get("settings", {})
        names = sorted(
            name
            for name in then.keys() | self.settings.keys()
            if then.get(name) != self.settings.get(name)
        )
        if stored.get("benchmark") != benchmark or names:
            changed = ", ".join(f"{n} {then.get(n)} -> {self.settings.get(n)}" for n in names)
            raise SystemExit(f"{path} holds runs of other settings: {changed}. Give --output OTHER")
        self.runs = stored["runs"]

    def has(self, name: str, seed: int) -> bool:
        """Whether this run is done."""
        return str(seed) in self.runs.get(name, {})

    def put(self, name: str, seed: int, run: Any) -> None:
        """Keep a run; `write` it next."""
        self.runs.setdefault(name, {})[str(seed)] = run

    def write(self, summary: Mapping[str, object]) -> dict[str, object]:
        """The whole record with a summary, written if there is a path."""
        head = {"benchmark": self.benchmark, **circumstances(), "settings": self.settings}
        record = {**head, **summary, "runs": self.runs}
        if self.path is not None:
            write_json(record, self.path)
        return record
