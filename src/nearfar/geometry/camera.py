"""Pinhole cameras: intrinsics in pixels of the original image, pixel centers at +0.5.

The pixel in column u has its center at u + 0.5, so the middle of an image is at (W / 2, H / 2).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError

_FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)  # what the EXIF 35 mm equivalent refers to


def intrinsics_from_fov(fov_x_deg: float, size_hw: tuple[int, int]) -> NDArray[np.float64]:
    """Intrinsics [3,3] of a centered camera with square pixels: fx = W / (2 tan(fov_x / 2))."""
    if not 0 < fov_x_deg < 180:
        raise ConfigError(
            "fov_x_deg", f"{fov_x_deg} is not between 0 and 180 degrees", "Give the horizontal one"
        )
    focal_px = size_hw[1] / (2 * math.tan(math.radians(fov_x_deg) / 2))
    return intrinsics_from_focal(focal_px, size_hw)


def intrinsics_from_focal(focal_px: float, size_hw: tuple[int, int]) -> NDArray[np.float64]:
    """Intrinsics [3,3] of a centered camera with square pixels and this focal length in pixels."""
    if not (math.isfinite(focal_px) and focal_px > 0):
        raise ConfigError("focal_px", f"{focal_px} is not a positive number of pixels")
    height, width = size_hw
    return np.array([[focal_px, 0, width / 2], [0, focal_px, height / 2], [0, 0, 1]], np.float64)


def fov_from_intrinsics(intrinsics_33: NDArray[np.float64], size_hw: tuple[int, int]) -> float:
    """Horizontal field of view in degrees: atan(cx / fx) + atan((W - cx) / fx)."""
    fx, cx, width = float(intrinsics_33[0, 0]), float(intrinsics_33[0, 2]), size_hw[1]
    return math.degrees(math.atan2(cx, fx) + math.atan2(width - cx, fx))


def fov_from_focal(focal_px: float, size_hw: tuple[int, int]) -> float:
    """Horizontal field of view in degrees of a centered camera: 2 atan(W / (2 f))."""
    return fov_from_intrinsics(intrinsics_from_focal(focal_px, size_hw), size_hw)


def focal_from_exif_35mm(focal_35mm: float, size_hw: tuple[int, int]) -> float:
    """Focal length in pixels: f35 * sqrt(W^2 + H^2) / sqrt(36^2 + 24^2)."""
    return focal_35mm * math.hypot(*size_hw) / _FILM_DIAGONAL_MM


def fov_from_exif_35mm(focal_35mm: float, size_hw: tuple[int, int]) -> float:
    """Horizontal field of view in degrees from the EXIF 35 mm equivalent focal length."""
    return fov_from_focal(focal_from_exif_35mm(focal_35mm, size_hw), size_hw)
