"""What a photo's EXIF states of its camera: orientation, and the focal length where it agrees.

The focal length is stated in two ways: as 35 mm equivalent (by the diagonal), and in millimetres
beside the focal-plane resolution. What is absurd, disagrees, or belongs to another crop of the
photo is ignored with a note.
"""

from __future__ import annotations

import io
import logging
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nearfar.geometry.camera import focal_from_exif_35mm, fov_from_focal

if TYPE_CHECKING:
    from PIL.Image import Exif

_LOG = logging.getLogger(__name__)
_FOLDER, _ORIENTATION = 0x8769, 0x0112
# orientation -> mirrored left to right first, then quarter turns against the clock
_TURNS = {
    **{1: (False, 0), 2: (True, 0), 3: (False, 2), 4: (True, 2)},
    **{5: (True, 1), 6: (False, 3), 7: (True, 3), 8: (False, 1)},
}
_FOCAL, _FOCAL_35MM = 0x920A, 0xA405
_PLANE_X, _PLANE_Y, _PLANE_UNIT = 0xA20E, 0xA20F, 0xA210
_WIDTH, _HEIGHT = 0xA002, 0xA003
_MM_PER_UNIT = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
_FOCALS_35MM = (5.0, 4000.0)  # from the widest fisheye to the longest zoom
_FOCALS_MM = (0.5, 2000.0)
_CROP_FACTORS = (0.3, 20.0)  # of sensors from large format to the smallest phones'
_SENSOR_SIDES_MM = (1.5, 80.0)
_AGREE = 1.25  # ratio up to which two statements are one
_SAME_ASPECT = 0.02


def focal_px_of(exif: Exif, size_hw: tuple[int, int], where: str) -> float | None:
    """The focal length in pixels of the upright photo of that size; None, and a note, if unclear.

    Raises whatever broken EXIF makes Pillow raise.
    """
    tags = exif.get_ifd(_FOLDER)
    focal_mm, focal_35mm = _number(tags.get(_FOCAL)), _number(tags.get(_FOCAL_35MM))
    stated_wh = _number(tags.get(_WIDTH)), _number(tags.get(_HEIGHT))
    if focal_mm <= 0 and focal_35mm <= 0:
        return None
    fault, found = "", []
    if focal_35mm > 0:
        fault = _fault_of_35mm(focal_35mm, focal_mm)
        if not fault:
            found.append(focal_from_exif_35mm(focal_35mm, size_hw))
    per_mm = _pixels_per_mm(tags)
    if focal_mm > 0 and per_mm > 0:
        side_mm = (stated_wh[0] or max(size_hw)) / per_mm
        if not (_within(side_mm, _SENSOR_SIDES_MM) and _within(focal_mm, _FOCALS_MM)):
            fault = fault or f"{focal_mm:g} mm before a sensor {side_mm:.3g} mm wide"
        else:
            shrink = max(size_hw) / max(stated_wh) if min(stated_wh) > 0 else 1.0
            found.append(focal_mm * per_mm * shrink)
    if found and _is_cropped(stated_wh, size_hw):
        fault, found = "for a photo of another shape", []
    elif len(found) == 2 and not 1 / _AGREE <= found[0] / found[1] <= _AGREE:
        degrees = " and ".join(f"{fov_from_focal(focal, size_hw):.1f}" for focal in found)
        fault, found = f"as {degrees} degrees", []
    if not found and fault:
        _LOG.warning("%s: EXIF states a focal length %s: ignored", where, fault)
    return found[0] if found else None


def orientation_of(content: bytes) -> int:
    """The EXIF orientation (1 to 8) of an encoded photo; 1 where it states none that is known."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            stated = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # whoever decodes the photo says what is wrong with it
        return 1
    return stated if stated in _TURNS else 1


def turned(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """An array [H,W,...] stored like the pixels of a photo, upright as `orientation` says."""
    flipped, quarters = _TURNS[orientation]
    upright = np.rot90(array[:, ::-1] if flipped else array, quarters)
    return np.ascontiguousarray(upright)


def _fault_of_35mm(focal_35mm: float, focal_mm: float) -> str:
    """What is absurd about the 35 mm equivalent, '' if nothing."""
    if not _within(focal_35mm, _FOCALS_35MM):
        return f"like {focal_35mm:g} mm on film"
    if focal_mm > 0 and not _within(focal_35mm / focal_mm, _CROP_FACTORS):
        return f"of {focal_mm:g} mm like {focal_35mm:g} mm on film"
    return ""


def _pixels_per_mm(tags: dict[int, Any]) -> float:
    """Pixels of the stated width per millimetre of the sensor, 0 where it is not stated."""
    stated = _number(tags.get(_PLANE_X)) or _number(tags.get(_PLANE_Y))
    unit = tags.get(_PLANE_UNIT, 2)
    return stated / _MM_PER_UNIT[unit] if unit in _MM_PER_UNIT and stated > 0 else 0.0


def _is_cropped(stated_wh: tuple[float, float], size_hw: tuple[int, int]) -> bool:
    """Whether the photo has another shape than its camera gave it."""
    if min(stated_wh) <= 0:
        return False
    stated, has = max(stated_wh) / min(stated_wh), max(size_hw) / min(size_hw)
    return abs(stated / has - 1) > max(_SAME_ASPECT, 1 / min(size_hw))


def _number(value: Any) -> float:
    """A tag's value as a number, 0 for anything that is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return number if math.isfinite(number) else 0.0


def _within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]
