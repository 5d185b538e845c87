"""LayerNorm without own parameters, modulated from outside (adaLN; docs/ppd.md section 1.4)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

EPS = 1e-6


def modulated_layer_norm(x_BLD: Tensor, *, shift_BD: Tensor, scale_BD: Tensor) -> Tensor:
    """LN(x) * (1 + scale) + shift, [B,L,D].

    One modulation row for the whole batch (sampling: all share a timestep) goes through the kernel
    as its affine parameters: one pass over memory instead of three.
    """
    width = x_BLD.shape[-1:]
    if shift_BD.shape[0] == 1:
        return F.layer_norm(x_BLD, width, 1 + scale_BD[0], shift_BD[0], EPS)
    normal_BLD = F.layer_norm(x_BLD, width, eps=EPS)
    return torch.addcmul(shift_BD[:, None], normal_BLD, 1 + scale_BD[:, None])


def modulated_layer_norm_reference(x_BLD: Tensor, *, shift_BD: Tensor, scale_BD: Tensor) -> Tensor:
    """The plain twin of `modulated_layer_norm`: mean and variance written out."""
    centered_BLD = x_BLD - x_BLD.mean(-1, keepdim=True)
    variance_BL1 = centered_BLD.square().mean(-1, keepdim=True)
    normal_BLD = centered_BLD * (variance_BL1 + EPS).rsqrt()
    return normal_BLD * (1 + scale_BD[:, None]) + shift_BD[:, None]
