"""Class-conditional VAR (arXiv 2404.02905; spec depthart.md section 2): images of a class.

The backbone that DepthART starts from, kept so that it can be checked against what it was. With
guidance, both the class and no class run; logits = (1 + t) class - t none, t rising linearly from 0
at the first scale to `guidance_scale` at the last.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nearfar.errors import ConfigError
from nearfar.sampling.categorical import guided_logits
from nearfar.tokenizers.quantizer import as_map

from .cache import empty_cache
from .choose import Choose
from .network import DepthARTNetwork


def sample_classes(
    network: DepthARTNetwork,
    label_B: Tensor,
    *,
    guidance_scale: float,
    choose: Choose,
    generators: Sequence[torch.Generator],
) -> Tensor:
    """f_hat [B,C,H,W] of one image per label and generator."""
    config, transformer = network.config, network.transformer
    if config.modulation == "constant":
        raise ConfigError("VAR", "its modulation is folded to one condition: it knows no classes")
    quantizer, scales = network.tokenizer.quantize, config.tokenizer.scales
    both_B = torch.cat([label_B, torch.full_like(label_B, transformer.unconditional)])
    modulated = transformer.modulated(both_B)
    cache = empty_cache(
        (len(both_B), config.heads, config.tokenizer.token_count, config.width // config.heads),
        blocks=config.depth,
        dtype=transformer.matrix_dtype,
        device=label_B.device,
    )
    x_BLD, first = transformer.start(both_B), 0
    f_hat_BCHW = torch.zeros(
        len(label_B), config.tokenizer.code_width, scales[-1], scales[-1], device=label_B.device
    )
    for scale, side in enumerate(scales):
        if scale > 0:
            inputs_BChw = quantizer.inputs_of_next_scale(f_hat_BCHW, scale=scale - 1)
            x_BLD = transformer.embed(inputs_BChw.flatten(2).transpose(1, 2), first=first)
            x_BLD = x_BLD.repeat(2, 1, 1)
        first += side * side
        logits_BLV = transformer.logits(transformer(x_BLD, modulated, cache=cache), modulated)
        cond_BLV, uncond_BLV = logits_BLV.chunk(2)
        share = scale / max(1, len(scales) - 1)
        chosen_BLV = guided_logits(cond_BLV, uncond_BLV, guidance_scale * share)
        codes_BChw = as_map(choose(chosen_BLV, quantizer, generators))
        f_hat_BCHW = quantizer.accumulate(f_hat_BCHW, codes_BChw, scale=scale)
    return f_hat_BCHW


def teacher_forced_logits(network: DepthARTNetwork, label_B: Tensor, inputs_BLC: Tensor) -> Tensor:
    """Logits [B,L,V] of all scales in one masked pass, given the inputs of scales 2..K."""
    transformer = network.transformer
    modulated, start_BLD = transformer.modulated(label_B), transformer.start(label_B)
    inputs_BLD = transformer.embed(inputs_BLC, first=start_BLD.shape[1])
    x_BLD = torch.cat([start_BLD, inputs_BLD], dim=1)
    mask_LL = network.mask(x_BLD.device)[network.prefix_count :, network.prefix_count :]
    return transformer.logits(transformer(x_BLD, modulated, mask_LL=mask_LL), modulated)
