"""The photo as condition: its features, small MLPs instead of text (docs/nextscale.md section 3).

Features at three strides (S = stride of the tokenizer): S/4, S/2 and S. They are those of the
frozen tokenizer's encoder, or, where the tokenizer knows depth only, semantics of a frozen encoder
on the grid and finer ones from a few convolutions of our own.
pooled = MLP(mean LN(cells)); context = [learned tokens, global token, MLP(LN(cells)) + Linear of a
fixed 2-D sine code]. All context tokens count, there is no mask. The null tokens stand for "no
photo" (classifier-free guidance, docs/nextscale.md section 3).
Shapes: B batch, H W pixels, C channels, h w feature grid, M context tokens, D width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.tokenizers.autoencoder import ResidualBlock

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


# Switti's crop condition: an image's size before its crop, and where it was cut
# (docs/nextscale.md section 7.2).

SIDE = 512  # of the crops the published network was trained on


def crop_numbers(sizes_hw: Sequence[tuple[int, int]]) -> Tensor:
    """(h', w', top, left) of images scaled to a shorter side of 512, cut in the center: [B,4].

    Released code: the ratio is float32, and its last digit decides many of the whole numbers.
    """
    sizes_B2 = torch.tensor(sizes_hw, dtype=torch.float32)
    scaled_B2 = (sizes_B2 * (SIDE / sizes_B2.amin(dim=1, keepdim=True))).floor()
    corner_B2 = ((scaled_B2 - SIDE) / 2).floor().clamp_min(0)
    return torch.cat([scaled_B2, corner_B2], dim=1)


class CropFeatures(nn.Module):
    """Gaussian Fourier features [sin(2 pi x w), cos(2 pi x w)] of each number, w frozen."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width // 8), requires_grad=False)

    def forward(self, crop_B4: Tensor) -> Tensor:
        """[B,D], the four numbers one after the other."""
        # float32 island: angles of thousands of radians
        angle_B4D = crop_B4.float()[..., None] * self.weight.float() * (2 * math.pi)
        return torch.cat([angle_B4D.sin(), angle_B4D.cos()], dim=-1).flatten(1)


# The released condition: RGB features blended into the embedding of a constant prompt
# (docs/nextscale.md sections 8.1, 8.2).
#
# context = [prefix, T + sigmoid(alpha) R], pooled = t + sigmoid(beta) r, with T, t and a padding
# mask of the prompt, and R, r, dynamic prefix from `RGBConditionAdapter`. Prefix by mode: static P,
# hybrid_conditional P + sigmoid(gamma) Delta, none. Attribute names are the published ones. Nothing
# here tells the transformer where in the photo anything is: keys carry no position, and most text
# tokens are masked. It is kept to run what was released. Shapes: B batch, H W pixels, M context
# tokens, K scales, D width.

SEQUENCE_HW = (7, 11)  # 77 tokens, as many as CLIP's
PREFIX_TOKENS, RANK = 8, 128  # of every scale; of the dynamic prefix
HIDDEN, PREFIX_HIDDEN = 1024, 512
_WIDTHS = (3, 64, 128, 256, 512, 768)


class RGBFeatures(NamedTuple):
    """sequence_BMD: 77 tokens. pooled_BD. delta_BKMD: dynamic prefix, 8 tokens a scale."""

    sequence_BMD: Tensor
    pooled_BD: Tensor
    delta_BKMD: Tensor


class ContextAndPooled(NamedTuple):
    """What the transformer is conditioned on; bias_BM: 0 or -inf per context token."""

    context_BMD: Tensor
    pooled_BD: Tensor
    bias_BM: Tensor | None


