"""List files of datasets: their lines, the order of names, and the fingerprint of a split."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from nearfar.errors import DataError

from .store import Store, clean_name

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
