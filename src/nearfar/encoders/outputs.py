"""What our small encoders say about a photo, and how families and the pipeline read it.

Shapes: B batch, T frames, H W pixels, h w tokens, L = h*w, D width, C channels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import MetricGuess

DEPTH_CELLS = 4  # log depth values per token side that travel inside the semantics
_DEPTH_GAIN = 2.0  # keeps the depth part of a semantic vector as loud as the token part


class EncoderOutput(NamedTuple):
    """Everything the network says, at working size or half of it.

    log_depth_BHW: ln(metres). sky_logit_BHW: > 0 means sky. log_tan_B: ln(tan(fov_x / 2)).
    tokens_BLD: token features; coarse_B1HW: log depth at half the working size; grid_hw: tokens.
    """

    log_depth_BHW: Tensor
    sky_logit_BHW: Tensor
    log_tan_B: Tensor
    tokens_BLD: Tensor
    coarse_B1HW: Tensor
    grid_hw: tuple[int, int]


def metric_guess(out: EncoderOutput, *, size_hw: tuple[int, int]) -> MetricGuess:
    """What an output says in metres, usable pixels and degrees, at another size."""
    log_depth_B1HW = resized(out.log_depth_BHW[:, None], size_hw)
    sky_B1HW = resized(out.sky_logit_BHW[:, None], size_hw)
    fov_x_deg_B = 2 * torch.rad2deg(torch.atan(out.log_tan_B.clamp(-3, 2).exp()))
    depth_BHW = log_depth_B1HW[:, 0].clamp(math.log(0.02), math.log(1000.0)).exp()
    return MetricGuess(depth_BHW, sky_B1HW[:, 0] < 0, fov_x_deg_B)


def semantic_vectors(
    out: EncoderOutput, *, size_hw: tuple[int, int], stride: int, frames: int = 1
) -> Tensor:
    """Semantics [B, h*w, D]: token features and the coarse log depth under each token.

    For a photo of `size_hw` and a token per `stride` pixels. The depth part is standardized, so
    that only its shape is told, not its scale; groups of `frames` together, so that their common
    scale is kept.
    """
    h, w = out.grid_hw
    coarse_BT1HW = out.coarse_B1HW.unflatten(0, (-1, frames))
    spread_B1111 = coarse_BT1HW.std(dim=(1, 2, 3, 4), keepdim=True).clamp_min(1e-3)
    mean_B1111 = coarse_BT1HW.mean(dim=(1, 2, 3, 4), keepdim=True)
    shape_B1HW = ((coarse_BT1HW - mean_B1111) / spread_B1111).flatten(0, 1)
    tokens_BDhw = out.tokens_BLD.float().transpose(1, 2).unflatten(2, (h, w))
    wanted_hw = (size_hw[0] // stride, size_hw[1] // stride)
    tokens_BDhw = resized(tokens_BDhw, wanted_hw)
    cells_hw = (wanted_hw[0] * DEPTH_CELLS, wanted_hw[1] * DEPTH_CELLS)
    cells_BChw = F.pixel_unshuffle(resized(shape_B1HW, cells_hw), DEPTH_CELLS)
    both_BDhw = torch.cat([tokens_BDhw, _DEPTH_GAIN * cells_BChw], dim=1)
    return both_BDhw.flatten(2).transpose(1, 2).contiguous()


def resized(x_BChw: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Bilinear resize, or the tensor itself when it has that size."""
    if tuple(x_BChw.shape[-2:]) == tuple(size_hw):
        return x_BChw
    return F.interpolate(x_BChw, size=size_hw, mode="bilinear", align_corners=False)
