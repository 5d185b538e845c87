"""The rivals of DAR's network in dar.py: without its transformer, its bins, or both.

All are `DARNetwork` with parts exchanged, so that steps and loss are the family's own. The photo
encoder's outputs are computed once (`StoredOutputs`), since it is frozen.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.encoders.outputs import EncoderOutput
from nearfar.models.dar.bins import Bins, ConvGRU, Expectation
from nearfar.models.dar.config import DARConfig
from nearfar.models.dar.network import DARNetwork, Injected, init_weights
from nearfar.models.dar.photo_encoder import Encoded
from nearfar.models.dar.presets import TINY
from nearfar.models.dar.sample import at_size
from nearfar.models.dar.transformer import GridSize

# dar-tiny, narrow enough for hundreds of steps in two minutes of one core
CONFIG = replace(
    TINY,
    width=96,
    heads=3,
    token_width=96,
    memory_width=96,
    context_width=16,
    decoder_width=16,
    hidden_width=16,
    spread_of_first=False,
    has_prior=False,  # both as the paper; `PRIOR` is our tiny preset's way
)
PRIOR = replace(CONFIG, has_prior=True)
ONE_STEP = replace(CONFIG, fractions=(1.0,), feedback="transformer")  # nothing to feed back to
WIDER = replace(CONFIG, layers=5, width=192, heads=6)  # the transformer, as the paper scales


class StoredOutputs(nn.Module):
    """In place of the frozen encoder: its stored outputs for the scenes of the next call."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.outputs: EncoderOutput | None = None

    def forward(self, image_B3HW: Tensor) -> EncoderOutput:
        assert self.outputs is not None
        assert len(self.outputs.tokens_BLD) == len(image_B3HW), "outputs of other photos"
        return self.outputs


class PooledRun:
    """In place of the transformer: the memory pooled to a step's grid, plus the step's input."""

    def __init__(
        self, network: Pooled, memory_BMD: Tensor, grid_hw: GridSize, sizes_hw: list[GridSize]
    ) -> None:
        self.linear, self.left = network.pooled, list(sizes_hw)
        self.map_BDhw = memory_BMD.transpose(1, 2).unflatten(2, grid_hw)

    def step(self, input_BLD: Tensor) -> Tensor:
        """Output tokens of the step whose input this is."""
        map_BDhw = F.adaptive_avg_pool2d(self.map_BDhw, self.left.pop(0))
        return input_BLD + self.linear(map_BDhw.flatten(2).transpose(1, 2))


class Pooled(DARNetwork):
    """No transformer."""

    def __init__(self, config: DARConfig) -> None:
        super().__init__(config)
        self.transformer = nn.Identity()  # type: ignore[assignment]
        self.pooled = nn.Linear(config.memory_width, config.token_width)
        self.grid_hw: GridSize = (0, 0)

    def encode(self, image_B3HW: Tensor) -> Encoded:
        encoded = super().encode(image_B3HW)
        assert encoded.small is not None
        self.grid_hw = encoded.small.grid_hw
        return encoded

    def begin(self, memory_BMD: Tensor, sizes_hw: list[GridSize]) -> PooledRun:  # type: ignore[override]
        return PooledRun(self, memory_BMD, self.grid_hw, sizes_hw)


class NoBins(NamedTuple):
    """There are none."""

    def centers(self) -> Tensor:
        raise NotImplementedError

    def resized(self, size_hw: GridSize) -> NoBins:
        return self

    def after(self, found: Expectation) -> NoBins:
        return self


class Direct(DARNetwork):
    """No bins, hence none injected: every step answers with ln(metres) within the range."""

    def __init__(self, config: DARConfig) -> None:
        super().__init__(config)
        hidden = config.hidden_width
        self.bin_projection = nn.Identity()  # type: ignore[assignment]
        self.gru = ConvGRU(hidden, config.context_width)
        self.probability = nn.Sequential(  # type: ignore[assignment]
            nn.Conv2d(hidden, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, 1, 3, padding=1)
        )

    def first_bins(self, size_hw: GridSize, like_BMD: Tensor) -> Bins:
        return NoBins()

    def inject(
        self,
        tokens_BChw: Tensor,
        context_BChw: Tensor,
        bins: Bins,
        *,
        prior_B1hw: Tensor | None = None,
    ) -> Injected:
        h, w = context_BChw.shape[-2:]
        hidden_BChw = at_size(self.token_decoder(tokens_BChw), (h, w))
        hidden_BChw = self.gru(hidden_BChw, context_BChw)
        low, high = math.log(self.config.near), math.log(self.config.far)
        share_B1hw = self.probability(hidden_BChw).float().sigmoid()
        depth_B1hw = low + (high - low) * share_B1hw
        return Injected(hidden_BChw, Expectation(depth_B1hw, torch.zeros_like(depth_B1hw)))


class PooledDirect(Pooled, Direct):
    """Neither transformer nor bins; with one step: encoder, decoder, one answer."""


class FixedBins(NamedTuple):
    """The first step's bins for all steps."""

    first: Bins

    def centers(self) -> Tensor:
        return self.first.centers()

    def resized(self, size_hw: GridSize) -> FixedBins:
        return FixedBins(self.first.resized(size_hw))

    def after(self, found: Expectation) -> FixedBins:
        return self


class Unrefreshed(DARNetwork):
    """Bins that are injected, but never divided again."""

    def first_bins(self, size_hw: GridSize, like_BMD: Tensor) -> Bins:
        return FixedBins(super().first_bins(size_hw, like_BMD))


def new_rival(
    kind: type[DARNetwork], config: DARConfig, *, generator: torch.Generator
) -> DARNetwork:
    """Fresh weights by the family's own rule, the encoder's place taken by `StoredOutputs`."""
    with torch.device("meta"):
        network = kind(config)
    network.encoder.backbone = StoredOutputs(network.encoder.backbone.width)
    network.to_empty(device="cpu")
    init_weights(network, generator=generator)
    return network
