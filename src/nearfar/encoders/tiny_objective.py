"""Training objective of the tiny encoder: log depth up to scale, its scale, sky, field of view.

Per image, e = ln(predicted) - ln(true) on usable pixels. Shape: root mean square of e minus its
mean (scale-invariant error, Eigen et al. 1406.2283 eq. 3 with lambda 1). Detail: multi-scale
differences of e. Scale: |mean of e|. Sky takes part in shape at 1.5 times the 98th percentile, so
that it lies behind everything, but never in scale.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.batch import DepthBatch

from .tiny import TinyEncoder

_DETAIL, _SCALE, _SKY, _FOV = 0.1, 0.2, 0.1, 0.2  # weights against the shape term
_LOG_SKY = math.log(1.5)
_FAR = 400.0  # metres; farther is learned as this far


class EncoderLosses(NamedTuple):
    """The scalar to minimize and named scalars for the log."""

    total: Tensor
    parts: dict[str, Tensor]


class TinyEncoderObjective(nn.Module):
    """Losses of a batch in metres; deterministic, `generator` is part of the common signature."""

    def __init__(self, network: TinyEncoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: DepthBatch, *, generator: torch.Generator) -> EncoderLosses:
        image_B3HW, depth_BHW, valid_BHW, sky_BHW, fov_x_deg_B = batch
        out = self.network(image_B3HW)
        size = out.log_depth_BHW.shape[-2:]
        depth_BHW, valid_BHW, sky_BHW = (
            resize_nearest(map_BHW, size) for map_BHW in (depth_BHW, valid_BHW, sky_BHW)
        )
        log_BHW = log_target(depth_BHW, valid_BHW, sky_BHW)
        usable_BHW = (valid_BHW | sky_BHW).float()
        error_BHW = (out.log_depth_BHW - log_BHW) * usable_BHW
        count_B = usable_BHW.sum(dim=(1, 2)).clamp_min(1)
        mean_B11 = (error_BHW.sum(dim=(1, 2)) / count_B)[:, None, None]
        shape_BHW = (error_BHW - mean_B11) * usable_BHW
        shape = (shape_BHW.square().sum(dim=(1, 2)) / count_B + 1e-3).sqrt().mean()

        valid_float_BHW = valid_BHW.float()
        known_B = valid_float_BHW.sum(dim=(1, 2)).clamp_min(1)
        scale = ((error_BHW * valid_float_BHW).sum(dim=(1, 2)) / known_B).abs().mean()
        sky = F.binary_cross_entropy_with_logits(
            out.sky_logit_BHW, sky_BHW.float(), weight=usable_BHW
        )
        detail = detail_loss(shape_BHW, usable_BHW)
        fov = fov_error(out.log_tan_B, fov_x_deg_B)
        total = shape + _DETAIL * detail + _SCALE * scale + _SKY * sky + _FOV * fov
        parts = {"shape": shape, "detail": detail, "scale": scale, "sky": sky, "fov": fov}
        return EncoderLosses(total, {name: part.detach() for name, part in parts.items()})


def log_target(depth_BHW: Tensor, valid_BHW: Tensor, sky_BHW: Tensor) -> Tensor:
    """ln(metres) [B,H,W]; sky at 1.5 times the image's 98th percentile; 0 where unknown."""
    log_BHW = depth_BHW.clamp(1e-2, _FAR).log()
    known_BHW = torch.where(valid_BHW, log_BHW, torch.nan)
    far_B = known_BHW.flatten(1).nanquantile(0.98, dim=1).nan_to_num(math.log(_FAR))
    sky_BHW = sky_BHW & ~valid_BHW
    log_BHW = torch.where(sky_BHW, (far_B + _LOG_SKY)[:, None, None], log_BHW)
    return torch.where(valid_BHW | sky_BHW, log_BHW, 0.0)


def detail_loss(error_BHW: Tensor, usable_BHW: Tensor) -> Tensor:
    """Mean absolute differences of the error between usable neighbors at strides 1, 2, 4."""
    total = error_BHW.new_zeros(())
    for stride in (1, 2, 4):
        e_BHW, u_BHW = error_BHW[:, ::stride, ::stride], usable_BHW[:, ::stride, ::stride]
        across = (u_BHW[:, :, 1:] * u_BHW[:, :, :-1] * e_BHW.diff(dim=2).abs()).mean()
        down = (u_BHW[:, 1:] * u_BHW[:, :-1] * e_BHW.diff(dim=1).abs()).mean()
        total = total + across + down
    return total


def fov_error(log_tan_B: Tensor, fov_x_deg_B: Tensor) -> Tensor:
    """Mean |ln tan(fov/2)| error over images whose field of view is known; 0 if none is."""
    known_B = torch.isfinite(fov_x_deg_B)
    wanted_B = torch.deg2rad(torch.where(known_B, fov_x_deg_B, 60.0) / 2).tan().log()
    return ((log_tan_B - wanted_B).abs() * known_B).sum() / known_B.sum().clamp_min(1)


def resize_nearest(map_BHW: Tensor, size: torch.Size) -> Tensor:
    """The map at another size by nearest neighbor, dtype kept."""
    if map_BHW.shape[-2:] == size:
        return map_BHW
    return F.interpolate(map_BHW[:, None].float(), size=size, mode="nearest")[:, 0].to(
        map_BHW.dtype
    )
