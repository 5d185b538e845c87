"""NumPy archive with every field of a result under its own name (no pickle).

Arrays: depth, valid and, where present, sky, uncertainty, intrinsics, image. Text and numbers are
arrays without dimensions; absent fields are absent. `nearfar_format` is 1.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from nearfar.errors import InputError
from nearfar.result import DepthResult

from ..atomic import atomic_path
from .metadata import SCALARS, from_json, to_json

_ARRAYS = ("depth", "valid", "sky", "uncertainty", "intrinsics", "image")


def write(result: DepthResult, path: Path) -> None:
    """Write all fields, compressed."""
    contents = {name: result[name] for name in (*_ARRAYS, *SCALARS) if result[name] is not None}
    contents |= {"kind": result.kind.value, "metadata": to_json(result), "nearfar_format": 1}
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **contents)


def read(path: Path) -> DepthResult:
    """The result exactly as it was written; InputError if the archive is damaged or foreign."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            if "metadata" not in archive.files:
                raise InputError(
                    path,
                    f"is not a nearfar archive, it holds {', '.join(archive.files[:6])}",
                    "Read foreign files with nearfar.io.read_depth_array",
                )
            arrays = {name: archive[name] for name in _ARRAYS if name in archive.files}
            fields = from_json(str(archive["metadata"]), path)
        return DepthResult(**{**fields, **arrays})
    except InputError:
        raise
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            path, f"is damaged or not an archive ({error})", "Get a complete copy"
        ) from error