class RGBConditionAdapter(nn.Module):
    """A photo in -1..1 as text-like features, and the three gates (15 472 003 parameters)."""

    def __init__(self, *, context_width: int, pooled_width: int, scales: int) -> None:
        super().__init__()
        self.scales = scales
        self.alpha_logit = nn.Parameter(torch.tensor(0.1))
        self.beta_logit = nn.Parameter(torch.tensor(0.1))
        self.prefix_delta_logit = nn.Parameter(torch.tensor(-2.0))
        self.prefix_context_basis = nn.Parameter(torch.zeros(RANK, context_width))
        layers: list[nn.Module] = []
        for index, (width_in, width_out) in enumerate(pairwise(_WIDTHS)):
            stride = 1 if index == len(_WIDTHS) - 2 else 2
            layers += [nn.Conv2d(width_in, width_out, 3, stride=stride, padding=1), nn.SiLU()]
        self.encoder = nn.Sequential(*layers)
        width = _WIDTHS[-1]
        self.seq_proj = _two_layers(width, HIDDEN, context_width)
        self.seq_norm = nn.LayerNorm(context_width)
        self.global_proj = _two_layers(width, width, pooled_width)
        self.global_norm = nn.LayerNorm(pooled_width)
        self.prefix_token_proj = _two_layers(width, PREFIX_HIDDEN, scales * PREFIX_TOKENS * RANK)
        self.prefix_delta_norm = nn.LayerNorm(context_width)

    def forward(self, image_B3HW: Tensor) -> RGBFeatures:
        features_BDHW = self.encoder(image_B3HW)
        cells_BDhw = F.adaptive_avg_pool2d(features_BDHW, SEQUENCE_HW)
        sequence_BMD = self.seq_norm(self.seq_proj(cells_BDhw.flatten(2).transpose(1, 2)))
        mean_BD = features_BDHW.mean(dim=(2, 3))
        weights_BKMR = self.prefix_token_proj(mean_BD).unflatten(
            1, (self.scales, PREFIX_TOKENS, RANK)
        )
        delta_BKMD = self.prefix_delta_norm(weights_BKMR @ self.prefix_context_basis)
        return RGBFeatures(sequence_BMD, self.global_norm(self.global_proj(mean_BD)), delta_BKMD)


class PromptCondition(nn.Module):
    """The constant prompt's embedding, the adapter and the static prefix.

    text_context_MD, text_pooled_D, text_bias_M: of "a photo of a street" by the two CLIP encoders,
    which are no part of this project; they come with the weights. Released code: the prefix of
    mode none was an untrained random one at test time; here there is none (see keys.py).
    """

    text_context_MD: Tensor
    text_pooled_D: Tensor
    text_bias_M: Tensor

    def __init__(self, config: VarDepthConfig) -> None:
        super().__init__()
        width, scales = config.context_width, len(config.tokenizer.scales)
        self.prefix_mode = config.prefix_mode
        self.adapter = RGBConditionAdapter(
            context_width=width, pooled_width=config.pooled_width, scales=scales
        )
        self.static_prefix_KMD = nn.Parameter(torch.zeros(scales, PREFIX_TOKENS, width))
        tokens = SEQUENCE_HW[0] * SEQUENCE_HW[1]
        self.register_buffer("text_context_MD", torch.zeros(tokens, width))
        self.register_buffer("text_pooled_D", torch.zeros(config.pooled_width))
        self.register_buffer("text_bias_M", torch.zeros(tokens))

    def forward(self, image_B3HW: Tensor) -> ContextAndPooled:
        """Conditions of photos in -1..1."""
        rgb, adapter = self.adapter(image_B3HW), self.adapter
        context_BMD = self.text_context_MD + adapter.alpha_logit.sigmoid() * rgb.sequence_BMD
        pooled_BD = self.text_pooled_D + adapter.beta_logit.sigmoid() * rgb.pooled_BD
        bias_BM = self.text_bias_M.expand(len(context_BMD), -1)
        prefix_BMD = self.prefix(rgb.delta_BKMD)
        if prefix_BMD is not None:
            context_BMD = torch.cat([prefix_BMD, context_BMD], dim=1)
            bias_BM = F.pad(bias_BM, (prefix_BMD.shape[1], 0))
        return ContextAndPooled(context_BMD, pooled_BD, bias_BM)

    def prefix(self, delta_BKMD: Tensor) -> Tensor | None:
        """Prefix tokens [B,80,D], scale by scale; every scale of the transformer sees them all."""
        if self.prefix_mode == "none":
            return None
        prefix_BKMD = self.static_prefix_KMD.expand_as(delta_BKMD)
        if self.prefix_mode == "hybrid_conditional":
            prefix_BKMD = prefix_BKMD + self.adapter.prefix_delta_logit.sigmoid() * delta_BKMD
        return prefix_BKMD.flatten(1, 2)


def _two_layers(width_in: int, hidden: int, width_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width_in, hidden), nn.SiLU(), nn.Linear(hidden, width_out))
