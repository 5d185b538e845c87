"""Photos in: any common file or array becomes 8-bit sRGB, upright. Pictures out: PNG.

How unusual photos are read: 16-bit and float values as pixels.py says; linear light (EXR, HDR) by
the tone curve of linear.py; colors by their ICC profile (profiles.py), CMYK without one as Pillow
converts it; transparent pixels lie over mid-grey (128) and are marked; EXIF orientation is applied;
of an animation the first frame is taken (and logged).
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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import InputError, NearfarError, ResourceError
from nearfar.extras import load_extra

from .atomic import atomic_path
from .exif import focal_px_of
from .fetch import fetch_bytes
from .float_tiff import decode_float_tiff
from .foreign import is_raw_name, name_of
from .linear import EXR_MAGIC, HDR_MAGICS, decode_exr, decode_hdr
from .pixels import Pixels, eight_bits, grey_to_rgb, over_grey, pixels_of_array
from .profiles import to_srgb
from .silence import decoders_silenced

if TYPE_CHECKING:
    from PIL.Image import Image

_LOG = logging.getLogger(__name__)

DEFAULT_MAX_PIXELS = 120_000_000
_TOLD_ABOVE = 32_000_000  # pixels
_BYTES_A_PIXEL = 45  # at the peak of predicting and saving: docs/reliability.md
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_TIFF_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_DNG_VERSION, _SUBFILE_TYPE, _SUB_IFDS = 0xC612, 0xFE, 0x14A


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Photo:
    """rgb_HW3: uint8 sRGB, upright. focal_px: from EXIF in pixels of this photo, or None.

    opaque_HW: False where the photo is transparent (there it is mid-grey), None without alpha.
    path: file, URL, '-', or '' for a photo from memory. sha256: of the file's bytes, or of the
    pixels for a photo from memory.
    """

    rgb_HW3: NDArray[np.uint8]
    opaque_HW: NDArray[np.bool_] | None = None
    focal_px: float | None = None
    path: str = ""
    sha256: str = ""


def read_image(source: str | Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Photo:
    """The photo of a file, an http(s) URL, or '-' for standard input.

    InputError if it cannot be read or decoded completely; ResourceError if its header promises
    more than `max_pixels` (checked before any pixel is decoded).
    """
    return decode_photo(fetch_bytes(source), str(source), max_pixels=max_pixels)


def decode_photo(content: bytes, path: str, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Photo:
    """The photo in the bytes of a file; errors as `read_image`."""
    pixels, focal_px = _decode(content, path, max_pixels)
    return Photo(
        rgb_HW3=pixels.rgb_HW3,
        opaque_HW=pixels.opaque_HW,
        focal_px=focal_px,
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def to_photo(source: Any, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Photo:
    """The photo of anything `predict` takes.

    Path or URL; Photo; PIL image; uint8 or uint16 array [H,W], [H,W,1|3|4]; float array or tensor
    [1|3,H,W] or [H,W] with values 0..1. Pixels from memory are copied once, so the photo stays as
    it is when its buffer is used again. InputError says what does not fit.
    """
    if isinstance(source, Photo):
        return source if source.path else replace(source, rgb_HW3=source.rgb_HW3.copy())
    if isinstance(source, (str, Path)):
        return read_image(source, max_pixels=max_pixels)
    pil, torch = sys.modules.get("PIL.Image"), sys.modules.get("torch")
    focal_px = None
    if pil is not None and isinstance(source, pil.Image):
        _check_size(source.size, "image", max_pixels)
        with _one_error("image", max_pixels):
            pixels, focal_px = _decode_opened(source, "image")
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
        pixels = pixels_of_array(source)
    rgb_HW3, opaque_HW = pixels
    digest = hashlib.sha256(str(rgb_HW3.shape).encode() + rgb_HW3.tobytes()).hexdigest()
    return Photo(rgb_HW3=rgb_HW3, opaque_HW=opaque_HW, focal_px=focal_px, sha256=digest)


def decode_rgb(
    content: bytes, where: str, *, upright: bool = True, max_pixels: int = DEFAULT_MAX_PIXELS
) -> NDArray[np.uint8]:
    """The pixels [H,W,3] of an encoded photo of a dataset; transparency is dropped, not blended.

    upright: turn as EXIF says. 16-bit values are scaled to 8.
    """
    from PIL import ImageOps

    with _one_error(where, max_pixels), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _opened(content) as image:
            _check_size(image.size, where, max_pixels)
            _load(image)
            turned = ImageOps.exif_transpose(image) if upright else image
            if turned.mode.startswith("I") or turned.mode == "F":
                return grey_to_rgb(eight_bits(np.asarray(turned), where))
            return np.array(turned.convert("RGB"))


def write_picture(rgb_HW3: NDArray[np.uint8], path: str | Path) -> None:
    """Write an 8-bit PNG, whole or not at all."""
    from PIL import Image

    with atomic_path(path) as temporary:
        Image.fromarray(np.ascontiguousarray(rgb_HW3)).save(temporary, format="PNG")


class _Decoded(NamedTuple):
    pixels: Pixels
    focal_px: float | None = None


def _decode(content: bytes, where: str, max_pixels: int) -> _Decoded:
    """Pixels and focal length of an encoded photo."""
    from PIL import UnidentifiedImageError

    def check(size_wh: tuple[int, int]) -> None:
        _check_size(size_wh, where, max_pixels)

    if content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS:
        load_extra("pillow_heif", extra="heif").register_heif_opener()
    with _one_error(where, max_pixels, content), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large photos and odd EXIF
        if content.startswith(EXR_MAGIC):
            return _Decoded(decode_exr(content, where, check))
        if content.startswith(HDR_MAGICS):
            return _Decoded(decode_hdr(content, where, check))
        try:
            image = _opened(content)
        except UnidentifiedImageError:
            if not content.startswith(_TIFF_BEGINNINGS) or name_of(content, where) is not None:
                raise
            return _Decoded(decode_float_tiff(content, where, check))
        with image:
            _check_size(image.size, where, max_pixels)
            _tell_need(image.size, where)
            return _decode_opened(image, where)


def _decode_opened(image: Image, where: str) -> _Decoded:
    """Pixels and focal length of an opened photo, upright."""
    from PIL import ImageOps

    tags = getattr(image, "tag_v2", {})
    is_preview = bool(tags.get(_SUBFILE_TYPE, 0) & 1) and _SUB_IFDS in tags
    if is_raw_name(where) or _DNG_VERSION in tags or is_preview:
        raise InputError(
            where, "is a camera RAW file, not a photo", "Develop it to JPEG or 16-bit TIFF"
        )
    if getattr(image, "is_animated", False) and image.format != "MPO":
        _LOG.warning("%s: animated, the first of its frames is used", where)
    _load(image)
    upright, focal_px = image, None
    try:  # EXIF is free-form bytes of the camera; the pixels are what counts
        upright = ImageOps.exif_transpose(image) or image
        size_hw = upright.size[1], upright.size[0]
        focal_px = focal_px_of(image.getexif(), size_hw, where)
    except Exception as error:
        _LOG.warning("%s: EXIF cannot be read (%s)", where, error)
    return _Decoded(_pixels_of_pil(upright, image.info.get("icc_profile"), where), focal_px)


def _opened(content: bytes) -> Image:
    """The picture in the bytes, opened by Pillow."""
    from PIL import Image

    with decoders_silenced():
        return Image.open(io.BytesIO(content))


def _load(image: Image) -> None:
    """Decode the pixels; nothing of ours is said meanwhile."""
    with decoders_silenced():
        image.load()


@contextmanager
def _one_error(where: str, max_pixels: int, content: bytes = b"") -> Iterator[None]:
    """Whatever decoding raises inside the block leaves it as one InputError or ResourceError."""
    from PIL import Image, UnidentifiedImageError

    try:
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
        known = name_of(content, where)
        finding, remedy = "is not an image of a known format", "Give a JPEG, PNG, WebP, TIFF, ..."
        if known is not None:
            finding, remedy = f"is {known.name}, not a photo", known.remedy
        raise InputError(where, finding, remedy) from error
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        raise InputError(
            where, f"is damaged or cut short ({error})", "Get a complete copy"
        ) from error


def _pixels_of_pil(image: Image, profile: bytes | None, where: str) -> Pixels:
    """Pixels of a picture of any mode, by its color profile."""
    from PIL import Image as Pillow

    mode = image.mode
    if mode.startswith("I") or mode == "F":
        image = Pillow.fromarray(eight_bits(np.asarray(image), where))
    elif mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        opaque = rgba.convert("L" if mode in ("L", "LA", "La") else "RGB")
        turned = to_srgb(opaque, profile, where)
        turned.putalpha(rgba.getchannel("A"))
        return over_grey(np.asarray(turned), where)
    elif mode not in ("RGB", "L", "CMYK", "LAB"):
        image = image.convert("L" if mode == "1" else "RGB")
    return Pixels(np.array(to_srgb(image, profile, where)))


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
