"""Photos and depth maps squashed to the tokenizer's square (spec depthart.md section 3, data)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from nearfar.geometry.depth_curves import encode_depth
from nearfar.geometry.resize import ResizeMethod, resize

from .config import DepthARTConfig


class Square(NamedTuple):
    """photo_B3HW: 0..1. depth_BCHW: the depth image in -1..1, in the tokenizer's channels."""

    photo_B3HW: Tensor
    depth_BCHW: Tensor


def squash_photo(image_B3HW: Tensor, config: DepthARTConfig) -> Tensor:
    """The photo(s) 0..1 at image_size x image_size: area where they shrink, bicubic elsewhere."""
    side = config.tokenizer.image_size
    method: ResizeMethod = "area" if side <= min(image_B3HW.shape[-2:]) else "bicubic"
    return resize(image_B3HW, (side, side), method=method).clamp(0, 1)


def squash(
    image_B3HW: Tensor,
    depth_BHW: Tensor,
    *,
    valid_BHW: Tensor,
    sky_BHW: Tensor,
    config: DepthARTConfig,
) -> Square:
    """Photos and maps in metres as the network is trained on them.

    Quantiles over valid pixels (Released code: over all, invalid zeros included). Sky and unknown
    pixels are the far end.
    """
    side = (config.tokenizer.image_size, config.tokenizer.image_size)
    known_BHW = resize(valid_BHW & ~sky_BHW, side, method="nearest")
    depth_BHW = resize(depth_BHW, side, method="nearest")
    image_B1HW = encode_depth(depth_BHW, known_BHW, curve=config.curve).image_B1HW
    channels = config.tokenizer.image_channels
    return Square(squash_photo(image_B3HW, config), image_B1HW.expand(-1, channels, -1, -1))
