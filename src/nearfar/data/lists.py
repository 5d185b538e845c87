"""List files of datasets: their lines, tables of own samples, order of names, fingerprints."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from nearfar.errors import DataError

from .store import Store, clean_name

_LOG = logging.getLogger(__name__)
_Line = TypeVar("_Line")
_Made = TypeVar("_Made")
_NUMBER = re.compile(r"(\d+)")


class ListLine(NamedTuple):
    """One line of a list: `FILE:LINE` for messages, and its columns; `None` is no path."""

    where: str
    columns: tuple[str | None, ...]

    def path(self, column: int) -> str:
        """The path in a column as stores name it; DataError if it is missing or `None`."""
        text = self.columns[column] if column < len(self.columns) else None
        if not text:
            raise DataError(
                self.where, f"column {column + 1} is not a path", "See docs/datasets.md"
            )
        try:
            return clean_name(text)
        except DataError as error:
            raise DataError(self.where, f"{text} {error.finding}", error.remedy) from error

    def number(self, column: int) -> float | None:
        """The number in a column, None if there is none."""
        text = self.columns[column] if column < len(self.columns) else None
        try:
            return None if text is None else float(text)
        except ValueError:
            return None


def parse_list(text: str, where: str, *, columns: tuple[int, int]) -> list[ListLine]:
    """The lines with their columns; empty lines and lines that begin with '#' are left out.

    columns: fewest and most that a line may have. DataError names file and line of a wrong one,
    or the file if it lists no samples.
    """
    lines = []
    fewest, most = columns
    for number, content in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        parts = content.split()
        if not parts or parts[0].startswith("#"):
            continue
        place = f"{where}:{number}"
        if not fewest <= len(parts) <= most:
            wanted = f"{fewest}" if fewest == most else f"{fewest} to {most}"
            raise DataError(place, f"has {len(parts)} columns", f"Write {wanted} per line")
        lines.append(ListLine(place, tuple(None if p == "None" else p for p in parts)))
    if not lines:
        raise DataError(where, "lists no samples", "Give a list with one sample per line")
    return lines


def read_list(
    list_file: str | Path, *, columns: tuple[int, int], store: Store | None = None
) -> list[ListLine]:
    """The lines of a file on disk or, if it is not there, in the store."""
    path = Path(list_file)
    try:
        if store is not None and not path.is_file() and store.exists(str(list_file)):
            content, where = store.read(str(list_file)), store.where(str(list_file))
        else:
            content, where = path.read_bytes(), str(path)
        return parse_list(content.decode("utf-8"), where, columns=columns)
    except OSError as error:
        raise DataError(list_file, f"cannot be read ({error.strerror})", "Check --list") from error
    except UnicodeDecodeError as error:
        raise DataError(list_file, f"is not text ({error.reason})", "Give a list") from error


def table_rows(
    text: str, where: str, *, columns: Sequence[str]
) -> list[tuple[int, dict[str | None, Any]]]:
    """Line number and values of the lines of a CSV with a header, whose names may be of any case.

    Between values stand commas, or semicolons or tabs where the header has no comma. DataError for
    an unknown column; a line with more values than columns has them under None.
    """
    lines = text.splitlines()
    header = lines[0] if lines else ""
    between = next((sign for sign in ",;\t" if sign in header), ",")
    reader = csv.DictReader(lines, delimiter=between, skipinitialspace=True)
    known = {name.lower(): name for name in columns}
    names = [str(name).strip() for name in reader.fieldnames or ()]
    for name in names:
        if name and name.lower() not in known:
            raise DataError(
                f"{where}:1", f"unknown column {name!r}", f"Known: {', '.join(columns)}"
            )
    reader.fieldnames = [known.get(name.lower(), name) for name in names]
    return [(reader.line_num, dict(row)) for row in reader]


def json_object(line: str, where: str) -> dict[str, Any]:
    """The object in a line of a JSONL list."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(where, f"is not JSON ({getattr(error, 'msg', error)})") from error
    if not isinstance(row, dict):
        raise DataError(where, "is not a JSON object")
    return row


def right_ones(
    lines: Iterable[_Line], make: Callable[[_Line], _Made], faults: list[DataError] | None
) -> list[_Made]:
    """What `make` gives for each line; a wrong line does not keep the others from being used.

    Its DataError is added to `faults`, or logged where that is None. If no line is right, the
    DataError of the first is raised.
    """
    made, wrong = list[_Made](), list[DataError]()
    for line in lines:
        try:
            made.append(make(line))
        except DataError as error:
            wrong.append(error)
    if wrong and not made:
        raise wrong[0]
    if faults is None:
        for fault in wrong:
            _LOG.warning("%s: %s; the line is left out", fault.where, fault.finding)
    else:
        faults += wrong
    return made


def natural_key(name: str) -> tuple[tuple[bool, int, str], ...]:
    """A sort key by which `2.jpg` comes before `10.jpg`."""
    return tuple(
        (part.isdigit(), int(part) if part.isdigit() else 0, part)
        for part in _NUMBER.split(name)
        if part
    )


def fingerprint(keys: Iterable[str]) -> str:
    """The SHA-256 of a split: of its distinct keys, sorted, one per line."""
    return hashlib.sha256("\n".join(sorted(set(keys))).encode()).hexdigest()
