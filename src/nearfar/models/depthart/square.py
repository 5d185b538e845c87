"""Photos and depth maps squashed to the tokenizer's square (docs/nextscale.md section 1)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from nearfar.geometry.resize import resize
from nearfar.geometry.squares import depth_square, photo_square

from .config import PUBLISHED_CURVE, DepthARTConfig


class Square(NamedTuple):
    """photo_B3HW: 0..1. depth_BCHW: the depth image in -1..1, in the tokenizer's channels."""

    photo_B3HW: Tensor
    depth_BCHW: Tensor


def squash_photo(image_B3HW: Tensor, config: DepthARTConfig) -> Tensor:
    """The photo(s) 0..1 at image_size x image_size: area where they shrink, bicubic elsewhere.

    Released code, so networks of its curve: Pillow's bicubic, which smooths less.
    """
    side = config.tokenizer.image_size
    if config.curve == PUBLISHED_CURVE:
        return resize(image_B3HW, (side, side), method="bicubic_antialias").clamp(0, 1)
    return photo_square(image_B3HW, side, grow="bicubic")


def squash(
    image_B3HW: Tensor,
    depth_BHW: Tensor,
    *,
    valid_BHW: Tensor,
    sky_BHW: Tensor,
    config: DepthARTConfig,
) -> Square:
    """Photos and maps in metres as the network is trained on them."""
    image_B1HW, _ = depth_square(
        depth_BHW,
        config.tokenizer.image_size,
        valid_BHW=valid_BHW,
        sky_BHW=sky_BHW,
        curve=config.curve,
    )
    channels = config.tokenizer.image_channels
    return Square(squash_photo(image_B3HW, config), image_B1HW.expand(-1, channels, -1, -1))
