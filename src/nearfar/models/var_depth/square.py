"""Photos and depth maps squashed to the tokenizer's square (docs/nextscale.md section 1)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from nearfar.geometry.squares import depth_square, photo_square

from .config import VarDepthConfig


class Square(NamedTuple):
    """photo_B3HW: 0..1. depth_B1HW: depth image in -1..1, unknown pixels and sky +1. known_BHW."""

    photo_B3HW: Tensor
    depth_B1HW: Tensor
    known_BHW: Tensor


def squash_photo(image_B3HW: Tensor, config: VarDepthConfig) -> Tensor:
    """The photo(s) 0..1 at image_size x image_size: area where they shrink, else bilinear."""
    return photo_square(image_B3HW, config.tokenizer.image_size, grow="bilinear")


def squash(
    image_B3HW: Tensor,
    depth_BHW: Tensor,
    *,
    valid_BHW: Tensor,
    sky_BHW: Tensor,
    config: VarDepthConfig,
) -> Square:
    """Photos and maps in metres as the network is trained on them."""
    depth = depth_square(
        depth_BHW,
        config.tokenizer.image_size,
        valid_BHW=valid_BHW,
        sky_BHW=sky_BHW,
        curve=config.curve,
    )
    return Square(squash_photo(image_B3HW, config), *depth)
