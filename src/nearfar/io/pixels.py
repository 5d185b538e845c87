"""Pixel values of any common type as 8-bit RGB.

uint16 is scaled by 1/257. Floats are display values (not linear light) within 0..1; those of a file
may also lie within 0..255 or 0..65535. What is transparent lies over mid-grey (128).
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import InputError

_LOG = logging.getLogger(__name__)
GREY = 128  # what shows through transparent pixels
_OPAQUE = 128  # alpha from which on a pixel belongs to the picture
_SLACK = 1e-3  # how far beyond 0..1 rounding may lead
_LEAST_8_BIT, _LEAST_16_BIT = 16.0, 4096.0  # the largest value of a picture of those ranges
_12_BIT = 4096  # below it, 16-bit values are likely those of a sensor of 12 bits or fewer
_DARK = 257  # below it, a 16-bit picture would be black whatever it holds


class Pixels(NamedTuple):
    """rgb_HW3: uint8. opaque_HW: False where the picture is transparent, None if it has no alpha"""

    rgb_HW3: NDArray[np.uint8]
    opaque_HW: NDArray[np.bool_] | None = None


def pixels_of_array(array: NDArray[Any]) -> Pixels:
    """The pixels of a photo in memory, a copy: uint8 or uint16 [H,W(,1|3|4)], float [(1|3,)H,W]."""
    shape = list(array.shape)
    if array.size == 0:
        raise InputError("image", f"array {shape} is empty")
    if array.ndim == 4:
        one = "Give image[0]" if shape[0] == 1 else "Give a list of its photos"
        raise InputError("image", f"array {shape} is a batch of {shape[0]}, not one photo", one)
    if array.dtype.kind == "f":
        if array.ndim == 3 and shape[0] not in (1, 3):
            raise InputError(
                "image", f"float array {shape} is not [3,H,W]", "Move channels to the front"
            )
        _refuse_floats(array)
        if array.ndim == 3:
            array = np.moveaxis(array, 0, 2)
        array = np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)
    elif array.dtype == np.uint16:
        array = eight_bits(array, "image")
    elif array.dtype != np.uint8:
        raise InputError(
            "image",
            f"dtype {array.dtype} is not a photo",
            "Use uint8, uint16 or float: image.astype(np.uint8) if its values are 0..255",
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim == 2:
        return Pixels(grey_to_rgb(array))
    if array.ndim == 3 and array.shape[2] == 4:
        return over_grey(array, "image")
    if array.ndim != 3 or array.shape[2] != 3:
        raise InputError("image", f"array {shape} is not [H,W,3]", "Move channels to the end")
    return Pixels(np.array(array, order="C"))  # a camera may write into its buffer again


def over_grey(rgba_HW4: NDArray[np.uint8], where: str) -> Pixels:
    """The picture over mid-grey, and what of it is opaque (alpha of a half or more)."""
    alpha_HW = rgba_HW4[..., 3]
    if alpha_HW.min() == 255:
        return Pixels(np.array(rgba_HW4[..., :3], order="C"))
    opaque_HW = alpha_HW >= _OPAQUE
    require_opaque(opaque_HW, where)
    share_HW = alpha_HW.astype(np.float32) / 255
    return Pixels(laid_over_grey(rgba_HW4[..., :3], share_HW), opaque_HW)


def require_opaque(opaque_HW: NDArray[np.bool_], where: str) -> None:
    """InputError if nothing of a picture is opaque."""
    if not opaque_HW.any():
        raise InputError(
            where, "is transparent everywhere", "Remove its alpha channel if the colors count"
        )


def laid_over_grey(rgb_HW3: NDArray[np.uint8], share_HW: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The picture, of which this share (0..1) covers mid-grey."""
    share_HW1 = share_HW[..., None]
    laid_HW3: NDArray[np.uint8] = np.rint(rgb_HW3 * share_HW1 + GREY * (1 - share_HW1)).astype(
        np.uint8
    )
    return laid_HW3


def srgb_codes(light_HW3: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Linear light (0 black, 1 white, above is cut) by the sRGB curve (IEC 61966-2-1), 8 bits."""
    light_HW3 = light_HW3.clip(0, 1)
    low, high = light_HW3 * 12.92, 1.055 * light_HW3 ** (1 / 2.4) - 0.055
    codes_HW3: NDArray[np.uint8] = np.rint(
        np.where(light_HW3 <= 0.0031308, low, high) * 255
    ).astype(np.uint8)
    return codes_HW3


def eight_bits(values: NDArray[Any], where: str) -> NDArray[np.uint8]:
    """The values of a 16-bit or float picture at 8 bits; NaN is black.

    InputError for floats in none of the usual ranges. Very dark 16-bit pictures get a note.
    """
    if values.dtype.kind == "f":
        known = values[np.isfinite(values)]
        scale = 255.0 / _white(known, where)
    else:
        scale, largest = 1 / 257, int(values.max())
        if _DARK <= largest < _12_BIT:
            _LOG.warning(
                "%s: 16-bit values reach only %d of 65535, the photo is read as that dark; "
                "multiply values of fewer bits first",
                where,
                largest,
            )
    scaled = np.nan_to_num(values.astype(np.float32)) * np.float32(scale)
    levels: NDArray[np.uint8] = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    return levels


def grey_to_rgb(grey_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same picture with three equal channels."""
    return np.repeat(grey_HW[..., None], 3, axis=2)


def _white(known: NDArray[Any], where: str) -> float:
    """The value that is white in a float picture: 1, 255 or 65535."""
    if not known.size:
        raise InputError(where, "holds no finite value", "Give a photo")
    low, high = float(known.min()), float(known.max())
    if low >= -_SLACK:
        if high <= 1 + _SLACK:
            return 1.0
        if _LEAST_8_BIT <= high <= 255.5:
            return 255.0
        if _LEAST_16_BIT <= high <= 65535.5:
            return 65535.0
    raise InputError(
        where,
        f"float values {low:g}..{high:g} are not within 0..1, 0..255 or 0..65535",
        "Scale them to 0..1, or save scene-linear light as EXR",
    )


def _refuse_floats(array: NDArray[Any]) -> None:
    """InputError unless all values are finite and within 0..1."""
    unknown = array.size - int(np.isfinite(array).sum())
    if unknown:
        finding = f"{unknown} float values are NaN or infinite, not within 0..1"
        raise InputError("image", finding, "Fill them first, for example with np.nan_to_num")
    low, high = float(array.min()), float(array.max())
    if low >= -_SLACK and high <= 1 + _SLACK:
        return
    remedy = f"Divide by {255 if high <= 255 else 65535}"
    if low < -_SLACK:
        remedy = "Undo its normalization: 0 is black, 1 is white"
    elif high > 65535 or high < _LEAST_8_BIT:
        remedy = "Scale them so that 1 is white"
    raise InputError("image", f"float values {low:g}..{high:g} are not within 0..1", remedy)
