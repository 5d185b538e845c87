"""The next-scale loop of VAR-Depth (arXiv 2512.22653; spec var_depth.md A1, B8): ten stages.

At every scale: logits with the photo, without it where guidance asks, choose codes, add them to
f_hat, show the sum to the network at the next scale's size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nearfar.tokenizers.quantizer import as_map

from .choose import Choose
from .guidance import NONE, Guidance
from .network import Conditioned, VarDepthNetwork

Watch = Callable[[int, Tensor], None]


def sample_f_hat(
    network: VarDepthNetwork,
    given: Conditioned,
    *,
    choose: Choose,
    generators: Sequence[torch.Generator],
    guidance: Guidance = NONE,
    without: Conditioned | None = None,
    watch: Watch | None = None,
) -> Tensor:
    """f_hat [S,C,h,w] of one depth map per generator, for `tokenizer.decode`; float32.

    given: of one photo, or of as many as generators. without: of no photo, where there is
    guidance. watch: is told scale and logits [S,L,V] before codes are chosen.
    """
    S, vq, quantizer = len(generators), network.config.tokenizer, network.tokenizer.quantize
    count, is_causal = len(vq.scales), network.config.is_causal
    cache = network.transformer.new_cache(S, given.conditions)
    other = None if without is None else network.transformer.new_cache(S, without.conditions)
    f_hat_SChw = torch.zeros(S, vq.code_width, vq.grid, vq.grid, device=network.device)
    inputs_SChw = u_SChw = None
    for scale in range(count):
        uncond_SLV = None
        if scale > 0:
            inputs_SChw = quantizer.inputs_of_next_scale(f_hat_SChw, scale=scale - 1)
        cond_SLV, u_SChw = network.step(inputs_SChw, given, scale=scale, u_BChw=u_SChw, cache=cache)
        if guidance.runs_unconditional(scale, count=count, is_causal=is_causal):
            assert without is not None
            said = network.step(inputs_SChw, without, scale=scale, u_BChw=None, cache=other)
            uncond_SLV = said.logits_BLV
        logits_SLV = guidance(cond_SLV, uncond_SLV, scale=scale, count=count).expand(S, -1, -1)
        if watch is not None:
            watch(scale, logits_SLV)
        codes_SLC = choose(logits_SLV, quantizer, scale=scale, count=count, generators=generators)
        f_hat_SChw = quantizer.accumulate(f_hat_SChw, as_map(codes_SLC), scale=scale)
    return f_hat_SChw
