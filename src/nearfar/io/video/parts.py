"""Finished stretches of a depth clip on disk: what a broken run keeps and a resumed one builds on.

Each part is a lossless grey video any player shows (`depth_000003.mkv`) and a JSON with time and
range of every frame. The range is kept from frame to frame as long as it fits, so that a part looks
steady too; codes have at least 1/4 of their steps in use.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from nearfar.errors import InputError
from nearfar.result import DepthResult

from ..atomic import atomic_path, ensure_folder
from ..depth.metadata import from_json, to_json
from .codes import DepthRange, decode_depth, encode_depth
from .depth_clip import TimedDepth
from .encoder import VideoEncoder, VideoForm
from .picture import load_av

_RATE = Fraction(25)
_MARGIN, _LEAST_USE = 0.1, 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class PartFrame:
    """What is kept of a frame beside its codes. fields: kind, camera and origin as JSON."""

    time: Fraction
    limits: DepthRange
    has_sky: bool
    fields: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As written into the part's file."""
        return {
            "time": str(self.time),
            "near": self.limits.near,
            "far": self.limits.far,
            "sky": self.has_sky,
            "fields": self.fields,
        }


def part_path(folder: Path, number: int) -> Path:
    """The video of a part."""
    return folder / f"depth_{number:06d}.mkv"


class PartWriter:
    """One part that grows by `add`; in a `with` block, complete or absent at its end.

    limits: the range the part before ended with, None for the first.
    """

    def __init__(
        self, folder: Path, number: int, *, size_hw: tuple[int, int], limits: DepthRange | None
    ) -> None:
        self._path, self.limits = part_path(ensure_folder(folder), number), limits
        self._frames: list[PartFrame] = []
        form = VideoForm(
            codec="ffv1", size_hw=size_hw, rate=_RATE, time_base=1 / _RATE, metadata={}
        )
        self._encoder = VideoEncoder(self._path, form)

    def __enter__(self) -> Self:
        self._encoder.__enter__()
        return self

    def add(self, result: DepthResult, time: Fraction) -> None:
        """One more frame."""
        self.limits = fitting_range(result, self.limits)
        self._encoder.add(encode_depth(result, self.limits), len(self._frames) / _RATE)
        fields = json.loads(to_json(result))
        self._frames.append(
            PartFrame(time=time, limits=self.limits, has_sky=result.sky is not None, fields=fields)
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._encoder.__exit__(kind, error, trace)
        if error is None:
            with atomic_path(self._path.with_suffix(".json")) as temporary:
                rows = [frame.to_json() for frame in self._frames]
                temporary.write_text(json.dumps(rows), encoding="utf-8")


def fitting_range(result: DepthResult, limits: DepthRange | None) -> DepthRange:
    """The range for a map: the given one if it holds the map without waste, else one around it."""
    known = result.depth[result.valid]
    if not known.size:
        return limits or DepthRange(0.0, 1.0)
    low, high = float(known.min()), float(known.max())
    if limits is not None and limits.near <= low and high <= limits.far:
        used = high - low
        if used >= _LEAST_USE * (limits.far - limits.near) or used <= _smallest(high):
            return limits
    margin = max(_MARGIN * (high - low), _smallest(high))
    return DepthRange(low - margin, high + margin)


def read_parts(folder: Path, count: int) -> Iterator[TimedDepth]:
    """The frames of the first `count` parts in order; InputError if one is missing or damaged."""
    av = load_av()
    for number in range(count):
        path = part_path(folder, number)
        try:
            rows = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            with av.open(str(path)) as container:
                frames = container.decode(video=0)
                for row in rows:
                    codes_HW = next(frames).to_ndarray()
                    depth = decode_depth(codes_HW, DepthRange(row["near"], row["far"]))
                    result = DepthResult(
                        depth=depth.depth_HW,
                        valid=depth.valid_HW,
                        sky=depth.sky_HW if row["sky"] else None,
                        **from_json(json.dumps(row["fields"]), path),
                    )
                    yield TimedDepth(Fraction(row["time"]), result)
        except (OSError, ValueError, KeyError, StopIteration, av.error.FFmpegError) as error:
            raise InputError(
                path, f"part is missing or damaged ({error})", "Run again with --overwrite"
            ) from error


def staged_folder(folder: Path) -> Path:
    """Where the files of the clip are made, until all of them move to their places."""
    return folder / ".staged"


def remove_parts(folder: Path) -> None:
    """Remove parts, checkpoint and staged files; what else is in the folder is somebody's own."""
    shutil.rmtree(staged_folder(folder), ignore_errors=True)
    for pattern in ("depth_[0-9]*.mkv", "depth_[0-9]*.json", "state.npz", "overwrite"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def _smallest(value: float) -> float:
    """A width of range that 65533 steps can still divide in float32."""
    return max(1e-3, 1e-3 * abs(value)) if np.isfinite(value) else 1e-3
