"""The second stage: a U-Net that sharpens coarse depth along the photo (spec A2, C3).

released: a regressor; the released name is "conditional diffusion upsampler", but no noise is ever
added, and its timestep is 0 when it predicts. It works at 384x640 and leaves its output there.
residual: ours; coarse + U-Net, clamped, at the photo's aspect, sides multiples of 8 up to 768.
Shapes: B batch, H W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nearfar.geometry.resize import resize

from .config import VarDepthConfig
from .unet import DepthUNet

RELEASED_HW = (384, 640)
LONGEST = 768


class PixelUpsampler(nn.Module):
    """Depth image of a photo, both in -1..1, at pixel size."""

    def __init__(self, config: VarDepthConfig) -> None:
        super().__init__()
        self.is_residual = config.upsampler == "residual"
        self.multiple = 1 << (len(config.upsampler_widths) - 1)
        self.unet = DepthUNet(config.upsampler_widths)

    def size_for(self, photo_hw: tuple[int, int]) -> tuple[int, int]:
        """The size it works at for a photo: the released one, or near the photo's."""
        if not self.is_residual:
            return RELEASED_HW
        shrink = min(1.0, LONGEST / max(photo_hw))
        height, width = (
            max(1, round(side * shrink / self.multiple)) * self.multiple for side in photo_hw
        )
        return height, width

    def forward(self, image_B3HW: Tensor, coarse_B1HW: Tensor, timestep_B: Tensor) -> Tensor:
        """The finer depth image [B,1,H,W], not clamped; photo in -1..1."""
        found_B1HW = self.unet(torch.cat([image_B3HW, coarse_B1HW], dim=1), timestep_B)
        return coarse_B1HW + found_B1HW if self.is_residual else found_B1HW

    def refine(self, photo_13HW: Tensor, coarse_S1HW: Tensor) -> Tensor:
        """Depth images [S,1,H,W] in -1..1 of coarse ones, at the size of the photo (0..1)."""
        size_hw = (photo_13HW.shape[-2], photo_13HW.shape[-1])
        coarse_S1HW = resize(coarse_S1HW, size_hw, method="bilinear")
        image_S3HW = (2 * photo_13HW - 1).expand(len(coarse_S1HW), -1, -1, -1)
        timestep_S = torch.zeros(len(coarse_S1HW), device=photo_13HW.device)
        return self(image_S3HW, coarse_S1HW, timestep_S).clamp(-1, 1)
