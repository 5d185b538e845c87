"""Training objective of the photo encoder: log depth up to scale, its scale, sky, field of view.

Per image, e = ln(predicted) - ln(true) on pixels with depth. Shape: mean absolute e minus its mean
(the robust form of the scale-invariant error, Eigen et al., arXiv 1406.2283, eq. 3). Detail:
multi-scale differences of e. Scale: |mean of e|. Sky has no depth and is only named.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from nearfar.batch import DepthBatch
from nearfar.geometry.gradient_loss import gradient_loss

from .photo import PhotoEncoder
from .tiny_objective import EncoderLosses, fov_error, resize_nearest

_DETAIL, _SCALE, _SKY, _FOV = 0.5, 0.1, 0.2, 0.1  # weights against the shape term
_NEAREST, _FARTHEST = 1e-2, 400.0  # metres; what lies beyond is learned as this near or far


class PhotoEncoderObjective(nn.Module):
    """Losses of a batch in metres; deterministic, `generator` is part of the common signature."""

    def __init__(self, network: PhotoEncoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: DepthBatch, *, generator: torch.Generator) -> EncoderLosses:
        image_B3HW, depth_BHW, valid_BHW, sky_BHW, fov_x_deg_B = batch
        # 1. The network's maps, and the truth at their size. [B, H/2, W/2]
        out = self.network(image_B3HW)
        size = out.log_depth_BHW.shape[-2:]
        depth_BHW, valid_BHW, sky_BHW = (
            resize_nearest(map_BHW, size) for map_BHW in (depth_BHW, valid_BHW, sky_BHW)
        )
        # 2. Error of the log depth, its level per image apart.
        log_BHW = depth_BHW.clamp(_NEAREST, _FARTHEST).log()
        error_BHW = torch.where(valid_BHW, out.log_depth_BHW - log_BHW, 0.0)
        count_B = valid_BHW.sum(dim=(1, 2)).clamp_min(1)
        mean_B = error_BHW.sum(dim=(1, 2)) / count_B
        shape_BHW = torch.where(valid_BHW, error_BHW - mean_B[:, None, None], 0.0)
        shape = (shape_BHW.abs().sum(dim=(1, 2)) / count_B).mean()
        detail = gradient_loss(shape_BHW, torch.zeros_like(shape_BHW), valid_BHW)
        # 3. What is one number for the photo, and where the sky is.
        scale = mean_B.abs().mean()
        sky = F.binary_cross_entropy_with_logits(
            out.sky_logit_BHW, sky_BHW.float(), weight=(valid_BHW | sky_BHW).float()
        )
        fov = fov_error(out.log_tan_B, fov_x_deg_B)
        total = shape + _DETAIL * detail + _SCALE * scale + _SKY * sky + _FOV * fov
        parts = {"shape": shape, "detail": detail, "scale": scale, "sky": sky, "fov": fov}
        return EncoderLosses(total, {name: part.detach() for name, part in parts.items()})
