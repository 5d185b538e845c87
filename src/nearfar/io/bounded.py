"""NumPy files read within a bound: what a header claims is checked before memory is taken.

A few kilobytes can claim an array of any size, and a zip unpack to a thousand times its own.
"""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from nearfar.errors import InputError, ResourceError

MAX_ARRAY_BYTES = 2 << 30  # of all arrays of one file together
_UNPACKED_BY_US = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others take memory of their own


def load_numpy(
    source: Path | BinaryIO, where: object, names: Collection[str] | None = None
) -> dict[str, NDArray[np.generic]]:
    """The arrays of an NPZ by name (or only these), or of an NPY under the name ''.

    InputError if it is damaged, holds objects, or less than it claims; ResourceError if its arrays
    would take more than 2 GB.
    """
    try:
        if isinstance(source, Path):
            with source.open("rb") as stream:
                return _load(stream, where, names)
        return _load(source, where, names)
    except (InputError, ResourceError):
        raise
    except FileNotFoundError as error:
        raise InputError(where, "no such file") from error
    except Exception as error:  # numpy and zipfile raise nearly anything on damaged bytes
        raise InputError(
            where, f"is damaged or holds objects ({error})", "Get a complete copy"
        ) from error


def require_bytes(count: int, where: object) -> None:
    """ResourceError if reading would take more than the bound."""
    if count > MAX_ARRAY_BYTES:
        raise ResourceError(
            where,
            f"would take {count / 1e9:.1f} GB of memory, the limit is {MAX_ARRAY_BYTES / 1e9:.1f}",
            "Split it into smaller files",
        )


def _load(
    stream: BinaryIO, where: object, names: Collection[str] | None
) -> dict[str, NDArray[np.generic]]:
    size = stream.seek(0, 2)
    stream.seek(0)
    if stream.read(4)[:2] != b"PK":
        stream.seek(0)
        return {"": _read(stream, size, where)}
    with zipfile.ZipFile(stream) as archive:
        wanted = [i for i in archive.infolist() if names is None or _bare(i.filename) in names]
        require_bytes(sum(info.file_size for info in wanted), where)
        arrays = {}
        for info in wanted:
            if info.compress_type not in _UNPACKED_BY_US:
                raise InputError(where, f"{info.filename} is packed as numpy does not pack")
            with archive.open(info) as member:
                arrays[_bare(info.filename)] = _read(member, info.file_size, where)
    return arrays


def _read(stream: IO[bytes], size: int, where: object) -> NDArray[np.generic]:
    """One array of a stream of `size` bytes that begins with its header."""
    version = npy.read_magic(stream)
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = header(stream)
    count = dtype.itemsize
    for side in shape:
        count *= int(side)
    require_bytes(count, where)
    if count > size:
        raise InputError(where, f"claims {count} bytes and holds {size}", "Get a complete copy")
    stream.seek(0)
    found: NDArray[np.generic] = npy.read_array(stream, allow_pickle=False)
    return found


def _bare(name: str) -> str:
    return name.removesuffix(".npy")
