"""NumPy archive with every field of a result under its own name (no pickle).

Arrays: depth, valid and, where present, sky, uncertainty, intrinsics, image. Text and numbers are
arrays without dimensions; absent fields are absent. `nearfar_format` is 1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nearfar.errors import InputError
from nearfar.result import DepthResult

from ..atomic import atomic_path
from ..bounded import load_numpy
from .metadata import SCALARS, from_json, to_json

_DTYPES = {
    "depth": np.dtype(np.float32),
    "valid": np.dtype(np.bool_),
    "sky": np.dtype(np.bool_),
    "uncertainty": np.dtype(np.float32),
    "intrinsics": np.dtype(np.float64),
    "image": np.dtype(np.uint8),
}


def write(result: DepthResult, path: Path) -> None:
    """Write all fields, compressed."""
    contents = {name: result[name] for name in SCALARS if result[name] is not None}
    contents |= {
        name: np.asarray(result[name], dtype)
        for name, dtype in _DTYPES.items()
        if result[name] is not None
    }
    contents |= {"kind": result.kind.value, "metadata": to_json(result), "nearfar_format": 1}
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **contents)


def read(path: Path) -> DepthResult:
    """The result exactly as it was written; InputError if the archive is damaged or foreign."""
    found = load_numpy(path, path, (*_DTYPES, "metadata"))
    if "metadata" not in found:
        raise InputError(
            path,
            "is not a nearfar archive, it states no kind",
            "Read foreign files with nearfar.io.read_depth_array",
        )
    text = found.pop("metadata")
    for name, array in found.items():
        if array.dtype != _DTYPES[name]:
            raise InputError(path, f"holds {name} as {array.dtype}, not {_DTYPES[name]}")
    try:
        return DepthResult(**{**from_json(str(text), path), **found})
    except InputError:
        raise
    except (ValueError, TypeError) as error:  # what is missing, or shapes that differ
        raise InputError(path, f"is damaged ({error})", "Get a complete copy") from error
