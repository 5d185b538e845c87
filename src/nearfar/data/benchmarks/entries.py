"""What the readers of single frames share: entries of a split, masks of depth, cameras."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.data.record import DepthRecord
from nearfar.data.store import Store
from nearfar.errors import DataError


class Entry(NamedTuple):
    """One sample of a split. id: `scene/frame`. key: what the official fingerprint hashes.

    third: the file in the third column (mask, filled depth). where: FILE:LINE, '' without a list.
    focal_px: from the list. number: which frame of its file or sequence.
    """

    id: str
    scene: str
    rgb: str
    depth: str
    key: str = ""
    third: str = ""
    where: str = ""
    focal_px: float | None = None
    number: int = 0


class Content(NamedTuple):
    """The bytes of a file and what messages call it."""

    content: bytes
    where: str


class Metres(NamedTuple):
    """depth_HW float32 with 0 where nothing is known; valid_HW where it is."""

    depth_HW: NDArray[np.float32]
    valid_HW: NDArray[np.bool_]


class EntryDataset:
    """The samples of a split; a subclass says how one entry is decoded (`read_entry`)."""

    name = ""

    def __init__(self, store: Store, entries: Iterable[Entry]) -> None:
        self.store = store
        self.entries = tuple(entries)
        seen: dict[str, Entry] = {}
        for entry in self.entries:
            if entry.id in seen:
                first = seen[entry.id].where or "another sample"
                raise DataError(entry.where or entry.rgb, f"{entry.id} is listed twice ({first})")
            seen[entry.id] = entry

    @property
    def sample_ids(self) -> list[str]:
        """`dataset/scene/frame` of every sample."""
        return [f"{self.name}/{entry.id}" for entry in self.entries]

    @property
    def keys(self) -> list[str]:
        """The names whose fingerprint identifies an official split."""
        return [entry.key or entry.id for entry in self.entries]

    def __len__(self) -> int:
        return len(self.entries)

    def record(self, index: int) -> DepthRecord:
        """Sample `index`; DataError names the list line, if there is one, and the file."""
        entry = self.entries[index]
        try:
            return self.read_entry(entry)
        except DataError as error:
            if not entry.where or str(error.where).startswith(entry.where):
                raise
            finding = f"{error.where}: {error.finding}"
            raise DataError(entry.where, finding, error.remedy) from error

    def read_entry(self, entry: Entry) -> DepthRecord:
        """The record of one entry."""
        raise TypeError(f"{type(self).__name__} has no decoder")

    def content(self, name: str) -> Content:
        """A file of the dataset."""
        return Content(self.store.read(name), self.store.where(name))


def known_metres(metres_HW: NDArray[np.generic]) -> Metres:
    """Depth and mask of stored metres: unknown where not finite or not positive."""
    values = np.asarray(metres_HW, np.float32)
    valid = np.isfinite(values) & (values > 0)
    return Metres(np.where(valid, values, np.float32(0)), valid)


def pinhole(fx: float, fy: float, cx: float, cy: float) -> NDArray[np.float64]:
    """Intrinsics of Nearfar (first pixel center at 0.5) from a file that has it at 0."""
    return np.array([[fx, 0, cx + 0.5], [0, fy, cy + 0.5], [0, 0, 1]], np.float64)


def first_existing(store: Store, names: Iterable[str]) -> str | None:
    """The first of these names that the store has."""
    return next((name for name in names if store.exists(name)), None)
