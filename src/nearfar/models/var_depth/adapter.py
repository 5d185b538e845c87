"""The released condition: RGB features blended into the embedding of a constant prompt (spec A2).

context = [prefix, T + sigmoid(alpha) R], pooled = t + sigmoid(beta) r, with T, t and a padding mask
of the prompt, and R, r, dynamic prefix from `RGBConditionAdapter`. Prefix by mode: static P,
hybrid_conditional P + sigmoid(gamma) Delta, none. Attribute names are the published ones.
Nothing here tells the transformer where in the photo anything is: keys carry no position, and most
text tokens are masked. It is kept to run what was released.
Shapes: B batch, H W pixels, M context tokens, K scales, D width.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import VarDepthConfig

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
