"""How the code vectors of a scale are chosen from logits (spec var_depth.md B8, C11).

greedy: the best code. sample: drawn after top-k 400, top-p 0.95, as released. expected: greedy,
from scale 6 on the mean of the codebook under softmax. soft: sample, then the same mean: samples
differ in their large shapes and are smooth in detail. mean_k (ours, after depthart.md section 3):
as soft, but early scales take the mean of 4 draws at temperature 1/3. smooth: Switti's gumbel
mixture.
Shapes: S samples, L tokens, V codes, C code width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nearfar.errors import ConfigError
from nearfar.sampling.categorical import draw, filter_top_k, filter_top_p
from nearfar.tokenizers.quantizer import MultiScaleQuantizer

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
