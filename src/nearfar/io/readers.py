"""Files back into results: same values (to the format's precision), kind and units."""

from __future__ import annotations

from pathlib import Path

from nearfar.errors import InputError
from nearfar.result import DepthResult

from .depth import exr, npz, pfm, png16

READERS = {".exr": exr.read, ".npz": npz.read, ".pfm": pfm.read, ".png": png16.read}


def read_result(path: str | Path) -> DepthResult:
    """The result that `save` wrote into this file (npz, exr, png, pfm).

    Invalid pixels are NaN and not `valid`, whatever the format's own mark. npz gives back every
    field, exr all but the photo, png16 depth (rounded) and origin, pfm depth and kind.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            path, f"cannot read {path.suffix or 'a file without suffix'}", "Use npz, exr, png, pfm"
        )
    if not path.is_file():
        raise InputError(path, "no such file", "Check the path")
    return reader(path)
