"""`samples.csv`: one row per image, written and flushed row by row, read back for the means."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nearfar.errors import DataError, OutputError
from nearfar.io.atomic import atomic_path

OK, SKIPPED = "ok", "skipped"
NOTE = "note_"  # prefix of columns that count degenerate cases; they are no metrics
_FIXED = ("index", "sample_id", "scene", "place", "data_sha256", "n_valid", "scale", "shift")
_STATE = ("status", "reason")
_LAST = ("seconds",)


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleRow:
    """One image: its place in the list, where it comes from, its fit and its values.

    place: indoor, outdoor or ''. data_sha256: first 16 digits over photo, depth and mask as
    decoded. seconds: the prediction.
    values: metric -> value, missing where it does not exist. notes: counter -> value.
    """

    index: int
    sample_id: str
    scene: str
    place: str = ""
    data_sha256: str = ""
    n_valid: int = 0
    scale: float | None = None
    shift: float | None = None
    status: str = OK
    reason: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None


def header(metrics: Sequence[str], notes: Sequence[str]) -> list[str]:
    """The column names of a file with these metrics and counters."""
    return [*_FIXED, *_STATE, *metrics, *(NOTE + name for name in notes), *_LAST]


class SampleWriter:
    """Appends rows to a CSV file; every row is on the disk when `append` returns."""

    def __init__(self, path: Path, metrics: Sequence[str], notes: Sequence[str]) -> None:
        """Open for appending; an unfinished last line of a killed run is cut off first."""
        self.path, self._metrics, self._notes = path, list(metrics), list(notes)
        wanted = _line(header(metrics, notes))
        try:
            if path.exists():
                _cut_unfinished(path)
            if not path.exists() or path.stat().st_size == 0:
                path.write_text(wanted, encoding="utf-8", newline="")
            with open(path, encoding="utf-8", newline="") as file:
                found = file.readline()
        except OSError as error:
            raise OutputError(path, f"cannot be written ({error.strerror})") from error
        if found != wanted:
            raise DataError(path, "has other columns than this run", "Choose another -o")

    def append(self, row: SampleRow) -> None:
        """Add one row; OutputError if it cannot be written."""
        try:
            with open(self.path, "a", encoding="utf-8", newline="") as file:
                file.write(_line(_cells(row, self._metrics, self._notes)))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(
                self.path, f"cannot be written ({error.strerror})", "Free space, then --resume"
            ) from error


def write_table(
    path: Path, rows: Iterable[SampleRow], metrics: Sequence[str], notes: Sequence[str]
) -> None:
    """Write all rows in list order, whole or not at all."""
    lines = [_line(header(metrics, notes))]
    ordered = sorted(rows, key=lambda row: row.index)
    lines += [_line(_cells(row, metrics, notes)) for row in ordered]
    with atomic_path(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8", newline="")


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleTable:
    """A CSV file read back: its metric and counter columns, and its rows in list order."""

    metrics: tuple[str, ...]
    notes: tuple[str, ...]
    rows: tuple[SampleRow, ...]


def read_table(path: str | Path) -> SampleTable:
    """The rows of a CSV file (an unfinished last line is not one); DataError names the line."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "no text"
        raise DataError(path, f"cannot be read ({why})") from None
    whole = text[: text.rfind("\n") + 1]
    lines = list(csv.reader(io.StringIO(whole, newline="")))
    first = len(_FIXED) + len(_STATE)
    if not lines or tuple(lines[0][:first]) != (*_FIXED, *_STATE) or lines[0][-1:] != [*_LAST]:
        raise DataError(path, "is no table of samples")
    names = lines[0]
    columns = names[first:-1]
    metrics = tuple(name for name in columns if not name.startswith(NOTE))
    notes = tuple(name.removeprefix(NOTE) for name in columns if name.startswith(NOTE))
    rows = []
    for number, cells in enumerate(lines[1:], 2):
        if len(cells) != len(names):
            raise DataError(f"{path}:{number}", f"has {len(cells)} cells, expected {len(names)}")
        try:
            rows.append(_row(dict(zip(names, cells, strict=True)), metrics, notes))
        except ValueError as error:
            raise DataError(f"{path}:{number}", f"is no row of samples ({error})") from None
    return SampleTable(
        metrics=metrics, notes=notes, rows=tuple(sorted(rows, key=lambda row: row.index))
    )


def _row(cells: Mapping[str, str], metrics: Sequence[str], notes: Sequence[str]) -> SampleRow:
    return SampleRow(
        index=int(cells["index"]),
        sample_id=cells["sample_id"],
        scene=cells["scene"],
        place=cells["place"],
        data_sha256=cells["data_sha256"],
        n_valid=int(cells["n_valid"]),
        scale=_number(cells["scale"]),
        shift=_number(cells["shift"]),
        status=cells["status"],
        reason=cells["reason"],
        values={name: float(cells[name]) for name in metrics if cells[name]},
        notes={name: float(cells[NOTE + name]) for name in notes if cells[NOTE + name]},
        seconds=_number(cells["seconds"]),
    )


def _cells(row: SampleRow, metrics: Sequence[str], notes: Sequence[str]) -> list[str]:
    return [
        str(row.index),
        row.sample_id,
        row.scene,
        row.place,
        row.data_sha256,
        str(row.n_valid),
        _text(row.scale),
        _text(row.shift),
        row.status,
        row.reason,
        *(_text(row.values.get(name)) for name in metrics),
        *(_text(row.notes.get(name)) for name in notes),
        _text(row.seconds),
    ]


def _text(value: float | None) -> str:
    """Nine significant digits, '' for what does not exist."""
    return "" if value is None else format(float(value), ".9g")


def _number(text: str) -> float | None:
    return float(text) if text else None


def _line(cells: Sequence[str]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()


def _cut_unfinished(path: Path) -> None:
    """Drop what follows the last newline: the row a killed process was writing."""
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole != len(data):
        with open(path, "r+b") as file:
            file.truncate(whole)
