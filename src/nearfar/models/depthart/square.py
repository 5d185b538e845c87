"""Photos and depth maps squashed to squares (docs/nextscale.md section 1)."""

from __future__ import annotations

from torch import Tensor

from nearfar.encoders.base import SemanticEncoder
from nearfar.geometry.resize import resize
from nearfar.geometry.squares import depth_square, photo_square

from .config import PUBLISHED_CURVE, DepthARTConfig


def photo_side(config: DepthARTConfig, encoder: SemanticEncoder | None) -> int:
    """Side of the squares: the tokenizer's, or that at which an encoder gives a token a cell."""
    vq = config.tokenizer
    return vq.image_size if encoder is None else vq.grid * encoder.stride


def squash_photo(
    image_B3HW: Tensor, config: DepthARTConfig, encoder: SemanticEncoder | None = None
) -> Tensor:
    """The photo(s) 0..1 at `photo_side`: area where they shrink, bicubic elsewhere.

    Released code, so networks of its curve: Pillow's bicubic, which smooths less.
    """
    side = photo_side(config, encoder)
    if config.curve == PUBLISHED_CURVE:
        return resize(image_B3HW, (side, side), method="bicubic_antialias").clamp(0, 1)
    return photo_square(image_B3HW, side, grow="bicubic")


def squash_depth(
    depth_BHW: Tensor, *, valid_BHW: Tensor, sky_BHW: Tensor, config: DepthARTConfig
) -> Tensor:
    """Maps in metres as the tokenizer sees them [B,C,H,W]: -1..1, sky and unknown pixels +1."""
    vq = config.tokenizer
    image_B1HW, _ = depth_square(
        depth_BHW, vq.image_size, valid_BHW=valid_BHW, sky_BHW=sky_BHW, curve=config.curve
    )
    return image_B1HW.expand(-1, vq.image_channels, -1, -1)
