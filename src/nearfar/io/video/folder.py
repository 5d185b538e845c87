"""A folder of pictures as a clip: sorted as people count (2 before 10), at a given rate."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from nearfar.errors import InputError

from ..images import read_image
from ..inputs import IMAGE_SUFFIXES
from ..manifest import KnownResults
from .clip import ClipFrame, ClipInfo, ReadReport, fit_frame


class FolderClip:
    """The pictures directly in a folder; those that cannot be read are left out and counted."""

    def __init__(self, folder: str | Path, *, rate: Fraction, max_pixels: int) -> None:
        self._folder, self._max_pixels = Path(folder), max_pixels
        self._files = frame_files(self._folder)
        if not self._files:
            raise InputError(
                folder, "holds no pictures", f"Known suffixes: {' '.join(sorted(IMAGE_SUFFIXES))}"
            )
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
        index = 0
        for place, path in enumerate(self._files):
            try:
                rgb_HW3 = read_image(path, max_pixels=self._max_pixels).rgb_HW3
            except InputError as error:
                report.skipped += 1
                report.note(str(error))
                continue
            if index >= start:
                rgb_HW3 = fit_frame(rgb_HW3, self.info, index=index, report=report)
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


def _counted(name: str) -> list[tuple[int, str]]:
    """Pieces of the name that compare by number where they are digits."""
    pieces = re.split(r"(\d+)", name.lower())
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in pieces]
