"""The next-scale loop of DepthART (arXiv 2409.15010; spec depthart.md section 3), as in the paper.

Start from the photo, choose the tokens of a scale, add them to f_hat, show the sum to the network
at the next scale's size, until the last scale. The caller runs `network.begin` on the photo once,
whatever number of samples follows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nearfar.errors import ConfigError
from nearfar.tokenizers.quantizer import as_map

from .choose import Choose
from .network import DepthARTNetwork, Started


def sample_f_hat(
    network: DepthARTNetwork,
    started: Started,
    *,
    choose: Choose,
    generators: Sequence[torch.Generator],
) -> Tensor:
    """f_hat [S,C,H,W] of one depth map per generator, for `tokenizer.decode`; float32.

    started: of one photo, for any number of generators; or of as many photos as generators.
    """
    S, photos = len(generators), len(started.logits_BLV)
    if photos not in (1, S):
        raise ConfigError("sample", f"{S} generators for {photos} photos", "Give one for each")
    quantizer, scales = network.tokenizer.quantize, network.config.tokenizer.scales
    cache = started.cache.repeat(S // photos)
    logits_SLV = started.logits_BLV.expand(S, -1, -1)
    f_hat_SCHW = torch.zeros(
        S, network.config.tokenizer.code_width, scales[-1], scales[-1], device=logits_SLV.device
    )
    for scale in range(len(scales)):
        if scale > 0:
            inputs_SChw = quantizer.inputs_of_next_scale(f_hat_SCHW, scale=scale - 1)
            logits_SLV = network.step(inputs_SChw, scale=scale, cache=cache)
        codes_SChw = as_map(choose(logits_SLV, quantizer, generators))
        f_hat_SCHW = quantizer.accumulate(f_hat_SCHW, codes_SChw, scale=scale)
    return f_hat_SCHW
