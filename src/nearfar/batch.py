"""What objectives learn from: photos or clips with their depth, masks and field of view."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class DepthBatch(NamedTuple):
    """Photos of one size with their depth.

    image_B3HW: float32 RGB in 0..1. depth_BHW: float32 z-depth in metres, 0 where unknown or sky.
    valid_BHW: True where depth is known (never on sky). sky_BHW: True on sky. fov_x_deg_B: NaN
    where unknown.
    """

    image_B3HW: Tensor
    depth_BHW: Tensor
    valid_BHW: Tensor
    sky_BHW: Tensor
    fov_x_deg_B: Tensor

    def to(self, device: torch.device) -> DepthBatch:
        """The same batch on another device."""
        return DepthBatch(*(tensor.to(device, non_blocking=True) for tensor in self))


class ClipBatch(NamedTuple):
    """Clips of T frames of one size; same meaning as `DepthBatch`, one field of view a clip."""

    image_BT3HW: Tensor
    depth_BTHW: Tensor
    valid_BTHW: Tensor
    sky_BTHW: Tensor
    fov_x_deg_B: Tensor
