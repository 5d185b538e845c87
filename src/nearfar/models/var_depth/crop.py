"""Switti's crop condition: the size of an image before its crop, and where it was cut (spec B2)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

SIDE = 512  # of the crops the published network was trained on


def crop_numbers(sizes_hw: Sequence[tuple[int, int]]) -> Tensor:
    """(h', w', top, left) of images scaled to a shorter side of 512, cut in the center: [B,4]."""
    rows = []
    for height, width in sizes_hw:
        ratio = SIDE / min(height, width)
        h, w = int(height * ratio), int(width * ratio)
        rows.append((h, w, max(0, (h - SIDE) // 2), max(0, (w - SIDE) // 2)))
    return torch.tensor(rows, dtype=torch.float32)


class CropFeatures(nn.Module):
    """Gaussian Fourier features [sin(2 pi x w), cos(2 pi x w)] of each number, w frozen."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width // 8), requires_grad=False)

    def forward(self, crop_B4: Tensor) -> Tensor:
        """[B,D], the four numbers one after the other."""
        # float32 island: angles of thousands of radians
        angle_B4D = crop_B4.float()[..., None] * self.weight.float() * (2 * math.pi)
        return torch.cat([angle_B4D.sin(), angle_B4D.cos()], dim=-1).flatten(1)
