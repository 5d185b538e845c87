"""What a clip is, and one of its frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import InputError

from ..resample import resize_lanczos

_SAME_SHAPE = 0.02  # how far the sides' ratio may move before a frame counts as another picture


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipInfo:
    """source: path as given. size_hw: upright, square pixels. rate: mean frames per second.

    time_base: the unit of the times, seconds. frames: how many there should be, None if the file
    does not say. has_audio: whether sound can be copied. identity: hexadecimal digits of content.
    """

    source: str
    size_hw: tuple[int, int]
    rate: Fraction
    time_base: Fraction
    frames: int | None
    has_audio: bool
    identity: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClipFrame:
    """index: counts frames that could be read. time: seconds, rising. rgb_HW3: uint8, upright."""

    index: int
    time: Fraction
    rgb_HW3: NDArray[np.uint8]


@dataclass(kw_only=True, slots=True)
class ReadReport:
    """What one pass over a clip met. skipped: frames that could not be decoded. notes: lines.

    hidden: frames that the file's edit list does not show.
    """

    skipped: int = 0
    hidden: int = 0
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Keep a line, once."""
        if text not in self.notes:
            self.notes.append(text)


class Clip(Protocol):
    """A source of frames that can be read again and again, each time from its beginning."""

    info: ClipInfo

    def frames(self, *, start: int = 0, report: ReadReport | None = None) -> Iterator[ClipFrame]:
        """The frames from number `start` on; `report` is filled while they are read."""
        ...


def fit_frame(
    rgb_HW3: NDArray[np.uint8], info: ClipInfo, *, index: int, report: ReadReport, name: str = ""
) -> NDArray[np.uint8]:
    """The frame at the clip's size: scaled if only the size changed, InputError if the shape did.

    A change of size is noted in the report. name: of the frame, for messages.
    """
    if rgb_HW3.shape[:2] == info.size_hw:
        return rgb_HW3
    (height, width), (new_height, new_width) = info.size_hw, rgb_HW3.shape[:2]
    sizes = f"{new_width}x{new_height} after {width}x{height}"
    ratio = (new_width * height) / (new_height * width)
    if abs(ratio - 1) > _SAME_SHAPE:
        raise InputError(
            info.source,
            f"frame {index}{name} has another shape: {sizes}",
            "Cut the clip there; what came before is kept",
        )
    report.note(f"frame {index}{name} changes size, {sizes}; scaled to the first")
    return resize_lanczos(rgb_HW3, info.size_hw)
