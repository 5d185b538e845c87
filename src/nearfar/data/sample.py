"""The one sample contract between data and training: photo, depth, masks, field of view."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nearfar.batch import DepthBatch

__all__ = ["DepthBatch", "DepthSample", "stack_samples"]


class DepthSample(NamedTuple):
    """One photo with its depth.

    image_3HW: float32 RGB in 0..1. depth_HW: float32 z-depth in metres, 0 where unknown or sky.
    valid_HW: True where depth is known (never on sky). sky_HW: True on sky. fov_x_deg: NaN unknown.
    """

    image_3HW: Tensor
    depth_HW: Tensor
    valid_HW: Tensor
    sky_HW: Tensor
    fov_x_deg: float


def stack_samples(samples: list[DepthSample]) -> DepthBatch:
    """A batch of samples that all have the same size."""
    return DepthBatch(
        torch.stack([s.image_3HW for s in samples]),
        torch.stack([s.depth_HW for s in samples]),
        torch.stack([s.valid_HW for s in samples]),
        torch.stack([s.sky_HW for s in samples]),
        torch.tensor([s.fov_x_deg for s in samples], dtype=torch.float32),
    )
