"""Photos and depth maps squashed to squares (docs/nextscale.md section 1)."""

from __future__ import annotations

from torch import Tensor

from nearfar.encoders.base import SemanticEncoder
from nearfar.geometry.squares import DepthSquare, depth_square, photo_square

from .config import VarDepthConfig


def photo_side(config: VarDepthConfig, encoder: SemanticEncoder | None) -> int:
    """Side of the squares: the tokenizer's, or that at which an encoder gives a token a cell."""
    vq = config.tokenizer
    return vq.image_size if encoder is None else vq.grid * encoder.stride


def squash_photo(
    image_B3HW: Tensor, config: VarDepthConfig, encoder: SemanticEncoder | None = None
) -> Tensor:
    """The photo(s) 0..1 at `photo_side`: area where they shrink, else bilinear."""
    return photo_square(image_B3HW, photo_side(config, encoder), grow="bilinear")


def squash_depth(
    depth_BHW: Tensor, *, valid_BHW: Tensor, sky_BHW: Tensor, config: VarDepthConfig
) -> DepthSquare:
    """Maps in metres as the network is trained on them."""
    side = config.tokenizer.image_size
    return depth_square(depth_BHW, side, valid_BHW=valid_BHW, sky_BHW=sky_BHW, curve=config.curve)
