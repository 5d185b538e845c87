"""Depth maps of any common format as their files state them, for folders that state the unit.

PNG and PGM of 16 bits (8 bits are refused), TIFF of 16 bits or float, NPY, NPZ (key `depth`, else
its first array), EXR, PFM, logarithmic PNG (`near` and `far` in its text, see moge_eval.py), and
the millimetre PNG that Nearfar writes.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.data.decode import (
    exr_of,
    npy_of,
    npz_of,
    pfm_of,
    picture_of,
    picture_text_of,
    png16_of,
)
from nearfar.errors import DataError
from nearfar.former_name import under_either_name
from nearfar.io.exif import turned

from .moge_eval import log_depth_of

DEPTH_SUFFIXES = (".exr", ".npy", ".npz", ".pfm", ".pgm", ".png", ".tif", ".tiff")
_MILLIMETRES = 1000.0
UNITS_PER_METRE = {"m": 1.0, "cm": 100.0, "mm": 1000.0}
_USUAL_MEDIANS_M = (0.05, 500.0)


class StoredDepth(NamedTuple):
    """values_HW: float64 as stored; known_HW: finite, and not the format's own code for unknown.

    sky_HW: only where the format tells it. units_per_metre: what the file says of its unit, None
    if it says nothing. is_integer: values are codes, so that a unit must come from elsewhere.
    """

    values_HW: NDArray[np.float64]
    known_HW: NDArray[np.bool_]
    sky_HW: NDArray[np.bool_] | None = None
    units_per_metre: float | None = None
    is_integer: bool = False


def stored_depth(content: bytes, name: str, where: str) -> StoredDepth:
    """The map in a file, by the suffix of its name."""
    suffix = f".{name.rpartition('.')[2].lower()}"
    if suffix not in DEPTH_SUFFIXES:
        finding = f"unknown depth format {suffix!r}"
        raise DataError(where, finding, f"Use {' '.join(DEPTH_SUFFIXES)}")
    if suffix == ".png":
        return _png(content, where)
    if suffix == ".npy":
        values = npy_of(content, where)
    elif suffix == ".npz":
        arrays = npz_of(content, where)
        if not arrays:
            raise DataError(where, "is an empty archive")
        values = arrays["depth"] if "depth" in arrays else next(iter(arrays.values()))
    elif suffix == ".exr":
        values = exr_of(content, where, ("Z", "Y", "depth", "G", "R"))
    elif suffix == ".pfm":
        values = pfm_of(content, where)
    else:
        values = picture_of(content, where)
        if values.dtype.kind in "iu":
            values = png16_of(content, where)
    return _plain(values, where)


def units_of(stated: Any, where: str) -> float | None:
    """Stored units per metre of a column `unit`: m, cm, mm or a number; None where it is empty."""
    if stated is None or stated == "":
        return None
    if stated in UNITS_PER_METRE:
        return UNITS_PER_METRE[stated]
    try:
        units = float(stated)
    except (TypeError, ValueError):
        units = math.nan
    if not (math.isfinite(units) and units > 0):
        raise DataError(where, f"unit {stated!r} is unknown", "Use m, cm, mm or units per metre")
    return units


def require_usual_metres(known_m: NDArray[Any], unit: Any, where: str, name: str) -> None:
    """DataError if the median of a map's metres speaks of another unit.

    unit: as stated; a number of units per metre is taken as it is.
    """
    median = float(np.median(known_m)) if known_m.size else 1.0
    low, high = _USUAL_MEDIANS_M
    if low <= median <= high or not (unit in (None, "") or unit in UNITS_PER_METRE):
        return
    finding = f"{name}: its median depth would be {median:.4g} m, not {low:g} to {high:g}"
    remedy = "State its unit: mm, cm, m, or a number of units per metre"
    raise DataError(where, finding, remedy)


def upright_like(
    stored_HW: NDArray[Any], orientation: int, photo_hw: tuple[int, int]
) -> NDArray[Any]:
    """A depth map or mask turned as its photo was, unless its shape says that it is upright.

    orientation: of the photo's EXIF; photo_hw: its size when upright. A map has no EXIF, and
    cameras store it like the photo's pixels; where both ways fit, that is how it is taken.
    """
    if orientation == 1:
        return stored_HW
    height, width = stored_HW.shape[:2]
    upright = photo_hw[1] / photo_hw[0]
    pixels = 1 / upright if orientation >= 5 else upright
    if abs(width / height / pixels - 1) > abs(width / height / upright - 1):
        return stored_HW
    return turned(stored_HW, orientation)


def _png(content: bytes, where: str) -> StoredDepth:
    text = picture_text_of(content, where)
    if under_either_name(text, "nearfar") is not None:
        if text.get("unit") != "millimetre":
            finding = f"is a normalized map of kind {text.get('kind', 'unknown')}, not metres"
            raise DataError(where, finding, "Save npz or exr, or a metric map")
        return _plain(png16_of(content, where), where)._replace(units_per_metre=_MILLIMETRES)
    if "near" in text and "far" in text:
        decoded = log_depth_of(content, where)
        return StoredDepth(decoded.depth_HW, decoded.valid_HW, decoded.infinite_HW, 1.0)
    return _plain(png16_of(content, where), where)


def _plain(values: NDArray[Any], where: str) -> StoredDepth:
    """One plane of numbers; 0 of integers is unknown."""
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        values = values[0] if values.shape[0] == 1 else values[..., 0]
    if values.ndim != 2 or values.dtype.kind not in "fiu" or values.size == 0:
        raise DataError(where, f"holds {values.dtype} {list(values.shape)}, not depth [H,W]")
    is_integer = values.dtype.kind in "iu"
    if values.dtype.itemsize == 1:
        raise DataError(where, "holds 8-bit depth", "Store 16 bits, or floating-point metres")
    known = np.isfinite(values) & ((values != 0) | (not is_integer))
    return StoredDepth(values.astype(np.float64), known, is_integer=is_integer)
