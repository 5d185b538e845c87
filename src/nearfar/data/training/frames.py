"""The frames of a training dataset, found by the names of their files, and the object that reads
them: shared by all readers of this room.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import DataError

from ..lists import natural_key, read_list
from ..record import DepthRecord
from ..store import Store


class Layout(NamedTuple):
    """How a dataset names its files.

    parts: part -> pattern; every pattern has the groups that identify a frame, in one order. key:
    format string of these groups; it is the sample id without the dataset and what official
    fingerprints hash. rgb and depth are parts of every layout.
    """

    name: str
    parts: Mapping[str, str]
    key: str


class Frame(NamedTuple):
    """One sample: its key, the groups of its file names, part -> file, and its place in a list."""

    key: str
    groups: tuple[str, ...]
    files: Mapping[str, str]
    line: str = ""

    def file(self, part: str, store: Store) -> str:
        """The name of a part; DataError says beside which file it is missing."""
        if part in self.files:
            return self.files[part]
        if "rgb" in self.files or "depth" in self.files:
            beside = store.where(self.files.get("rgb") or self.files["depth"])
            raise DataError(beside, f"has no {part} file beside it", "Get the missing file")
        raise DataError(self.line, f"{self.key} is not in {store.root}", "Check root and list")


class Reader(Protocol):
    """Decodes one frame; can be pickled."""

    def read(self, frame: Frame) -> DepthRecord:
        """The record of the frame; DataError names the file at fault."""
        ...


class FrameDataset:
    """Frames in a fixed order with the reader that decodes them (a `Dataset`)."""

    def __init__(self, name: str, frames: Sequence[Frame], reader: Reader) -> None:
        self.name = name
        self.frames = frames
        self.reader = reader

    @property
    def keys(self) -> list[str]:
        """The names that fingerprints hash, in the order of the samples."""
        return [frame.key for frame in self.frames]

    @property
    def sample_ids(self) -> list[str]:
        return [f"{self.name}/{frame.key}" for frame in self.frames]

    def record(self, index: int) -> DepthRecord:
        return self.reader.read(self.frames[index])


def find_frames(store: Store, layout: Layout) -> list[Frame]:
    """All frames that have a photo, in natural order of their keys; empty if there is none.

    A frame without depth stays in: reading it is an error, leaving it out would be silent.
    """
    patterns = {part: re.compile(f"(?:^|/){text}$") for part, text in layout.parts.items()}
    files: dict[tuple[str, ...], dict[str, str]] = {}
    for name in store.names():
        for part, pattern in patterns.items():
            match = pattern.search(name)
            if match:
                files.setdefault(match.groups(), {}).setdefault(part, name)
                break
    if not any("depth" in parts for parts in files.values()):
        return []
    frames = [
        Frame(layout.key.format(*groups), groups, parts)
        for groups, parts in files.items()
        if "rgb" in parts
    ]
    return sorted(frames, key=lambda frame: natural_key(frame.key))


def side_files(store: Store, pattern: str) -> dict[tuple[str, ...], str]:
    """Groups of the pattern -> name, of files that belong to many frames; the first one wins."""
    compiled = re.compile(f"(?:^|/){pattern}$")
    found: dict[tuple[str, ...], str] = {}
    for name in store.names():
        match = compiled.search(name)
        if match:
            found.setdefault(match.groups(), name)
    return found


def listed_frames(
    store: Store,
    layout: Layout,
    frames: Sequence[Frame],
    list_file: str | Path,
    *,
    photos: Sequence[str] = (),
) -> list[Frame]:
    """The frames that the first column of a list names, in its order.

    photos: patterns such a path may have (default: the layout's photo). DataError names the line
    that is no photo of this dataset, or the list if the root has none of them. A photo that is
    missing stays in, and is an error when it is read.
    """
    patterns = [re.compile(f"(?:^|/){text}$") for text in photos or (layout.parts["rgb"],)]
    by_key = {frame.key: frame for frame in frames}
    chosen = []
    for line in read_list(list_file, columns=(1, 4), store=store):
        path = line.path(0)
        match = next((found for p in patterns if (found := p.search(path))), None)
        if match is None:
            raise DataError(line.where, f"{path} is not a photo of {layout.name}", "Check the list")
        key = layout.key.format(*match.groups())
        chosen.append(by_key.get(key, Frame(key, match.groups(), {}, line.where)))
    if not any(frame.files for frame in chosen):
        raise DataError(list_file, f"none of its photos is in {store.root}", "Check root and list")
    return chosen


def require_frames(
    store: Store, layout: Layout, frames: Sequence[Frame], split: str
) -> Sequence[Frame]:
    """The frames, if there are any; else DataError with the split."""
    if not frames:
        remedy = f"This copy of {layout.name} lacks them: try another split"
        raise DataError(store.root, f"no frames of the split {split!r}", remedy)
    return frames


class KnownDepth(NamedTuple):
    """depth_HW: float32, 0 where not known. valid_HW: where it is known, never on sky."""

    depth_HW: NDArray[np.float32]
    valid_HW: NDArray[np.bool_]


def known_depth(
    depth_HW: NDArray[np.floating],
    *,
    known_HW: NDArray[np.bool_] | None = None,
    sky_HW: NDArray[np.bool_] | None = None,
    where: str,
) -> KnownDepth:
    """Depth and mask by the record's rules: finite, above 0, and not excluded by a mask.

    DataError(where) if a mask has another size, so that the message names the file.
    """
    valid_HW = np.isfinite(depth_HW) & (depth_HW > 0)
    for name, mask, wanted in (("mask", known_HW, True), ("sky", sky_HW, False)):
        if mask is not None:
            if mask.shape != depth_HW.shape:
                sizes = f"{list(depth_HW.shape)}, its {name} {list(mask.shape)}"
                raise DataError(where, f"depth is {sizes}", "Get the files of one resolution")
            valid_HW &= mask == wanted
    clean = np.where(valid_HW, depth_HW, 0).astype(np.float32)
    return KnownDepth(clean, valid_HW & (clean > 0))


def inverse_pose(numbers: NDArray[np.floating], where: str) -> NDArray[np.float64]:
    """Camera to world [4,4] of a world-to-camera matrix [4,4] or its first three rows.

    DataError(where) unless it is a turn and a shift.
    """
    pose_44 = np.eye(4)
    if numbers.size not in (12, 16) or not np.isfinite(numbers).all():
        raise DataError(where, f"the camera's pose has {numbers.size} numbers, or NaN")
    rows = numbers.reshape(-1, 4).astype(np.float64)[:3]
    turn_33 = rows[:, :3]
    if not np.allclose(turn_33 @ turn_33.T, np.eye(3), atol=1e-2):
        raise DataError(
            where, "the camera's pose is not a rotation and a translation", "Check the version"
        )
    pose_44[:3, :3] = turn_33.T
    pose_44[:3, 3] = -turn_33.T @ rows[:, 3]
    return pose_44
