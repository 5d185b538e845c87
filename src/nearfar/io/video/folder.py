"""Pictures of a folder as a clip: sorted as people count (2 before 10), at a given rate.

All of the folder, or those that a pattern names: `shot.%04d.png` (any number of digits) or
`shot.*.png`. Numbers that are missing are told, not waited for.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from nearfar.errors import InputError

from ..images import read_image
from ..inputs import IMAGE_SUFFIXES
from ..manifest import KnownResults
from .clip import ClipFrame, ClipInfo, ReadReport, fit_frame

_NUMBERED = re.compile("%0?[0-9]*d")


class FolderClip:
    """The pictures of a folder or pattern; those that cannot be read are left out and counted."""

    def __init__(self, folder: str | Path, *, rate: Fraction, max_pixels: int) -> None:
        self._folder, self._max_pixels = Path(folder), max_pixels
        by_name = not self._folder.is_dir()
        self._files = pattern_files(self._folder) if by_name else frame_files(self._folder)
        if not self._files:
            finding = "names no pictures" if by_name else "holds no pictures"
            known = " ".join(sorted(IMAGE_SUFFIXES))
            raise InputError(folder, finding, f"Known suffixes: {known}; sub-folders do not count")
        self.info = ClipInfo(
            source=str(folder),
            size_hw=self._first_size(),
            rate=rate,
            time_base=1 / rate,
            frames=len(self._files),
            has_audio=False,
            identity=self._identity(rate),
        )

    def frames(self, *, start: int = 0, report: ReadReport | None = None) -> Iterator[ClipFrame]:
        """The pictures from number `start` on; time = place in the folder / rate."""
        report = ReadReport() if report is None else report
        for note in notes_of_names([path.name for path in self._files]):
            report.note(note)
        index = 0
        for place, path in enumerate(self._files):
            try:
                rgb_HW3 = read_image(path, max_pixels=self._max_pixels).rgb_HW3
            except InputError as error:
                report.skipped += 1
                report.note(str(error))
                continue
            if index >= start:
                rgb_HW3 = fit_frame(
                    rgb_HW3, self.info, index=index, report=report, name=f" ({path.name})"
                )
                yield ClipFrame(index=index, time=place / self.info.rate, rgb_HW3=rgb_HW3)
            index += 1

    def _first_size(self) -> tuple[int, int]:
        fault: InputError | None = None
        for path in self._files:
            try:
                shape = read_image(path, max_pixels=self._max_pixels).rgb_HW3.shape
                return shape[0], shape[1]
            except InputError as error:
                fault = fault or error
        raise InputError(self._folder, f"no picture can be read; the first: {fault}")

    def _identity(self, rate: Fraction) -> str:
        digest = hashlib.sha256(str(rate).encode())
        for path in self._files:
            digest.update(f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
        return digest.hexdigest()


def frame_files(folder: Path) -> list[Path]:
    """The pictures directly in a folder, numbers in names sorted as such.

    Hidden ones are left out, and results: what a manifest there or above lists.
    """
    results = KnownResults()
    try:
        files = [
            path
            for path in folder.iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES
            and not path.name.startswith(".")
            and path not in results
        ]
    except OSError as error:
        raise InputError(folder, f"cannot be listed ({error.strerror})") from error
    return sorted(files, key=lambda path: (_counted(path.name), path.name))


def is_pattern(source: str | Path) -> bool:
    """Whether a path names pictures by a pattern (`%04d`, `*`), not one file."""
    name = Path(source).name
    return _NUMBERED.search(name) is not None or glob.has_magic(name)


def pattern_files(pattern: Path) -> list[Path]:
    """The pictures whose names fit a pattern, sorted as those of a folder."""
    name = pattern.name
    parts = [glob.escape(part) for part in _NUMBERED.split(name)]
    wanted = name if len(parts) == 1 else "*".join(parts)
    numbers = re.compile("([0-9]+)".join(re.escape(part) for part in _NUMBERED.split(name)))
    folder = pattern.parent
    files = frame_files(folder) if folder.is_dir() else []
    return [
        path
        for path in files
        if fnmatch.fnmatchcase(path.name, wanted)
        and (len(parts) == 1 or numbers.fullmatch(path.name))
    ]


def notes_of_names(names: list[str]) -> list[str]:
    """What is unusual about the names of a sequence: missing numbers, several ways of naming."""
    ways = Counter(re.sub("[0-9]+", "#", name) for name in names)
    if len(ways) > 1:
        shown = ", ".join(f"{count} like {way}" for way, count in ways.most_common(3))
        return [f"pictures named in {len(ways)} ways ({shown}): all are taken, or give a pattern"]
    runs = [[int(number) for number in re.findall("[0-9]+", name)] for name in names]
    moving = [i for i in range(len(runs[0])) if len({run[i] for run in runs}) > 1]
    if len(moving) != 1:
        return []
    have = sorted({run[moving[0]] for run in runs})
    gaps = [(low + 1, high - 1) for low, high in pairwise(have) if high > low + 1]
    if not gaps or len({high - low for low, high in pairwise(have)}) == 1:  # every second, say
        return []
    shown = ", ".join(str(low) if low == high else f"{low} to {high}" for low, high in gaps[:4])
    more = ", ..." if len(gaps) > 4 else ""
    return [f"numbers {shown}{more} are missing; the others follow each other"]


def _counted(name: str) -> list[tuple[int, str]]:
    """Pieces of the name that compare by number where they are digits."""
    pieces = re.split(r"([0-9]+)", name.lower())
    return [
        (int(piece), "") if piece.isascii() and piece.isdecimal() else (-1, piece)
        for piece in pieces
    ]
