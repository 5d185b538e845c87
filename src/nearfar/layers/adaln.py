"""Transformer block with adaLN-zero modulation (DiT, arXiv 2212.09748; docs/ppd.md section 1.4).

m = Linear(D, 6D)(SiLU(e)) = shift1, scale1, gate1, shift2, scale2, gate2 (in this order)
x += gate1 * Attention(LN(x) * (1 + scale1) + shift1)
x += gate2 * MLP(LN(x) * (1 + scale2) + shift2)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .attention import SelfAttention
from .mlp import MLP, Activation
from .norm import modulated_layer_norm
from .rope import RopeTables


def adaln_modulation(width: int, *, chunks: int) -> nn.Sequential:
    """SiLU and a Linear from the time embedding to `chunks` vectors of the width."""
    return nn.Sequential(nn.SiLU(), nn.Linear(width, chunks * width))


class AdaLNBlock(nn.Module):
    """Attention and MLP, each modulated and gated by the time embedding."""

    def __init__(self, width: int, heads: int, *, mlp_ratio: int, activation: Activation) -> None:
        super().__init__()
        self.attn = SelfAttention(width, heads)
        self.mlp = MLP(width, mlp_ratio * width, activation=activation)
        self.adaLN_modulation = adaln_modulation(width, chunks=6)

    def forward(self, x_BLD: Tensor, time_BD: Tensor, *, rope: RopeTables | None) -> Tensor:
        """Tokens [B,L,D]; `time_BD` may have one row for the whole batch."""
        modulation_BD = self.adaLN_modulation(time_BD)
        shift1_BD, scale1_BD, gate1_BD, shift2_BD, scale2_BD, gate2_BD = modulation_BD.chunk(6, -1)
        branch_BLD = modulated_layer_norm(x_BLD, shift_BD=shift1_BD, scale_BD=scale1_BD)
        branch_BLD = self.attn(branch_BLD, rope=rope)
        x_BLD = torch.addcmul(x_BLD, gate1_BD[:, None], branch_BLD)
        branch_BLD = modulated_layer_norm(x_BLD, shift_BD=shift2_BD, scale_BD=scale2_BD)
        return torch.addcmul(x_BLD, gate2_BD[:, None], self.mlp(branch_BLD))
