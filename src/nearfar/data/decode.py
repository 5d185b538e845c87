"""Bytes of a dataset's files to arrays; every failure is a DataError that names the file.

`where` is what messages call the file (`Store.where`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import DataError, InputError
from nearfar.io.arrays import decode_numpy, decode_picture, decode_picture_text
from nearfar.io.depth.exr import decode_channel
from nearfar.io.depth.pfm import decode_pfm
from nearfar.io.images import decode_rgb

EXR_CHANNELS = ("Y", "Z", "G", "R")


def rgb_of(content: bytes, where: str, *, upright: bool = True) -> NDArray[np.uint8]:
    """The photo [H,W,3], alpha dropped, turned as EXIF says unless `upright` is False."""
    with _as_data_error():
        return decode_rgb(content, where, upright=upright)


def png16_of(content: bytes, where: str) -> NDArray[np.uint16]:
    """The stored values [H,W] of a 16-bit grey PNG, PGM or TIFF; one of 8 bits is refused."""
    values = picture_of(content, where)
    if values.ndim != 2 or values.dtype.itemsize < 2 or values.dtype.kind not in "iu":
        finding = f"holds {values.dtype} {list(values.shape)}, not 16-bit depth [H,W]"
        raise DataError(where, finding, "Something has rewritten this file: get the original")
    if values.dtype != np.uint16 and (values.min() < 0 or values.max() > 65535):
        raise DataError(where, f"values up to {values.max()} do not fit 16 bits")
    return values.astype(np.uint16)


def picture_of(content: bytes, where: str) -> NDArray[Any]:
    """The values of a mask or label picture as stored, [H,W] or [H,W,channels]; never converted."""
    with _as_data_error():
        values = decode_picture(content, where)
    return values.astype(np.uint8) if values.dtype == np.bool_ else values


def picture_text_of(content: bytes, where: str) -> dict[str, str]:
    """The text entries of a PNG."""
    with _as_data_error():
        return decode_picture_text(content, where)


def npy_of(content: bytes, where: str) -> NDArray[Any]:
    """The array of an .npy file."""
    with _as_data_error():
        arrays = decode_numpy(content, where)
    if "" not in arrays:
        raise DataError(where, f"is an archive of {', '.join(arrays)}, not one array")
    return arrays[""]


def npz_of(content: bytes, where: str, names: tuple[str, ...] | None = None) -> dict[str, Any]:
    """The arrays of an .npz file by name; with `names` only those, and all of them."""
    with _as_data_error():
        arrays = decode_numpy(content, where, names)
    for name in names or ():
        if name not in arrays:
            raise DataError(where, f"has no array {name!r}")
    return dict(arrays)


def exr_of(
    content: bytes, where: str, names: tuple[str, ...] = EXR_CHANNELS
) -> NDArray[np.float32]:
    """The only channel of an OpenEXR file, or the first of `names` that it has."""
    with _as_data_error():
        return decode_channel(content, where, names)


def pfm_of(content: bytes, where: str) -> NDArray[np.float32]:
    """The values of a grey PFM, top row first."""
    with _as_data_error():
        return decode_pfm(content, where)


def text_of(content: bytes, where: str) -> str:
    """The text of a file in UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(where, f"is not text ({error.reason})") from error


def json_of(content: bytes, where: str) -> Any:
    """The value of a JSON file."""
    try:
        return json.loads(text_of(content, where))
    except json.JSONDecodeError as error:
        raise DataError(f"{where}:{error.lineno}", f"is not JSON ({error.msg})") from error


def numbers_of(content: bytes, where: str, *, count: int | None = None) -> NDArray[np.float64]:
    """The numbers of a text file (spaces, commas and new lines between), inf and nan included.

    count: how many it must hold.
    """
    words = text_of(content, where).replace(",", " ").split()
    try:
        numbers = np.array([float(word) for word in words], np.float64)
    except ValueError as error:
        raise DataError(where, f"is not a list of numbers ({error})") from error
    if count is not None and len(numbers) != count:
        raise DataError(where, f"has {len(numbers)} numbers, not {count}")
    return numbers


def same_size(depth_HW: NDArray[Any], rgb_HW3: NDArray[Any], where: str) -> None:
    """DataError naming the depth file unless photo and depth have one size."""
    if depth_HW.shape[:2] != rgb_HW3.shape[:2]:
        sizes = f"{list(depth_HW.shape[:2])}, its photo {list(rgb_HW3.shape[:2])}"
        raise DataError(where, f"depth is {sizes}", "They belong to different images or versions")


@contextmanager
def _as_data_error() -> Iterator[None]:
    """An InputError raised inside leaves the block as a DataError."""
    try:
        yield
    except InputError as error:
        raise DataError(error.where, error.finding, error.remedy) from error
