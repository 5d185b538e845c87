"""The photo as condition, in our design: its features, and small MLPs instead of text (spec C1).

Features at three strides (S = stride of the tokenizer): S/4, S/2 and S. They are those of the
frozen tokenizer's encoder, or, where the tokenizer knows depth only, semantics of a frozen encoder
on the grid and finer ones from a few convolutions of our own.
pooled = MLP(mean LN(cells)); context = [learned tokens, global token, MLP(LN(cells)) + Linear of a
fixed 2-D sine code]. All context tokens count, there is no mask. The null tokens stand for "no
photo" (classifier-free guidance, spec C4).
Shapes: B batch, H W pixels, C channels, h w feature grid, M context tokens, D width.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.tokenizers.autoencoder import ResidualBlock

from .adapter import ContextAndPooled
from .config import VarDepthConfig

POSITION_FREQUENCIES = 64  # per axis
_GROUPS = 4


class PhotoFeatures(NamedTuple):
    """fine_BCHW: stride S/4. middle_BCHW: S/2. coarse_BChw: S, the grid of the tokens.

    codes_BChw: what `spatial = concat` joins: the photo's own latent, or the coarse features.
    """

    fine_BCHW: Tensor
    middle_BCHW: Tensor
    coarse_BChw: Tensor
    codes_BChw: Tensor


class FeatureWidths(NamedTuple):
    """Channels of `PhotoFeatures`."""

    fine: int
    middle: int
    coarse: int
    codes: int


def feature_widths(config: VarDepthConfig) -> FeatureWidths:
    """Channels of the features that a network of these sizes gets."""
    vq = config.tokenizer
    if config.photo == "encoder":
        fine, middle = config.ladder_width // 4, config.ladder_width // 2
        if vq.stride == 4:  # S/4 are the pixels
            fine = 3
        return FeatureWidths(fine, middle, config.semantics_width, config.semantics_width)
    widths = [vq.channels * multiplier for multiplier in vq.multipliers]
    return FeatureWidths(widths[-3], widths[-2], widths[-1], vq.code_width)


class Pyramid(nn.Module):
    """Our own features of photos at strides S/4 and S/2: strided convolution, norm, block each."""

    def __init__(self, config: VarDepthConfig) -> None:
        super().__init__()
        widths = feature_widths(config)
        count = round(math.log2(config.tokenizer.stride)) - 1
        outs = [max(_GROUPS, widths.middle >> (count - 1 - i)) for i in range(count)]
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width_in, width_out, 3, stride=2, padding=1),
                nn.GroupNorm(_GROUPS, width_out),
                nn.SiLU(),
                ResidualBlock(width_out, width_out, groups=_GROUPS),
            )
            for width_in, width_out in zip([3, *outs[:-1]], outs, strict=True)
        )

    def forward(self, image_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        found = [image_B3HW]
        for level in self.levels:
            found.append(level(found[-1]))
        return found[-2], found[-1]


class PhotoCondition(nn.Module):
    """Features to pooled vector and context tokens."""

    def __init__(self, config: VarDepthConfig) -> None:
        super().__init__()
        self.side = config.context_side
        coarse = feature_widths(config).coarse
        pooled, context = config.pooled_width, config.context_width
        self.pooled_in, self.context_in = nn.LayerNorm(coarse), nn.LayerNorm(coarse)
        self.pooled_mlp = _mlp(coarse, pooled, pooled)
        self.context_mlp = _mlp(coarse, max(coarse, context // 2), context)
        self.place = nn.Linear(4 * POSITION_FREQUENCIES, context)
        self.global_D = nn.Parameter(torch.zeros(context))
        self.learned_MD = nn.Parameter(torch.zeros(config.prefix_tokens, context))
        self.null_context_D: nn.Parameter | None = None
        self.null_pooled_D: nn.Parameter | None = None
        if config.has_null:
            self.null_context_D = nn.Parameter(torch.zeros(context))
            self.null_pooled_D = nn.Parameter(torch.zeros(pooled))

    def forward(self, features: PhotoFeatures) -> ContextAndPooled:
        """Conditions of photos."""
        cells_BLC = features.coarse_BChw.flatten(2).transpose(1, 2)
        pooled_BD = self.pooled_mlp(self.pooled_in(cells_BLC).mean(dim=1))
        side = min(self.side, features.coarse_BChw.shape[-1])
        few_BChw = F.adaptive_avg_pool2d(features.coarse_BChw, (side, side))
        few_BMC = self.context_in(few_BChw.flatten(2).transpose(1, 2))
        place_MD = self.place(sine_code(side, device=few_BMC.device))
        context_BMD = self.context_mlp(few_BMC) + place_MD
        global_B1D = self.context_mlp(few_BMC.mean(dim=1, keepdim=True)) + self.global_D
        learned_BMD = self.learned_MD.expand(len(context_BMD), -1, -1)
        context_BMD = torch.cat([learned_BMD, global_B1D, context_BMD], dim=1)
        return ContextAndPooled(context_BMD, pooled_BD, None)

    def without(self, conditions: ContextAndPooled, *, keep_B: Tensor) -> ContextAndPooled:
        """Conditions with the null tokens where keep is False.

        All context tokens of a sample become the same: attention gives what one alone would give.
        """
        assert self.null_context_D is not None and self.null_pooled_D is not None
        context_BMD = torch.where(
            keep_B[:, None, None], conditions.context_BMD, self.null_context_D
        )
        pooled_BD = torch.where(keep_B[:, None], conditions.pooled_BD, self.null_pooled_D)
        return ContextAndPooled(context_BMD, pooled_BD, None)

    def null(self) -> ContextAndPooled:
        """The conditions of no photo: one token."""
        assert self.null_context_D is not None and self.null_pooled_D is not None
        return ContextAndPooled(self.null_context_D[None, None], self.null_pooled_D[None], None)


def sine_code(side: int, *, device: torch.device) -> Tensor:
    """[sin, cos] of 64 frequencies for column and row of every cell, [M,256] float32."""
    place_M = (torch.arange(side, device=device).float() + 0.5) / side
    index_D = torch.arange(POSITION_FREQUENCIES, device=device).float()
    angle_MD = torch.outer(place_M, math.pi * 64.0 ** (index_D / (POSITION_FREQUENCIES - 1)))
    wave_MD = torch.cat([angle_MD.sin(), angle_MD.cos()], dim=-1)
    columns_MMD = wave_MD.expand(side, -1, -1)
    rows_MMD = wave_MD[:, None].expand(-1, side, -1)
    return torch.cat([columns_MMD, rows_MMD], dim=-1).flatten(0, 1)


def _mlp(width_in: int, hidden: int, width_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width_in, hidden),
        nn.SiLU(),
        nn.Linear(hidden, width_out),
        nn.LayerNorm(width_out),
    )
