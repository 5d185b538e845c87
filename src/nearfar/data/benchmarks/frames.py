"""A dataset as a list of frames and a function that reads one; frames in the order of a list."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError, DataError

from ..lists import read_list
from ..record import DepthRecord
from ..store import Store

_SLICE = re.compile(r"(\d*):(\d*)(?::(\d+))?")


class Frame(Protocol):
    """What every frame says of itself; the rest is its reader's."""

    @property
    def sample_id(self) -> str:
        """`dataset/scene/frame`."""
        ...

    @property
    def photo(self) -> str:
        """The name of its photo in the store."""
        ...


F = TypeVar("F", bound=Frame)


class FrameDataset(Generic[F]):
    """Frames of a store, read one at a time by a function of the reader's module."""

    def __init__(
        self, store: Store, frames: Sequence[F], read: Callable[[Store, F], DepthRecord]
    ) -> None:
        self._store, self._frames, self._read = store, tuple(frames), read
        self._sample_ids = tuple(frame.sample_id for frame in frames)

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """The ids of all samples, in the order of the list."""
        return self._sample_ids

    def record(self, index: int) -> DepthRecord:
        """Sample `index` as its files state it; DataError names the file at fault."""
        if not 0 <= index < len(self._frames):
            raise IndexError(f"sample {index} of {len(self._frames)}")
        return self._read(self._store, self._frames[index])


def in_list_order(frames: Sequence[F], list_file: str | Path | None, store: Store) -> tuple[F, ...]:
    """The frames that a list names, in its order; all of them without a list.

    The first column of a line is a sample id (the dataset's name may be left out) or the path of
    a photo, with or without suffix. DataError names file and line of one that is not there, or
    that stands there twice.
    """
    if list_file is None:
        return tuple(frames)
    known: dict[str, F] = {}
    for frame in frames:
        for name in (frame.photo, frame.sample_id, frame.sample_id.partition("/")[2]):
            known.setdefault(name, frame)
            known.setdefault(_without_suffix(name), frame)
    chosen: dict[str, F] = {}
    for line in read_list(list_file, columns=(1, 4), store=store):
        name = line.path(0)
        found = known.get(name) or known.get(_without_suffix(name))
        if found is None:
            near = f"A name is {frames[0].sample_id} or {frames[0].photo}"
            raise DataError(line.where, f"{name} is not a sample below {store.root}", near)
        if found.sample_id in chosen:
            raise DataError(line.where, f"{name} is listed twice")
        chosen[found.sample_id] = found
    return tuple(chosen.values())


def span_of(text: str, where: str) -> slice:
    """The slice that an option such as `30:140` or `0:270:3` states; '' is everything."""
    match = _SLICE.fullmatch(text.strip())
    if text.strip() and match is None:
        raise ConfigError(where, f"{text!r} is not a range of frames", "Write first:end or 0:270:3")
    if match is None:
        return slice(None)
    first, end, step = (int(part) if part else None for part in match.groups())
    if step == 0:
        raise ConfigError(where, f"{text!r} steps by 0", "Write first:end:step with step >= 1")
    return slice(first, end, step)


def names_of(text: str, known: Sequence[str], where: str) -> list[str]:
    """The names of an option such as `a,b`, checked; all of `known` for ''."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            shown = ", ".join(sorted(known)[:8])
            raise ConfigError(where, f"{name!r} is not there", f"Available: {shown}")
    return names or list(known)


def where_known(depth_HW: NDArray[np.floating], valid_HW: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The depth as records hold it: float32, 0 where it is not known."""
    return np.where(valid_HW, depth_HW, 0).astype(np.float32)


def one_plane(values: NDArray[Any], like: NDArray[Any], where: str) -> NDArray[Any]:
    """A mask or label picture [H,W] of the size of the depth; of colors the first is taken."""
    plane = values if values.ndim == 2 else values[..., 0]
    if plane.shape != like.shape[:2]:
        finding = f"is {list(plane.shape)}, the depth {list(like.shape[:2])}"
        raise DataError(where, finding, "They belong to different images or versions")
    return plane


def centered_at_half(fx: float, fy: float, cx: float, cy: float) -> NDArray[np.float64]:
    """Intrinsics [3,3] with pixel centers at +0.5, from ones whose first pixel is at (0, 0)."""
    return np.array([[fx, 0, cx + 0.5], [0, fy, cy + 0.5], [0, 0, 1]], np.float64)


def _without_suffix(name: str) -> str:
    head, _, last = name.rpartition("/")
    stem = re.sub(r"\.(png|jpe?g|webp|bmp|tiff?)$", "", last, flags=re.IGNORECASE)
    return f"{head}/{stem}" if head else stem
