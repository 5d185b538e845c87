"""Raw depth arrays of any common file, values as stored: for datasets that state their own unit."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import InputError

from .bounded import load_numpy
from .depth.exr import read_channel
from .depth.pfm import read_pfm
from .silence import decoders_silenced

ARRAY_SUFFIXES = (".exr", ".npy", ".npz", ".pfm", ".png", ".tif", ".tiff")


def read_depth_array(path: str | Path) -> NDArray[np.float32]:
    """The values [H,W] float32 exactly as stored, no unit applied, nothing marked invalid.

    PNG and TIFF (8 or 16 bit, TIFF also float), NPY, NPZ (key `depth`, or its only array), EXR
    (channel Z, Y or depth), PFM. InputError if it is unreadable or not one grey plane.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in ARRAY_SUFFIXES:
        raise InputError(
            path, f"unknown depth format {suffix!r}", f"Use {' '.join(ARRAY_SUFFIXES)}"
        )
    if suffix == ".exr":
        return read_channel(path)
    if suffix == ".pfm":
        return read_pfm(path)
    array = _from_numpy(path) if suffix in (".npy", ".npz") else _from_picture(path)
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    if array.ndim != 2 or array.dtype.kind not in "fiu" or array.size == 0:
        raise InputError(path, f"holds {array.dtype} {list(array.shape)}, not one depth map [H,W]")
    return np.ascontiguousarray(array, np.float32)


def decode_picture(content: bytes, where: str) -> NDArray[np.generic]:
    """The values of an encoded PNG, TIFF, PGM, ... as stored: [H,W] or [H,W,channels].

    Palette pictures give their indices. No color conversion, no rotation.
    """
    return _picture(io.BytesIO(content), where, any_mode=True)


def decode_picture_text(content: bytes, where: str) -> dict[str, str]:
    """The text entries of an encoded PNG."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()  # text may come after the pixels
            return {str(k): v for k, v in image.info.items() if isinstance(v, str)}
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        raise InputError(where, f"is damaged or not an image ({error})") from error


def decode_numpy(
    content: bytes, where: str, names: tuple[str, ...] | None = None
) -> dict[str, NDArray[np.generic]]:
    """The arrays of an encoded NPZ by name (or only these), or of an NPY under the name ''."""
    return load_numpy(io.BytesIO(content), where, names)


def _from_numpy(path: Path) -> NDArray[np.generic]:
    found = load_numpy(path, path, ("", "depth")) or load_numpy(path, path)
    if "depth" in found or len(found) == 1:
        return found["depth" if "depth" in found else next(iter(found))]
    raise InputError(path, f"has no array `depth`, only {', '.join([*found][:8])}")


def _from_picture(path: Path) -> NDArray[np.generic]:
    return _picture(path, path, any_mode=False)


def _picture(source: Path | BinaryIO, where: str | Path, *, any_mode: bool) -> NDArray[np.generic]:
    from PIL import Image

    try:
        with decoders_silenced(), Image.open(source) as image:
            image.load()
            if image.mode in ("P", "1") and not any_mode:
                raise InputError(where, f"is a picture of mode {image.mode}, not a depth map")
            return np.array(image)
    except FileNotFoundError as error:
        raise InputError(where, "no such file") from error
    except InputError:
        raise
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        raise InputError(where, f"is damaged or not an image ({error})") from error
