"""Portable float map: grey `Pf`, little endian, rows bottom-up, NaN = invalid.

The format has no room for anything else, so the kind stands in the file name (`_depth`: metres,
`_affine_log_depth`: that kind, ...) and camera, sky and origin are not kept.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError, InputError
from nearfar.result import DepthResult

from ..atomic import atomic_path
from .metadata import KIND_SUFFIXES, kind_of_name


def write(result: DepthResult, path: Path) -> None:
    """Write the depth; the name must state the kind (ConfigError otherwise)."""
    if kind_of_name(path) is not result.kind:
        raise ConfigError(
            path.name,
            f"this name does not say that the map is {result.kind}",
            f"End the name in {KIND_SUFFIXES[result.kind]}.pfm, or save npz or exr",
        )
    height, width = result.size_hw
    rows = np.flipud(result.depth).astype("<f4")
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write(f"Pf\n{width} {height}\n-1.0\n".encode())
        file.write(rows.tobytes())


def read(path: Path) -> DepthResult:
    """Depth and kind; InputError if the file is damaged or its name states no kind."""
    kind = kind_of_name(path)
    if kind is None:
        raise InputError(
            path,
            "a PFM states its kind only in its name, and this name states none",
            f"End the name in one of {', '.join(KIND_SUFFIXES.values())}",
        )
    depth = read_pfm(path)
    return DepthResult(depth=depth, valid=np.isfinite(depth), kind=kind)


def read_pfm(path: Path) -> NDArray[np.float32]:
    """The grey values [H,W] of any `Pf` file, top row first."""
    try:
        return decode_pfm(path.read_bytes(), path)
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})") from error


def decode_pfm(content: bytes, where: str | Path) -> NDArray[np.float32]:
    """The grey values [H,W] of the bytes of a `Pf` file, top row first."""
    try:
        magic, width, height, scale = content[:200].split(maxsplit=4)[:4]
        # exactly one white-space byte stands between the scale and the pixels
        start = content.index(scale, len(magic) + len(width) + len(height) + 3) + len(scale) + 1
        shape = (int(height), int(width))
        order = "<f4" if float(scale) < 0 else ">f4"
        pixels = np.frombuffer(content, order, count=shape[0] * shape[1], offset=start)
    except ValueError as error:
        raise InputError(
            where, f"is a damaged or cut PFM ({error})", "Get a complete copy"
        ) from error
    if magic != b"Pf" or min(shape) < 1:
        raise InputError(where, f"is not a grey PFM (it begins with {magic!r})")
    return np.flipud(pixels.reshape(shape)).astype(np.float32)
