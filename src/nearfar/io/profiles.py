"""Colors of a picture with an ICC profile as sRGB, so that a photo is what its maker saw."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

_LOG = logging.getLogger(__name__)
_SPACE_OF_MODE = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab"}
_SAME = 2  # levels up to which a profile is sRGB in other words, and pixels stay as they are
_PROBE_STEPS = 17


def to_srgb(image: Image, profile: bytes | None, where: str) -> Image:
    """An opaque picture (modes RGB, L, CMYK, LAB) by its profile as RGB in sRGB.

    Without a profile, and, with a note, where it is damaged or of another color model: as Pillow
    converts it.
    """
    from PIL import ImageCms

    if not profile:
        return image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if space != _SPACE_OF_MODE.get(image.mode):
            finding = f"color profile for {space} does not fit a picture of mode {image.mode}"
            _LOG.warning("%s: %s, ignored", where, finding)
            return image.convert("RGB")
        transform = ImageCms.buildTransform(
            source, ImageCms.createProfile("sRGB"), image.mode, "RGB"
        )
        if image.mode == "RGB" and _changes_nothing(transform):
            return image
        turned = ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        _LOG.warning("%s: color profile cannot be used (%s), ignored", where, error)
        return image.convert("RGB")
    return image.convert("RGB") if turned is None else turned


def _changes_nothing(transform: object) -> bool:
    """Whether an RGB transform leaves a grid of colors where they are."""
    from PIL import Image, ImageCms

    steps = np.linspace(0, 255, _PROBE_STEPS).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(_PROBE_STEPS, -1, 3)
    turned = ImageCms.applyTransform(Image.fromarray(grid), transform)  # type: ignore[arg-type]
    return bool(np.abs(np.asarray(turned).astype(int) - grid).max() <= _SAME)
