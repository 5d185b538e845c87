"""Two ways through all scales in training: the map's own sums, or those of the network's codes.

Shapes: B batch, L tokens of all scales, V codes, C code width, h w feature grid.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nearfar.tokenizers.quantizer import as_map

from .network import Conditioned, VarDepthNetwork

RAMP = 0.5  # of the training: until then self-refinement grows (spec C6)


class Pass(NamedTuple):
    """logits_BLV of all scales, target_BL: their codes, sought_BLC: the vectors these stand for."""

    logits_BLV: Tensor
    target_BL: Tensor
    sought_BLC: Tensor


def grown(share: float, *, done: float) -> float:
    """Share of batches on own codes when `done` (0..1) of the training is; all of it without grad.

    So held-out losses stay comparable over a training.
    """
    return share * (min(1.0, done / RAMP) if torch.is_grad_enabled() else 1.0)


def teacher_pass(network: VarDepthNetwork, given: Conditioned, f_BChw: Tensor) -> Pass:
    """All scales at once on the map's own partial sums."""
    quantizer = network.tokenizer.quantize
    indices, sums = quantizer.encode(f_BChw)
    inputs = [quantizer.inputs_of_next_scale(x, scale=k) for k, x in enumerate(sums[:-1])]
    before = [torch.zeros_like(f_BChw), *sums[:-1]]
    sought = [_vectors(network, f_BChw - x, scale=k) for k, x in enumerate(before)]
    return Pass(network.all_logits(inputs, given), torch.cat(indices, 1), torch.cat(sought, 1))


def own_pass(network: VarDepthNetwork, given: Conditioned, f_BChw: Tensor) -> Pass:
    """Scale after scale on own greedy codes, no gradient through the choice."""
    quantizer = network.tokenizer.quantize
    f_hat_BChw, inputs_BChw, u_BChw = torch.zeros_like(f_BChw), None, None
    logits, sought = [], []
    for scale in range(len(network.config.tokenizer.scales)):
        if scale > 0:
            inputs_BChw = quantizer.inputs_of_next_scale(f_hat_BChw, scale=scale - 1)
        sought.append(_vectors(network, f_BChw - f_hat_BChw, scale=scale))
        said_BLV, u_BChw = network.step(inputs_BChw, given, scale=scale, u_BChw=u_BChw)
        logits.append(said_BLV)
        with torch.no_grad():
            codes_BChw = as_map(quantizer.embed(said_BLV.argmax(dim=-1)))
            f_hat_BChw = quantizer.accumulate(f_hat_BChw, codes_BChw, scale=scale)
    sought_BLC = torch.cat(sought, dim=1)
    return Pass(torch.cat(logits, dim=1), quantizer.nearest(sought_BLC), sought_BLC)


def _vectors(network: VarDepthNetwork, residual_BChw: Tensor, *, scale: int) -> Tensor:
    """The vectors [B,p*p,C] that a scale's codes stand for."""
    quantizer = network.tokenizer.quantize
    if scale == 0:
        return residual_BChw.mean(dim=(2, 3))[:, None]
    map_BChw = quantizer.inputs_of_next_scale(residual_BChw, scale=scale - 1)
    return map_BChw.flatten(2).transpose(1, 2)
