"""Semantics of Depth Anything V2 (arXiv 2406.09414): its fine-tuned DINOv2 trunk, head dropped.

docs/ppd.md section 4: normalize first, then bicubic (no antialias) to 14/16 of the network image;
semantics are the patch tokens after the last block and the final norm. Not metric.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from .dinov2 import (
    PATCH,
    SEMANTIC_STRIDE,
    DinoV2,
    DinoV2Config,
    normalize_rgb,
    patch_grid,
)


class DepthAnythingV2(nn.Module):
    """A `SemanticEncoder`; its state dict is the published file's `pretrained.*`."""

    name = "dav2"
    is_metric = False
    stride = SEMANTIC_STRIDE

    def __init__(self, config: DinoV2Config) -> None:
        super().__init__()
        self.config = config
        self.width = config.width
        self.pretrained = DinoV2(config)

    def semantics(self, image_B3HW: Tensor) -> Tensor:
        """Un-normalized semantics [B, h*w, D] float32 for RGB in 0..1; h = H/16, row-major."""
        h, w = patch_grid(*image_B3HW.shape[-2:])
        resized_B3HW = F.interpolate(
            normalize_rgb(image_B3HW.float()),
            size=(PATCH * h, PATCH * w),
            mode="bicubic",
            align_corners=False,
        )
        last = self.config.depth - 1
        return self.pretrained(resized_B3HW, layers=[last])[0].patches_BLD.float()
