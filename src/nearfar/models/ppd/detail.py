"""Detail at full resolution: which surface beside an edge a pixel belongs to, and what is added.

A small correction makes a slope less steep or steeper; it does not move a step by two pixels. A
choice does: near an edge every pixel lies on the nearer or the farther of the two surfaces that
the map already shows around it, and one number between -1 and 1 says which. What neither surface
has is a correction on top.

Shapes: B batch, C channels, H W pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.geometry.snap import largest_around

REACH = 6  # pixels around one in which the nearest and the farthest value are looked up
_OUTPUTS = 3


class Detail(NamedTuple):
    """choice_B1HW: -1 = the nearest value around the pixel, 0 = its own, 1 = the farthest.

    correction_B1HW is added to the map; log_spread_B1HW is that of the result.
    """

    choice_B1HW: Tensor
    correction_B1HW: Tensor
    log_spread_B1HW: Tensor


class DetailHead(nn.Module):
    """Convolutions at full, half and quarter resolution; every output is zero at the start."""

    def __init__(self, channels_in: int, width: int) -> None:
        super().__init__()
        wide = 2 * width
        self.inputs = nn.Conv2d(channels_in, width, 3, padding=1)
        self.down2 = nn.Conv2d(width, wide, 3, stride=2, padding=1)
        self.down4 = nn.Conv2d(wide, wide, 3, stride=2, padding=1)
        self.deep1 = nn.Conv2d(wide, wide, 3, padding=1)
        self.deep2 = nn.Conv2d(wide, wide, 3, padding=1)
        self.merge2 = nn.Conv2d(wide, wide, 3, padding=1)
        self.narrow = nn.Conv2d(wide, width, 1)
        self.refine = nn.Conv2d(width, width, 3, padding=1)
        self.out = nn.Conv2d(width, _OUTPUTS, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Detail:
        """What to do at every pixel, float32; H and W are multiples of 4."""
        full_BCHW = F.silu(self.inputs(x_BCHW))
        half_BChw = F.silu(self.down2(full_BCHW))
        quarter_BChw = F.silu(self.down4(half_BChw))
        quarter_BChw = quarter_BChw + F.silu(self.deep2(F.silu(self.deep1(quarter_BChw))))
        half_BChw = half_BChw + F.silu(self.merge2(half_BChw + _doubled(quarter_BChw)))
        full_BCHW = full_BCHW + F.silu(self.refine(full_BCHW + _doubled(self.narrow(half_BChw))))
        choice_B1HW, correction_B1HW, spread_B1HW = self.out(full_BCHW).float().split(1, dim=1)
        return Detail(torch.tanh(choice_B1HW), correction_B1HW, spread_B1HW)


def chosen(map_B1HW: Tensor, choice_B1HW: Tensor) -> Tensor:
    """The map, carried towards the nearest or the farthest value around each pixel."""
    farthest_B1HW = largest_around(map_B1HW, REACH)
    nearest_B1HW = -largest_around(-map_B1HW, REACH)
    towards_B1HW = torch.where(choice_B1HW >= 0, farthest_B1HW - map_B1HW, map_B1HW - nearest_B1HW)
    return map_B1HW + choice_B1HW * towards_B1HW


def _doubled(x_BChw: Tensor) -> Tensor:
    return F.interpolate(x_BChw, scale_factor=2, mode="nearest")
