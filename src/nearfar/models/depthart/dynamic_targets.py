"""Targets from the network's own choices: what is left to say after them (arXiv 2409.15010).

target_k = Q_k[f_D - sum over i < k of eta_i(z_i)], z_i = argmax of the network's logits at scale i
(spec depthart.md section 3). First of two passes: a generation without gradients records the
choices; the second is `network.masked_logits` on them. Same logits and gradients as one pass.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nearfar.tokenizers.quantizer import as_map

from .network import DepthARTNetwork


class Rollout(NamedTuple):
    """target_BL: codes to predict at every place. inputs_BLC: of scales 2..K, by own choices.

    before_last_BCHW: f_hat_(K-1), what the last scale adds to.
    """

    target_BL: Tensor
    inputs_BLC: Tensor
    before_last_BCHW: Tensor


@torch.no_grad()
def roll_out(network: DepthARTNetwork, photo_BMC: Tensor, f_BCHW: Tensor) -> Rollout:
    """Generate greedily from photos, and look up what each scale should have said of f."""
    quantizer, scales = network.tokenizer.quantize, network.config.tokenizer.scales
    cache, logits_BLV = network.begin(photo_BMC)
    f_hat_BCHW = before_last_BCHW = torch.zeros_like(f_BCHW)
    targets, inputs = [], [f_BCHW.new_zeros((len(f_BCHW), 0, f_BCHW.shape[1]))]
    for scale in range(len(scales)):
        targets.append(quantizer.nearest_at(f_BCHW - f_hat_BCHW, scale=scale))
        before_last_BCHW = f_hat_BCHW
        if scale + 1 == len(scales):
            break
        codes_BChw = as_map(quantizer.embed(logits_BLV.argmax(dim=-1)))
        f_hat_BCHW = quantizer.accumulate(f_hat_BCHW, codes_BChw, scale=scale)
        inputs_BChw = quantizer.inputs_of_next_scale(f_hat_BCHW, scale=scale)
        inputs.append(inputs_BChw.flatten(2).transpose(1, 2))
        if scale + 2 < len(scales):  # the last scale's logits come with gradients, in pass two
            logits_BLV = network.step(inputs_BChw, scale=scale + 1, cache=cache)
    return Rollout(torch.cat(targets, dim=1), torch.cat(inputs, dim=1), before_last_BCHW)
