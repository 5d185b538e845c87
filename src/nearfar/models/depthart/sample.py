"""The next-scale loop of DepthART (arXiv 2409.15010; docs/nextscale.md section 2), as in the paper.

Start from the photo, choose the tokens of a scale, add them to f_hat, show the sum to the network
at the next scale's size, until the last scale. The caller runs `network.begin` on the photo once,
whatever number of samples follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import torch
from torch import Tensor

from nearfar.errors import ConfigError
from nearfar.layers.kv_cache import empty_cache
from nearfar.sampling.categorical import draw, filter_top_k, filter_top_p, guided_logits
from nearfar.sampling.next_scale import sample_scales
from nearfar.tokenizers.quantizer import MultiScaleQuantizer, as_map

from .network import DepthARTNetwork, Prefill

# How the tokens of a scale are chosen: the best, drawn, or the mean of several draws.
#
# The depth-VAR baseline takes the best; released DepthART takes the mean of five drawn code vectors
# after top-k 900 and top-p 0.9, so its f_hat is off the codebook (docs/nextscale.md section 2).
# Shapes: B batch, L tokens, V codes, C code width, S draws.

TOP_K, TOP_P, DRAWS = 900, 0.9, 5


class Choose(Protocol):
    """Code vectors [B,L,C] for logits; row b draws from generator b only."""

    def __call__(
        self,
        logits_BLV: Tensor,
        quantizer: MultiScaleQuantizer,
        generators: Sequence[torch.Generator],
    ) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Greedy:
    """The best code; draws nothing."""

    def __call__(
        self,
        logits_BLV: Tensor,
        quantizer: MultiScaleQuantizer,
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        return quantizer.embed(logits_BLV.argmax(dim=-1))


@dataclass(frozen=True, kw_only=True, slots=True)
class MeanOfDraws:
    """The mean of `draws` codes drawn with replacement among the likely ones."""

    draws: int = DRAWS
    top_k: int = TOP_K
    top_p: float = TOP_P

    def __post_init__(self) -> None:
        if self.draws < 1 or self.top_k < 0 or not 0 <= self.top_p <= 1:
            raise ConfigError(
                "choose", f"{self.draws} draws, top_k {self.top_k}, top_p {self.top_p}"
            )

    def __call__(
        self,
        logits_BLV: Tensor,
        quantizer: MultiScaleQuantizer,
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        likely_BLV = filter_top_p(filter_top_k(logits_BLV, self.top_k), self.top_p)
        index_BLS = torch.stack(
            [
                draw(row_LV, generator=generator, samples=self.draws)
                for row_LV, generator in zip(likely_BLV, generators, strict=True)
            ]
        )
        return quantizer.embed(index_BLS).mean(dim=2)


CHOICES: Mapping[str, Choose] = {
    "greedy": Greedy(),
    "sample": MeanOfDraws(draws=1),
    "mean_k": MeanOfDraws(),
}


def choice(mode: str) -> Choose:
    """The way to choose of a name; ConfigError names the known ones."""
    if mode not in CHOICES:
        raise ConfigError("mode", f"unknown {mode!r}", f"Use one of {', '.join(CHOICES)}")
    return CHOICES[mode]


def sample_f_hat(
    network: DepthARTNetwork,
    prefill: Prefill,
    *,
    choose: Choose,
    generators: Sequence[torch.Generator],
) -> Tensor:
    """f_hat [S,C,H,W] of one depth map per generator, for `tokenizer.decode`; float32.

    prefill: of one photo, for any number of generators; or of as many photos as generators.
    """
    S, photos = len(generators), len(prefill.logits_BLV)
    if photos not in (1, S):
        raise ConfigError("sample", f"{S} generators for {photos} photos", "Give one for each")
    quantizer, scales = network.tokenizer.quantize, network.config.tokenizer.scales
    cache = prefill.cache.repeat(S // photos)
    first_SLV = prefill.logits_BLV.expand(S, -1, -1)
    f_hat_SCHW = torch.zeros(
        S, network.config.tokenizer.code_width, scales[-1], scales[-1], device=first_SLV.device
    )

    def codes_at(inputs_SChw: Tensor | None, scale: int) -> Tensor:
        logits_SLV = first_SLV
        if inputs_SChw is not None:
            logits_SLV = network.step(inputs_SChw, scale=scale, cache=cache)
        return as_map(choose(logits_SLV, quantizer, generators))

    return sample_scales(quantizer, f_hat_SCHW, count=len(scales), codes_at=codes_at)


# Class-conditional VAR (arXiv 2404.02905; docs/nextscale.md section 6.5): images of a class.
#
# The backbone that DepthART starts from, kept so that it can be checked against what it was. With
# guidance, both the class and no class run; logits = (1 + t) class - t none, t rising linearly from
# 0 at the first scale to `guidance_scale` at the last.


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
    places = list(accumulate((side * side for side in scales), initial=0))
    f_hat_BCHW = torch.zeros(
        len(label_B), config.tokenizer.code_width, scales[-1], scales[-1], device=label_B.device
    )

    def codes_at(inputs_BChw: Tensor | None, scale: int) -> Tensor:
        x_BLD = transformer.start(both_B)
        if inputs_BChw is not None:
            x_BLD = transformer.embed(inputs_BChw.flatten(2).transpose(1, 2), first=places[scale])
            x_BLD = x_BLD.repeat(2, 1, 1)
        logits_BLV = transformer.logits(transformer(x_BLD, modulated, cache=cache), modulated)
        cond_BLV, uncond_BLV = logits_BLV.chunk(2)
        share = scale / max(1, len(scales) - 1)
        chosen_BLV = guided_logits(cond_BLV, uncond_BLV, guidance_scale * share)
        return as_map(choose(chosen_BLV, quantizer, generators))

    return sample_scales(quantizer, f_hat_BCHW, count=len(scales), codes_at=codes_at)


def teacher_forced_logits(network: DepthARTNetwork, label_B: Tensor, inputs_BLC: Tensor) -> Tensor:
    """Logits [B,L,V] of all scales in one masked pass, given the inputs of scales 2..K."""
    transformer = network.transformer
    modulated, start_BLD = transformer.modulated(label_B), transformer.start(label_B)
    inputs_BLD = transformer.embed(inputs_BLC, first=start_BLD.shape[1])
    x_BLD = torch.cat([start_BLD, inputs_BLD], dim=1)
    mask_LL = network.mask(x_BLD.device)[network.prefix_count :, network.prefix_count :]
    return transformer.logits(transformer(x_BLD, modulated, mask_LL=mask_LL), modulated)
