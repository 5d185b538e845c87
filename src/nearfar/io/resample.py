"""Photos at another size by Pillow's Lanczos filter, bit for bit as published pipelines do it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import InputError


def resize_lanczos(rgb_HW3: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """The 8-bit photo at another size (height, width): Lanczos-3 with antialias."""
    from PIL import Image

    if rgb_HW3.dtype != np.uint8 or rgb_HW3.ndim != 3 or min(size_hw) < 1:
        raise InputError(
            "resize", f"{rgb_HW3.dtype} {rgb_HW3.shape} to {size_hw}", "Give 8-bit RGB"
        )
    image = Image.fromarray(np.ascontiguousarray(rgb_HW3))
    resized = image.resize((size_hw[1], size_hw[0]), Image.Resampling.LANCZOS)
    return np.asarray(resized, dtype=np.uint8)
