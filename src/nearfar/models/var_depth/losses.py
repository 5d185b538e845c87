"""Losses of VAR-Depth on logits of all scales (spec var_depth.md C6).

Shapes: B batch, L tokens of all scales, V codes, C code width, K scales, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.geometry.gradient_loss import gradient_loss
from nearfar.tokenizers.quantizer import MultiScaleQuantizer, as_map


def token_weights(sides: Sequence[int], *, balanced: bool) -> Tensor:
    """Weight of every token [L], sum 1.

    balanced: 1 / (p_k sum p_j), so that a scale counts by its side, not by its area; else 1 / L.
    """
    areas = torch.tensor([side * side for side in sides])
    each_K = torch.tensor([1 / (side if balanced else 1) for side in sides])
    weight_L = each_K.repeat_interleave(areas)
    return weight_L / weight_L.sum()


def code_loss(logits_BLV: Tensor, target_BL: Tensor, *, weight_L: Tensor) -> Tensor:
    """Weighted cross-entropy in nats, mean over the batch."""
    each_BL = F.cross_entropy(logits_BLV.mT.float(), target_BL, reduction="none")
    return (each_BL * weight_L).sum(dim=1).mean()


def soft_code_loss(
    logits_BLV: Tensor, sought_BLC: Tensor, *, quantizer: MultiScaleQuantizer, weight_L: Tensor
) -> Tensor:
    """Cross-entropy against q(v) ~ exp(-|z - e_v|^2 / tau): near-equal codes are not punished.

    sought: the vector z a code stands for. tau: mean squared distance to the nearest code.
    """
    codes_VC = quantizer.embedding.weight.float()
    distance_BLV = torch.cdist(sought_BLC.float(), codes_VC).square()
    tau = distance_BLV.amin(dim=-1).mean().clamp_min(1e-6)
    shares_BLV = (-distance_BLV / tau).softmax(dim=-1)
    each_BL = -(shares_BLV * logits_BLV.float().log_softmax(dim=-1)).sum(dim=-1)
    return (each_BL * weight_L).sum(dim=1).mean()


def expected_f_hat(logits_BLV: Tensor, quantizer: MultiScaleQuantizer) -> Tensor:
    """f_hat_K of the mean code at every place, with gradients: [B,C,h,w]."""
    sides = quantizer.config.scales
    mean_BLC = logits_BLV.float().softmax(dim=-1) @ quantizer.embedding.weight.float()
    f_hat_BChw = mean_BLC.new_zeros(len(mean_BLC), mean_BLC.shape[-1], sides[-1], sides[-1])
    for scale, part_BLC in enumerate(mean_BLC.split([side * side for side in sides], dim=1)):
        f_hat_BChw = quantizer.accumulate(f_hat_BChw, as_map(part_BLC), scale=scale)
    return f_hat_BChw


def affine_loss(guess_BHW: Tensor, target_BHW: Tensor, *, valid_BHW: Tensor) -> Tensor:
    """L1 after the scale and shift of least squares, per image, + multi-scale gradient loss.

    The fit has gradients too, and no negative scale (far stays far): a flat or inverted guess is
    compared with the target's mean.
    """
    weight_BHW = valid_BHW.float()
    count_B11 = weight_BHW.sum(dim=(1, 2), keepdim=True).clamp_min(1)

    def mean(x_BHW: Tensor) -> Tensor:
        return (weight_BHW * x_BHW).sum(dim=(1, 2), keepdim=True) / count_B11

    centered_BHW = guess_BHW - mean(guess_BHW)
    wanted_BHW = target_BHW - mean(target_BHW)
    variance_B11 = mean(centered_BHW.square()) + 1e-4
    scale_B11 = (mean(centered_BHW * wanted_BHW) / variance_B11).clamp_min(0)
    fitted_BHW = centered_BHW * scale_B11
    error = (weight_BHW * (fitted_BHW - wanted_BHW).abs()).sum() / weight_BHW.sum().clamp_min(1)
    return error + gradient_loss(fitted_BHW, wanted_BHW, valid_BHW)
