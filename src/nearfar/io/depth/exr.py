"""OpenEXR: channel Z float32, NaN = invalid, +Inf = sky without a depth.

Where present, channels `sky` (0 or 1) and `uncertainty` stand beside Z. The other fields are in the
header as JSON (`nearfar`), kind and model also on their own; the photo is not kept. Programs that
read colors only see nothing of Z: for them `write_with_rgb` repeats it in R, G and B, where every
value is finite: 0 = invalid, 65504 (the largest half float) = sky without a depth.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import InputError, OutputError
from nearfar.extras import load_extra
from nearfar.former_name import under_either_name
from nearfar.result import DepthResult

from ..atomic import atomic_path
from ..silence import decoders_silenced
from .metadata import from_json, to_json

SKY_IN_RGB = 65504.0


def write(result: DepthResult, path: Path) -> None:
    """Write Z and, where present, sky and uncertainty; ZIP compression (lossless)."""
    _write(result, path, {})


def write_with_rgb(result: DepthResult, path: Path) -> None:
    """As `write`, with the map also in R, G and B, finite everywhere."""
    color = np.where(result.valid, result.depth, np.float32(0)).astype(np.float32)
    if result.sky is not None:
        color[result.sky & ~result.valid] = SKY_IN_RGB
    _write(result, path, {"R": color, "G": color, "B": color})


def _write(result: DepthResult, path: Path, channels: dict[str, NDArray[Any]]) -> None:
    exr = load_extra("OpenEXR", package="OpenEXR")
    depth = np.where(result.valid, result.depth, np.float32(np.nan)).astype(np.float32)
    if result.sky is not None:
        depth[result.sky & ~result.valid] = np.inf
    channels = {**channels, "Z": depth}
    if result.sky is not None:
        channels["sky"] = result.sky.astype(np.float16)
    if result.uncertainty is not None:
        channels["uncertainty"] = np.ascontiguousarray(result.uncertainty, np.float32)
    header = {
        "type": exr.scanlineimage,
        "compression": exr.ZIP_COMPRESSION,
        "kind": result.kind.value,
        "model": result.model,
        "nearfar": to_json(result),
    }
    with atomic_path(path) as temporary:
        try:
            exr.File(header, channels).write(str(temporary))
        except RuntimeError as error:
            raise OutputError(path, f"cannot be written ({error})", "Free space") from error


def read(path: Path) -> DepthResult:
    """The result in an EXR written by `write`; InputError for any other."""
    header, channels = _load(path)
    text = under_either_name(header, "nearfar")
    if text is None or "Z" not in channels:
        raise InputError(
            path,
            "does not state unit and kind (no nearfar metadata)",
            "Read foreign files with nearfar.io.read_depth_array",
        )
    depth = channels["Z"].astype(np.float32)
    sky = channels["sky"].astype(np.bool_) if "sky" in channels else None
    uncertainty = channels.get("uncertainty")
    return DepthResult(
        depth=depth,
        valid=np.isfinite(depth),
        sky=sky,
        uncertainty=None if uncertainty is None else uncertainty.astype(np.float32),
        **from_json(str(text), path),
    )


def read_channel(path: Path, names: tuple[str, ...] = ("Z", "Y", "depth")) -> NDArray[np.float32]:
    """The first of these channels [H,W] of any EXR; a sole channel is taken whatever its name."""
    return _pick(_load(path)[1], names, path)


def decode_channel(
    content: bytes, where: str, names: tuple[str, ...] = ("Z", "Y", "depth")
) -> NDArray[np.float32]:
    """`read_channel` for the bytes of an EXR."""
    with tempfile.NamedTemporaryFile(suffix=".exr") as file:  # 3.3 of the library reads paths only
        file.write(content)
        file.flush()
        try:
            channels = _load(Path(file.name))[1]
        except InputError as error:
            raise InputError(where, error.finding, error.remedy) from error
    return _pick(channels, names, where)


def stored_size(path: Path) -> tuple[int, int]:
    """Width and height that the header states; no pixel is read."""
    low, high = _header(path)["dataWindow"]
    return int(high[0] - low[0] + 1), int(high[1] - low[1] + 1)


def load_channels(path: Path) -> dict[str, NDArray[np.generic]]:
    """All channels [H,W] by name; InputError if it is damaged."""
    return _load(path)[1]


def _pick(
    channels: dict[str, NDArray[np.generic]], names: tuple[str, ...], where: str | Path
) -> NDArray[np.float32]:
    for name in names:
        if name in channels:
            return channels[name].astype(np.float32)
    if len(channels) == 1:
        return next(iter(channels.values())).astype(np.float32)
    raise InputError(where, f"has no channel {' or '.join(names)}, only {', '.join(channels)}")


def _header(path: Path) -> dict[str, Any]:
    with _opened(path, header_only=True) as file:
        return dict(file.header())


def _load(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[np.generic]]]:
    """Header and channels."""
    with _opened(path, separate_channels=True) as file:
        pixels = {name: np.array(channel.pixels) for name, channel in file.channels().items()}
        return dict(file.header()), pixels


@contextmanager
def _opened(path: Path, **options: bool) -> Iterator[Any]:
    """The file; whatever is wrong with it is one InputError."""
    exr = load_extra("OpenEXR", package="OpenEXR")
    if not path.is_file():
        raise InputError(path, "no such file")
    try:
        with decoders_silenced(), exr.File(str(path), **options) as file:
            yield file
    except Exception as error:  # the library raises RuntimeError, TypeError or its own on damage
        raise InputError(path, f"is damaged or not an OpenEXR file ({error})") from error
