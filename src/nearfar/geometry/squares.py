"""Photos and depth maps squashed to the square that a tokenizer works on; aspect is given up.

Shapes: B batch, H W pixels.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from .depth_curves import encode_depth
from .resize import ResizeMethod, resize


class DepthSquare(NamedTuple):
    """image_B1HW: depth image in -1..1, unknown pixels and sky +1. known_BHW: which are neither."""

    image_B1HW: Tensor
    known_BHW: Tensor


def photo_square(image_B3HW: Tensor, side: int, *, grow: ResizeMethod) -> Tensor:
    """Photo(s) 0..1 at side x side: averaged over areas where they shrink, else by `grow`."""
    method: ResizeMethod = "area" if side <= min(image_B3HW.shape[-2:]) else grow
    return resize(image_B3HW, (side, side), method=method).clamp(0, 1)


def depth_square(
    depth_BHW: Tensor, side: int, *, valid_BHW: Tensor, sky_BHW: Tensor, curve: str
) -> DepthSquare:
    """Maps in metres as images by a curve, every pixel that of its nearest.

    Quantiles over valid pixels (Released code: over all, invalid zeros included).
    """
    size_hw = (side, side)
    known_BHW = resize(valid_BHW & ~sky_BHW, size_hw, method="nearest")
    depth_BHW = resize(depth_BHW, size_hw, method="nearest")
    return DepthSquare(encode_depth(depth_BHW, known_BHW, curve=curve).image_B1HW, known_BHW)
