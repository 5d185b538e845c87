"""Photos and depth maps squashed to the tokenizer's square (spec var_depth.md A2, C7, C11)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from nearfar.geometry.depth_curves import encode_depth
from nearfar.geometry.resize import ResizeMethod, resize

from .config import VarDepthConfig


class Square(NamedTuple):
    """photo_B3HW: 0..1. depth_B1HW: depth image in -1..1, unknown pixels and sky +1. known_BHW."""

    photo_B3HW: Tensor
    depth_B1HW: Tensor
    known_BHW: Tensor


def squash_photo(image_B3HW: Tensor, config: VarDepthConfig) -> Tensor:
    """The photo(s) 0..1 at image_size x image_size: area where they shrink, else bilinear."""
    side = config.tokenizer.image_size
    method: ResizeMethod = "area" if side <= min(image_B3HW.shape[-2:]) else "bilinear"
    return resize(image_B3HW, (side, side), method=method).clamp(0, 1)


def squash(
    image_B3HW: Tensor,
    depth_BHW: Tensor,
    *,
    valid_BHW: Tensor,
    sky_BHW: Tensor,
    config: VarDepthConfig,
) -> Square:
    """Photos and maps in metres as the network is trained on them."""
    side = (config.tokenizer.image_size, config.tokenizer.image_size)
    known_BHW = resize(valid_BHW & ~sky_BHW, side, method="nearest")
    depth_BHW = resize(depth_BHW, side, method="nearest")
    image_B1HW = encode_depth(depth_BHW, known_BHW, curve=config.curve).image_B1HW
    return Square(squash_photo(image_B3HW, config), image_B1HW, known_BHW)
