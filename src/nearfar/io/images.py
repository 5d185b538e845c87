"""Photos in: any common file or array becomes 8-bit RGB, upright. Pictures out: PNG.

How unusual photos are read: 16-bit values are scaled to 8; grey and palette become RGB; CMYK is
converted without profile; transparent pixels are laid over mid-grey (128); EXIF orientation is
applied; of an animation the first frame is taken (and logged).
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import InputError, NearfarError, ResourceError
from nearfar.extras import load_extra
from nearfar.geometry.camera import focal_from_exif_35mm

from .atomic import atomic_path
from .fetch import fetch_bytes
from .silence import decoders_silenced

if TYPE_CHECKING:
    from PIL.Image import Image

_LOG = logging.getLogger(__name__)

DEFAULT_MAX_PIXELS = 120_000_000
_TOLD_ABOVE = 32_000_000  # pixels
_BYTES_A_PIXEL = 45  # at the peak of predicting and saving: docs/reliability.md
_GREY = 128  # what shows through transparent pixels
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_EXIF_FOLDER, _EXIF_FOCAL_35MM = 0x8769, 0xA405


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Photo:
    """rgb_HW3: uint8, upright. focal_px: from EXIF in pixels of this photo, or None.

    path: file, URL, '-', or '' for a photo from memory. sha256: of the file's bytes, or of the
    pixels for a photo from memory.
    """

    rgb_HW3: NDArray[np.uint8]
    focal_px: float | None = None
    path: str = ""
    sha256: str = ""


def read_image(source: str | Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Photo:
    """The photo of a file, an http(s) URL, or '-' for standard input.

    InputError if it cannot be read or decoded completely; ResourceError if its header promises
    more than `max_pixels` (checked before any pixel is decoded).
    """
    content = fetch_bytes(source)
    rgb_HW3, focal_px = _decode(content, str(source), max_pixels)
    return Photo(
        rgb_HW3=rgb_HW3,
        focal_px=focal_px,
        path=str(source),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def to_photo(source: Any, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Photo:
    """The photo of anything `predict` takes.

    Path or URL; Photo; PIL image; uint8 or uint16 array [H,W], [H,W,1|3|4]; float array or tensor
    [1|3,H,W] or [H,W] with values 0..1. InputError says what does not fit.
    """
    if isinstance(source, Photo):
        return source
    if isinstance(source, (str, Path)):
        return read_image(source, max_pixels=max_pixels)
    pil, torch = sys.modules.get("PIL.Image"), sys.modules.get("torch")
    focal_px = None
    if pil is not None and isinstance(source, pil.Image):
        _check_size(source.size, "image", max_pixels)
        with _one_error("image", max_pixels):
            rgb_HW3, focal_px = _decode_opened(source, "image")
    else:
        if torch is not None and isinstance(source, torch.Tensor):
            source = source.detach().cpu()
            source = (source.float() if source.is_floating_point() else source).numpy()
        if not isinstance(source, np.ndarray):
            raise InputError(
                "image",
                f"{type(source).__name__} is not a photo",
                "Give a path, PIL image, uint8 [H,W,3] array or float [3,H,W] array",
            )
        _check_size(
            source.shape[-2:] if source.dtype.kind == "f" else source.shape[:2], "image", max_pixels
        )
        rgb_HW3 = _rgb_of_array(source)
    digest = hashlib.sha256(str(rgb_HW3.shape).encode() + rgb_HW3.tobytes()).hexdigest()
    return Photo(rgb_HW3=rgb_HW3, focal_px=focal_px, sha256=digest)


def decode_rgb(
    content: bytes, where: str, *, upright: bool = True, max_pixels: int = DEFAULT_MAX_PIXELS
) -> NDArray[np.uint8]:
    """The pixels [H,W,3] of an encoded photo of a dataset; transparency is dropped, not blended.

    upright: turn as EXIF says. 16-bit values are scaled to 8.
    """
    from PIL import Image, ImageOps

    with _one_error(where, max_pixels), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(content)) as image:
            _check_size(image.size, where, max_pixels)
            image.load()
            turned = ImageOps.exif_transpose(image) if upright else image
            if turned.mode.startswith("I") or turned.mode == "F":
                return _rgb_of_pil(turned)
            return np.array(turned.convert("RGB"))


def write_picture(rgb_HW3: NDArray[np.uint8], path: str | Path) -> None:
    """Write an 8-bit PNG, whole or not at all."""
    from PIL import Image

    with atomic_path(path) as temporary:
        Image.fromarray(np.ascontiguousarray(rgb_HW3)).save(temporary, format="PNG")


class _Upright(NamedTuple):
    image: Image
    focal_35mm: float | None


class _Decoded(NamedTuple):
    rgb_HW3: NDArray[np.uint8]
    focal_px: float | None


def _decode(content: bytes, where: str, max_pixels: int) -> _Decoded:
    """Pixels and focal length of an encoded photo."""
    from PIL import Image

    if content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS:
        load_extra("pillow_heif", extra="heif").register_heif_opener()
    with _one_error(where, max_pixels), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large photos and odd EXIF
        with Image.open(io.BytesIO(content)) as image:
            _check_size(image.size, where, max_pixels)
            _tell_need(image.size, where)
            return _decode_opened(image, where)


def _decode_opened(image: Image, where: str) -> _Decoded:
    """Pixels and focal length of an opened photo, upright."""
    if getattr(image, "is_animated", False) and image.format != "MPO":
        _LOG.warning("%s: animated, the first of its frames is used", where)
    image.load()
    upright, focal_35mm = _apply_exif(image, where)
    rgb_HW3 = _rgb_of_pil(upright)
    focal_px = None
    if focal_35mm is not None:
        focal_px = focal_from_exif_35mm(focal_35mm, (rgb_HW3.shape[0], rgb_HW3.shape[1]))
    return _Decoded(rgb_HW3, focal_px)


@contextmanager
def _one_error(where: str, max_pixels: int) -> Iterator[None]:
    """Whatever decoding raises inside the block leaves it as one InputError or ResourceError."""
    from PIL import Image, UnidentifiedImageError

    try:
        with decoders_silenced():
            yield
    except NearfarError:
        raise
    except Image.DecompressionBombError as error:
        number = re.search(r"\d+", str(error))
        finding = f"{number[0]} pixels" if number else "too many pixels"
        raise _too_large(where, finding, max_pixels) from error
    except MemoryError as error:
        raise ResourceError(where, "does not fit into memory", "Make the photo smaller") from error
    except UnidentifiedImageError as error:
        raise InputError(
            where, "is not an image of a known format", "Give a JPEG, PNG, WebP, TIFF, ..."
        ) from error
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        raise InputError(
            where, f"is damaged or cut short ({error})", "Get a complete copy"
        ) from error


def _apply_exif(image: Image, where: str) -> _Upright:
    """The upright image and the 35 mm focal length; damaged EXIF is ignored and logged."""
    from PIL import ImageOps

    try:
        focal = float(image.getexif().get_ifd(_EXIF_FOLDER).get(_EXIF_FOCAL_35MM) or 0)
        upright = ImageOps.exif_transpose(image) or image
    except Exception as error:  # EXIF is free-form bytes of the camera; the pixels are what counts
        _LOG.warning("%s: EXIF cannot be read (%s)", where, error)
        return _Upright(image, None)
    return _Upright(upright, focal if 0 < focal < 10_000 else None)


def _rgb_of_pil(image: Image) -> NDArray[np.uint8]:
    """Pixels [H,W,3] uint8 of any mode."""
    from PIL import Image as Pillow

    mode = image.mode
    if mode.startswith("I") or mode == "F":
        return _grey_to_rgb(_eight_bits(np.asarray(image)))
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        paper = Pillow.new("RGBA", image.size, (_GREY, _GREY, _GREY, 255))
        image = Pillow.alpha_composite(paper, image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def _rgb_of_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Pixels [H,W,3] uint8 of a photo in memory."""
    shape, is_float = array.shape, array.dtype.kind == "f"
    if array.size == 0:
        raise InputError("image", f"array {list(shape)} is empty")
    if is_float:
        if array.ndim == 3 and shape[0] not in (1, 3):
            raise InputError(
                "image", f"float array {list(shape)} is not [3,H,W]", "Move channels to the front"
            )
        low, high = float(array.min()), float(array.max())
        if not (low >= -1e-3 and high <= 1 + 1e-3):  # also false for NaN
            raise InputError(
                "image", f"float values {low:g}..{high:g} are not within 0..1", "Divide by 255"
            )
        if array.ndim == 3:
            array = np.moveaxis(array, 0, 2)
        array = np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)
    elif array.dtype == np.uint16:
        array = _eight_bits(array)
    elif array.dtype != np.uint8:
        raise InputError(
            "image", f"dtype {array.dtype} is not a photo", "Use uint8, uint16 or float"
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim == 2:
        return _grey_to_rgb(array)
    if array.ndim == 3 and array.shape[2] == 4:
        alpha = array[..., 3:].astype(np.float32) / 255
        array = np.rint(array[..., :3] * alpha + _GREY * (1 - alpha)).astype(np.uint8)
    if array.ndim != 3 or array.shape[2] != 3:
        raise InputError("image", f"array {list(shape)} is not [H,W,3]", "Move channels to the end")
    return np.ascontiguousarray(array)


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """16-bit values scaled by 1/257; float values are taken as 0..1 or, if larger, as 16-bit."""
    is_float = values.dtype.kind == "f"
    values = np.nan_to_num(values.astype(np.float32))
    scale = np.float32(255 if is_float and values.max() <= 1 else 1 / 257)
    return np.rint(np.clip(values * scale, 0, 255)).astype(np.uint8)


def _grey_to_rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[..., None], 3, axis=2)


def _check_size(size: tuple[int, ...], where: str, max_pixels: int) -> None:
    if len(size) == 2 and size[0] * size[1] > max_pixels:
        raise _too_large(where, f"{size[0]} x {size[1]} pixels", max_pixels)


def _tell_need(size: tuple[int, int], where: str) -> None:
    """Say what a large photo will need, before any of its pixels is decoded."""
    pixels = size[0] * size[1]
    if pixels > _TOLD_ABOVE:
        _LOG.warning(
            "%s: %.0f megapixels, depth of it needs about %.1f GB of memory",
            where,
            pixels / 1e6,
            pixels * _BYTES_A_PIXEL / 1e9,
        )


def _too_large(where: str, finding: str, max_pixels: int) -> ResourceError:
    return ResourceError(
        where,
        f"{finding}, the limit is {max_pixels}",
        "Make the photo smaller or raise NEARFAR_MAX_PIXELS (up to 178 million)",
    )
