"""TIFF with three float channels, which Pillow does not open: by FFmpeg, where that is right.

FFmpeg takes 16-bit floats for integers and does not undo the float predictor, so both are refused.
"""

from __future__ import annotations

import io
from typing import Any

from nearfar.errors import InputError

from .linear import CheckSize, decode_by_ffmpeg
from .pixels import Pixels, eight_bits

_WIDTH, _HEIGHT, _BITS, _PREDICTOR, _FORMAT = 256, 257, 258, 317, 339
_FLOAT, _PLAIN = 3, (1, 2)
_BIG = 43  # third byte of a BigTIFF


def decode_float_tiff(content: bytes, where: str, check_size: CheckSize) -> Pixels:
    """The picture; values as `eight_bits` takes them. InputError for any other TIFF."""
    tags = _tags(content)
    bits = set(_several(tags.get(_BITS)))
    if set(_several(tags.get(_FORMAT))) != {_FLOAT} or bits != {32}:
        kind = "16-bit floats" if bits == {16} else "an unusual type"
        finding = f"is a TIFF of {kind}, which is not read"
        raise InputError(where, finding, "Save 16-bit integers, 32-bit floats or EXR")
    if tags.get(_PREDICTOR, 1) not in _PLAIN:
        raise InputError(where, "is a TIFF with a float predictor", "Save it without, or as EXR")
    check_size((int(tags.get(_WIDTH, 0)), int(tags.get(_HEIGHT, 0))))
    return Pixels(eight_bits(decode_by_ffmpeg(content, "tiff_pipe", where), where))


def _tags(content: bytes) -> Any:
    """The tags of the first picture."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    head = content[: 16 if content[2] == _BIG else 8]
    tags = ImageFileDirectory_v2(head)
    file = io.BytesIO(content)
    file.seek(tags.next)
    tags.load(file)
    return tags


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
