"""The next-scale loop of VAR-Depth (arXiv 2512.22653; docs/nextscale.md section 3): ten stages.

At every scale: logits with the photo, without it where guidance asks, choose codes, add them to
f_hat, show the sum to the network at the next scale's size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nearfar.errors import ConfigError
from nearfar.sampling.categorical import draw, filter_top_k, filter_top_p, guided_logits
from nearfar.sampling.next_scale import sample_scales
from nearfar.tokenizers.quantizer import MultiScaleQuantizer, as_map

from .network import Conditioned, VarDepthNetwork

# Classifier-free guidance over scales (docs/nextscale.md sections 3, 7.6).
#
# At scale k of K (from 0), for on <= k < off, logits = (1 + t_k) cond - t_k uncond with
# t_k = scale k / (K - 1): none at the first scale. Elsewhere the condition alone; from `off` on the
# logits are divided by `temperature`. Ours by default: off for the two largest scales, which hold
# most tokens, so that guidance costs at most a third more instead of twice as much.


@dataclass(frozen=True, kw_only=True, slots=True)
class Guidance:
    """scale: 0 = none. on, off: first scale with it and first without."""

    scale: float = 0.0
    on: int = 0
    off: int = 8
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale >= 0):
            raise ConfigError("guidance_scale", f"{self.scale}", "0 is none, 1 to 2 are usual")
        if not 0 <= self.on <= self.off:
            raise ConfigError("guidance", f"on at scale {self.on}, off at {self.off}")
        if not self.temperature > 0:
            raise ConfigError("guidance.temperature", f"{self.temperature} is not above 0")

    def weight(self, scale: int, *, count: int) -> float:
        """t_k."""
        guided = self.on <= scale < self.off
        return self.scale * scale / max(count - 1, 1) if guided else 0.0

    def runs_unconditional(self, scale: int, *, count: int, is_causal: bool) -> bool:
        """Whether the unconditional branch is needed: later scales of a causal one look back."""
        if self.scale == 0 or scale >= self.off:
            return False
        return is_causal or self.weight(scale, count=count) > 0

    def __call__(
        self, cond_BLV: Tensor, uncond_BLV: Tensor | None, *, scale: int, count: int
    ) -> Tensor:
        """Logits of a scale."""
        if scale >= self.off:
            return cond_BLV / self.temperature
        weight = self.weight(scale, count=count)
        return cond_BLV if uncond_BLV is None else guided_logits(cond_BLV, uncond_BLV, weight)


NONE = Guidance()


# How the code vectors of a scale are chosen from logits (docs/nextscale.md section 3).
#
# greedy: the best code. sample: drawn after top-k 400, top-p 0.95, as released. expected: greedy,
# from scale 6 on the mean of the codebook under softmax. soft: sample, then the same mean: samples
# differ in their large shapes and are smooth in detail. mean_k (ours, after DepthART's,
# docs/nextscale.md section 2): as soft, but early scales take the mean of 4 draws at temperature
# 1/3. smooth: Switti's gumbel mixture.
# Shapes: S samples, L tokens, V codes, C code width.

MODES = ("greedy", "sample", "expected", "soft", "mean_k", "smooth")
_MEAN_LATER = ("expected", "soft", "mean_k")
EXPECTED_FROM = 6  # of ten scales
DRAWS, SHARPER = 4, 3.0  # mean_k: draws, and what multiplies its logits


@dataclass(frozen=True, kw_only=True, slots=True)
class Choose:
    """One of MODES with its numbers; row s draws from generator s only."""

    mode: str = "sample"
    top_k: int = 400
    top_p: float = 0.95

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError("mode", f"unknown {self.mode!r}", f"Use one of {', '.join(MODES)}")
        if self.top_k < 0 or not 0 <= self.top_p <= 1:
            raise ConfigError("choose", f"top_k {self.top_k}, top_p {self.top_p}")

    @property
    def draws(self) -> bool:
        """Whether generators matter."""
        return self.mode not in ("greedy", "expected")

    def __call__(
        self,
        logits_SLV: Tensor,
        quantizer: MultiScaleQuantizer,
        *,
        scale: int,
        count: int,
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        """Code vectors [S,L,C] float32."""
        if self.mode in _MEAN_LATER and scale * 10 >= EXPECTED_FROM * count:
            return logits_SLV.softmax(dim=-1) @ quantizer.embedding.weight.float()
        if not self.draws:
            return quantizer.embed(logits_SLV.argmax(dim=-1))
        if self.mode == "smooth":
            return self._mixture(logits_SLV, quantizer, scale / max(count - 1, 1), generators)
        is_mean = self.mode == "mean_k"
        if is_mean:
            logits_SLV = SHARPER * logits_SLV
        likely_SLV = filter_top_p(filter_top_k(logits_SLV, self.top_k), self.top_p)
        rows = zip(likely_SLV, generators, strict=True)
        draws = DRAWS if is_mean else 1
        # ... x draws, all of one row from its own generator
        index = torch.stack([draw(row_LV, generator=g, samples=draws) for row_LV, g in rows])
        return quantizer.embed(index).mean(dim=-2)

    def _mixture(
        self,
        logits_SLV: Tensor,
        quantizer: MultiScaleQuantizer,
        ratio: float,
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        """softmax((logits (1 + ratio) + gumbel) / tau) of the codes, tau falling over scales."""
        tau = max(0.27 * (1 - 0.95 * ratio), 0.005)
        likely_SLV = filter_top_p(filter_top_k(logits_SLV * (1 + ratio), self.top_k), self.top_p)
        noise_SLV = torch.stack(
            [
                -torch.empty(row_LV.shape, device=g.device).exponential_(generator=g).log()
                for row_LV, g in zip(likely_SLV, generators, strict=True)
            ]
        ).to(logits_SLV.device)
        shares_SLV = ((likely_SLV + noise_SLV) / tau).softmax(dim=-1)
        return shares_SLV @ quantizer.embedding.weight.float()


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
    u_SChw: Tensor | None = None

    def codes_at(inputs_SChw: Tensor | None, scale: int) -> Tensor:
        nonlocal u_SChw  # the ladder goes on from where it was
        uncond_SLV = None
        cond_SLV, u_SChw = network.step(inputs_SChw, given, scale=scale, u_BChw=u_SChw, cache=cache)
        if guidance.runs_unconditional(scale, count=count, is_causal=is_causal):
            assert without is not None
            unguided = network.step(inputs_SChw, without, scale=scale, u_BChw=None, cache=other)
            uncond_SLV = unguided.logits_BLV
        logits_SLV = guidance(cond_SLV, uncond_SLV, scale=scale, count=count).expand(S, -1, -1)
        if watch is not None:
            watch(scale, logits_SLV)
        codes_SLC = choose(logits_SLV, quantizer, scale=scale, count=count, generators=generators)
        return as_map(codes_SLC)

    return sample_scales(quantizer, f_hat_SChw, count=count, codes_at=codes_at)
