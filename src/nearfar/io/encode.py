"""Pictures as bytes, for pages that hold their pictures themselves."""

from __future__ import annotations

import base64
import io
from typing import Literal

import numpy as np
from numpy.typing import NDArray

_MEDIA = {"PNG": "image/png", "JPEG": "image/jpeg"}


def picture_bytes(picture: NDArray[np.uint8], *, form: Literal["PNG", "JPEG"]) -> bytes:
    """The bytes of an 8-bit picture file of an array [H,W] or [H,W,3] (RGB)."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(content, format=form, quality=88)
    return content.getvalue()


def data_url(picture: NDArray[np.uint8], *, form: Literal["PNG", "JPEG"]) -> str:
    """The picture as `data:image/...;base64,...`."""
    text = base64.b64encode(picture_bytes(picture, form=form)).decode("ascii")
    return f"data:{_MEDIA[form]};base64,{text}"
