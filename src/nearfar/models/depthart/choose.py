"""How the tokens of a scale are chosen: the best, drawn, or the mean of several draws.

Spec depthart.md section 3: the depth-VAR baseline takes the best; released DepthART takes the mean
of five drawn code vectors after top-k 900 and top-p 0.9, so its f_hat is off the codebook.
Shapes: B batch, L tokens, V codes, C code width, S draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from nearfar.errors import ConfigError
from nearfar.sampling.categorical import draw, filter_top_k, filter_top_p
from nearfar.tokenizers.quantizer import MultiScaleQuantizer

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
