"""The folder of an evaluation while it runs: settings, one table per process, marks of the end.

`run.json` holds everything that decides a number and is written first; a folder whose `run.json`
says something else is refused. Process r of n writes `shares/r.csv` (alone: `samples.csv`) and,
when it is through, `shares/r.json`; whoever finds all marks puts the result together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nearfar.errors import ConfigError, DataError
from nearfar.io.atomic import atomic_path, ensure_folder

from .results import PREVIEWS, RESULT_FILE, SAMPLES_FILE

RUN_FILE, SHARES = "run.json", "shares"
_LONGEST = 60  # characters of a value in a message
_FREE = ("tool", "machine", "started", "command")  # may differ between the parts of one run


class RunFiles:
    """The files of one run as process `share` = (rank, world) sees them."""

    def __init__(self, folder: str | Path, *, share: tuple[int, int] = (0, 1)) -> None:
        self.folder = Path(folder)
        self.rank, self.world = share

    @property
    def table(self) -> Path:
        """The table this process appends to."""
        if self.world == 1:
            return self.folder / SAMPLES_FILE
        return self.folder / SHARES / f"{self.rank}.csv"

    def tables(self) -> list[Path]:
        """The tables of all processes that are there."""
        if self.world == 1:
            return [self.table] if self.table.is_file() else []
        return [p for r in range(self.world) if (p := self._of(r, "csv")).is_file()]

    def begin(self, settings: Mapping[str, Any], *, resume: bool) -> None:
        """Make the folder and its `run.json`; ConfigError if it holds another or an older run."""
        path = self.folder / RUN_FILE
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigError(self.folder, "is not a folder", "Choose another -o")
        used = self.table.exists() or (self.folder / RESULT_FILE).exists()
        if used and not resume:
            raise ConfigError(self.folder, "holds an evaluation", "Use --resume or another -o")
        if self.table.exists() and not path.is_file():
            finding = f"has {self.table.name} but no {RUN_FILE}: nobody knows what made its rows"
            raise DataError(self.folder, finding, "Choose another -o")
        if path.is_file():
            before = read_json(path)
            wanted = _plain(settings)
            if used or self.world > 1:
                _require_same(before, wanted, self.folder)
                return
        for name in (SHARES, PREVIEWS):
            ensure_folder(self.folder / name)
        write_json(path, settings)

    def finish(self, mark: Mapping[str, Any], *, has_worked: bool = True) -> bool:
        """Mark this process' share as done; True if that makes all shares done.

        An old mark stays where nothing was left to do: time and memory are those of the work.
        """
        path = self._of(self.rank, "json")
        if has_worked or not path.is_file():
            write_json(path, mark)
        return len(self.marks()) == self.world

    def marks(self) -> list[dict[str, Any]]:
        """What the finished processes left."""
        paths = [self._of(rank, "json") for rank in range(self.world)]
        return [read_json(path) for path in paths if path.is_file()]

    def _of(self, rank: int, suffix: str) -> Path:
        return self.folder / SHARES / f"{rank}.{suffix}"


def read_json(path: Path) -> dict[str, Any]:
    """The table in a JSON file; DataError if there is none."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no JSON"
        raise DataError(path, f"cannot be read ({why})", "Name the folder of a run") from None
    if not isinstance(table, dict):
        raise DataError(path, "is no JSON object")
    return table


def write_json(path: Path, table: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    ensure_folder(path.parent)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _require_same(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    for name in sorted((set(before) | set(now)) - set(_FREE)):
        if before.get(name) != now.get(name):
            old, new = before.get(name), now.get(name)
            if isinstance(old, dict) and isinstance(new, dict):
                inner = next(k for k in sorted({*old, *new}) if old.get(k) != new.get(k))
                name, old, new = f"{name}.{inner}", old.get(inner), new.get(inner)
            finding = f"was begun with {name} = {_brief(old)}, now it is {_brief(new)}"
            raise ConfigError(folder, finding, "Choose another -o")


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _plain(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table as JSON gives it back."""
    plain: dict[str, Any] = json.loads(json.dumps(table))
    return plain
