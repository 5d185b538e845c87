"""Lossless depth video: FFV1, 16-bit grey, one range of depth for all frames.

`<name>.mkv` holds the codes of codes.py; its header (tag `nearfar`) and `<name>.json` beside it say
kind, near, far and camera, so the file stands alone and other programs can read the meaning too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from nearfar.errors import InputError
from nearfar.former_name import under_either_name
from nearfar.result import DepthResult

from ..atomic import atomic_path
from ..depth.metadata import from_json, to_json
from .codes import DepthRange, decode_depth, encode_depth
from .encoder import VideoEncoder, VideoForm
from .picture import load_av

_MEANING = "0 invalid, 65535 sky, else near + (code - 1) / 65533 * (far - near)"


class TimedDepth(NamedTuple):
    """One frame of a depth clip and its time in seconds."""

    time: Fraction
    result: DepthResult


class DepthClipWriter:
    """A depth video that grows by `add`; used in a `with` block, complete or absent at its end."""

    def __init__(
        self,
        target: str | Path,
        *,
        first: DepthResult,
        limits: DepthRange,
        rate: Fraction,
        time_base: Fraction,
    ) -> None:
        self._target, self._limits, self._frames = Path(target), limits, 0
        self._facts = _facts(first, limits)
        form = VideoForm(
            codec="ffv1",
            size_hw=first.size_hw,
            rate=rate,
            time_base=time_base,
            metadata={"nearfar": json.dumps(self._facts)},
        )
        self._encoder = VideoEncoder(self._target, form)

    @property
    def notes(self) -> list[str]:
        """What could not be kept, one line each."""
        return self._encoder.notes

    def __enter__(self) -> Self:
        self._encoder.__enter__()
        return self

    def add(self, result: DepthResult, time: Fraction) -> None:
        """One more frame; depths beyond the range become its ends."""
        self._encoder.add(encode_depth(result, self._limits), time)
        self._frames += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._encoder.__exit__(kind, error, trace)
        if error is None:
            with atomic_path(sidecar(self._target)) as temporary:
                text = json.dumps({**self._facts, "frames": self._frames}, indent=1)
                temporary.write_text(text + "\n", encoding="utf-8")


def sidecar(path: str | Path) -> Path:
    """The JSON file beside a depth video."""
    return Path(path).with_suffix(".json")


def read_depth_clip(path: str | Path) -> Iterator[TimedDepth]:
    """The frames of a depth video written by nearfar, one at a time, with kind, unit and camera.

    The header is asked first, then the JSON beside it. InputError if neither says what it is.
    """
    av = load_av()
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such file", "Check the path")
    try:
        with av.open(str(path)) as container:
            tags = {key.lower(): value for key, value in container.metadata.items()}
            facts = _stored(under_either_name(tags, "nearfar"), path)
            fields = from_json(json.dumps(facts), path)
            limits = DepthRange(float(facts["near"]), float(facts["far"]))
            for frame in container.decode(video=0):
                depth = decode_depth(frame.to_ndarray(), limits)
                result = DepthResult(
                    depth=depth.depth_HW,
                    valid=depth.valid_HW,
                    sky=depth.sky_HW if facts.get("has_sky") else None,
                    **fields,
                )
                yield TimedDepth(frame.pts * frame.time_base, result)
    except (OSError, ValueError, KeyError, TypeError, av.error.FFmpegError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(path, f"is damaged or not a depth video ({error})") from error


def _facts(first: DepthResult, limits: DepthRange) -> dict[str, Any]:
    unit = "metre" if first.is_metric else "relative"
    return {
        **json.loads(to_json(first)),
        "nearfar_depth_video": 1,
        "unit": unit,
        "near": limits.near,
        "far": limits.far,
        "codes": _MEANING,
        "has_sky": first.sky is not None,
    }


def _stored(tag: str | None, path: Path) -> dict[str, Any]:
    """The facts of the header, or of the file beside it."""
    beside = sidecar(path)
    if tag is None and beside.is_file():
        tag = beside.read_text(encoding="utf-8")
    facts = json.loads(tag) if tag else None
    if not isinstance(facts, dict) or under_either_name(facts, "nearfar_depth_video") != 1:
        raise InputError(path, "does not say what its values mean (no nearfar metadata)")
    return facts
