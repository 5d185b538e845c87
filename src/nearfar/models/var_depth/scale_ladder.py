"""Scale-wise conditional upsampling: a U-Net whose decoder is the ladder of scales.

Ours (docs/nextscale.md section 3). u_0 = Linear(pooled) at 1x1; at scale k with a p_k x p_k grid
u_k = Block(mix[up(u_(k-1)), skip(pool(photo, p_k)), sum(f_hat_(k-1) at p_k), coordinates])
      * (1 + A_k) + B_k
and W_k u_k is added to the tokens of the scale, W_kb u_k before every n-th block (all W start at
zero: the network begins as the one without). Photo features of strides S and S/2, for grids above
half the last also S/4, always by averages over cells. u depends on the photo and on f_hat only, so
training runs all scales at once; it carries geometry where cross-attention cannot.
Shapes: B batch, C channels, h w grid of a scale, L tokens, D width, K scales.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.tokenizers.autoencoder import ResidualBlock

from .condition import PhotoFeatures, feature_widths
from .config import VarDepthConfig

_GROUPS = 8


class Injections(NamedTuple):
    """entry_BLD: added to the tokens of a scale. before: block number -> added before that block.

    u_BChw: the ladder at this scale, None where there is no ladder.
    """

    entry_BLD: Tensor
    before: Mapping[int, Tensor]
    u_BChw: Tensor | None


class ScaleLadder(nn.Module):
    """The recurrence over scales and its ways into the transformer."""

    def __init__(self, config: VarDepthConfig) -> None:
        super().__init__()
        vq, width, photo = config.tokenizer, config.ladder_width, feature_widths(config)
        self.sides = vq.scales
        self.start = nn.Linear(config.pooled_width, width)
        self.skip = nn.Conv2d(photo.coarse + photo.middle, width, 1)
        self.skip_fine = nn.Conv2d(photo.fine, width, 1, bias=False)
        self.sum = nn.Conv2d(vq.code_width, width, 1)
        self.mix = nn.Conv2d(3 * width + 2, width, 1)
        self.block = ResidualBlock(width, width, groups=_GROUPS)
        self.norm = nn.GroupNorm(_GROUPS, width)
        self.gain_KC = nn.Parameter(torch.zeros(len(vq.scales), width))
        self.shift_KC = nn.Parameter(torch.zeros(len(vq.scales), width))
        self.places = tuple(range(0, config.depth, config.inject_every))
        self.into = nn.Parameter(torch.zeros(len(self.places), len(vq.scales), config.width, width))

    def forward(
        self,
        features: PhotoFeatures,
        pooled_BD: Tensor,
        *,
        inputs_BChw: Tensor | None,
        u_BChw: Tensor | None,
        scale: int,
        keep_B: Tensor | None,
    ) -> Injections:
        """u of a scale and what it adds; inputs: f_hat at this size, None at the first scale.

        keep_B: False = no photo, nothing is added.
        """
        side = self.sides[scale]
        if u_BChw is None:
            u_BChw = self.start(pooled_BD)[..., None, None]
        if u_BChw.shape[-1] != side:
            u_BChw = F.interpolate(u_BChw, size=(side, side), mode="bilinear", align_corners=False)
        photo_BChw = self._photo(features, side)
        if inputs_BChw is None:
            width = self.sum.in_channels
            inputs_BChw = photo_BChw.new_zeros(len(photo_BChw), width, side, side)
        batch = max(len(photo_BChw), len(inputs_BChw))  # one photo, several samples
        parts = (u_BChw, photo_BChw, self.sum(inputs_BChw), coordinates(side, like=photo_BChw))
        x_BChw = self.mix(torch.cat([x.expand(batch, -1, -1, -1) for x in parts], dim=1))
        x_BChw = self.norm(self.block(x_BChw)).float()
        gain_C11, shift_C11 = (
            self.gain_KC[scale, :, None, None],
            self.shift_KC[scale, :, None, None],
        )
        u_BChw = x_BChw * (1 + gain_C11) + shift_C11
        u_BLC = u_BChw.flatten(2).transpose(1, 2)
        if keep_B is not None:
            u_BLC = u_BLC * keep_B[:, None, None]
        added = [F.linear(u_BLC, weight_KDC[scale]).float() for weight_KDC in self.into]
        before = dict(zip(self.places[1:], added[1:], strict=True))
        return Injections(added[0], before, u_BChw)

    def _photo(self, features: PhotoFeatures, side: int) -> Tensor:
        """The photo's features on the grid of a scale."""
        pooled = [
            F.adaptive_avg_pool2d(x_BCHW, (side, side))
            for x_BCHW in (features.coarse_BChw, features.middle_BCHW)
        ]
        photo_BChw = self.skip(torch.cat(pooled, dim=1))
        if 2 * side > self.sides[-1]:
            fine_BChw = F.adaptive_avg_pool2d(features.fine_BCHW, (side, side))
            photo_BChw = photo_BChw + self.skip_fine(fine_BChw)
        return photo_BChw


class ConcatInjection(nn.Module):
    """The least there is (ablation): the photo's latent joined to f_hat before `word_embed`.

    That is a sum: its half of the wider matrix starts at zero, and the first scale has one too.
    """

    def __init__(self, config: VarDepthConfig) -> None:
        super().__init__()
        self.sides = config.tokenizer.scales
        self.weight_DC = nn.Parameter(torch.zeros(config.width, feature_widths(config).codes))

    def forward(self, features: PhotoFeatures, *, scale: int, keep_B: Tensor | None) -> Injections:
        side = self.sides[scale]
        cells_BLC = F.adaptive_avg_pool2d(features.codes_BChw, (side, side)).flatten(2).mT
        if keep_B is not None:
            cells_BLC = cells_BLC * keep_B[:, None, None]
        return Injections(F.linear(cells_BLC, self.weight_DC).float(), {}, None)


def coordinates(side: int, *, like: Tensor) -> Tensor:
    """Column and row of cell centers in -1..1, [1,2,p,p]."""
    place_L = (torch.arange(side, device=like.device, dtype=like.dtype) + 0.5) * (2 / side) - 1
    rows_LL, columns_LL = torch.meshgrid(place_L, place_L, indexing="ij")
    return torch.stack([columns_LL, rows_LL])[None]
