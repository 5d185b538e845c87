"""Augmentations of DAR's recipe that exchange parts of a photo (spec dar.md section 7).

CutDepth: a vertical strip of the photo shows its depth instead. Released code writes millimetres
into 8 bits, modulo 256; here it is depth / far, grey. Cut flip: the parts above and below a random
height change places, in photo and depth alike.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_LONGEST = 0.75  # of what is left of the photo right of the strip's start
_HEIGHTS = (0.2, 0.8)


class Flipped(NamedTuple):
    """Photo, depth and mask after the same change."""

    image_B3HW: Tensor
    depth_BHW: Tensor
    valid_BHW: Tensor


def cut_depth(
    image_B3HW: Tensor,
    depth_BHW: Tensor,
    *,
    far: float,
    chance: float,
    generator: torch.Generator,
) -> Tensor:
    """Photos 0..1 of which some carry a strip of grey depth / far (unknown, 0, is black).

    Strip [l, l + w): l = int(a W), w = int(max(0.75 (W - a W) b, 1)), a and b uniform in 0..1.
    """
    W = image_B3HW.shape[-1]
    draw_B3 = _uniform(len(image_B3HW), 3, generator).to(image_B3HW.device)
    start_B = draw_B3[:, 0] * W
    length_B = ((W - start_B) * draw_B3[:, 1] * _LONGEST).clamp_min(1).floor()
    column_W = torch.arange(W, device=image_B3HW.device)
    left_B = start_B.floor()
    inside_BW = (column_W >= left_B[:, None]) & (column_W < (left_B + length_B)[:, None])
    inside_BW &= (draw_B3[:, 2] < chance)[:, None]
    grey_B1HW = (depth_BHW / far).clamp(0, 1)[:, None].to(image_B3HW.dtype)
    return torch.where(inside_BW[:, None, None], grey_B1HW, image_B3HW)


def cut_flip(
    image_B3HW: Tensor,
    depth_BHW: Tensor,
    valid_BHW: Tensor,
    *,
    chance: float,
    generator: torch.Generator,
) -> Flipped:
    """Some photos rolled vertically, so that the lower part of 0.2..0.8 H comes first."""
    B, _, H, _ = image_B3HW.shape
    draw_B2 = _uniform(B, 2, generator).to(image_B3HW.device)
    low, high = _HEIGHTS
    cut_B = ((low + (high - low) * draw_B2[:, 0]) * H).long()
    shift_B = torch.where(draw_B2[:, 1] < chance, cut_B, 0)
    row_BH = (torch.arange(H, device=image_B3HW.device) + shift_B[:, None]) % H
    photo_B1 = torch.arange(B, device=image_B3HW.device)[:, None]
    return Flipped(
        image_B3HW.transpose(1, 2)[photo_B1, row_BH].transpose(1, 2),
        depth_BHW[photo_B1, row_BH],
        valid_BHW[photo_B1, row_BH],
    )


def _uniform(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    return torch.rand(rows, columns, generator=generator, device=generator.device)
