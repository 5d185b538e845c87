"""The plain transformer block of our small encoders: attention and MLP after norms, SiLU.

Shapes: B batch, L tokens, D width, N heads, E head width.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class TokenBlock(nn.Module):
    """Pre-norm attention and MLP with SiLU."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width)
        )

    def forward(self, x_BLD: Tensor) -> Tensor:
        B, L, D = x_BLD.shape
        qkv_3BNLE = (
            self.qkv(self.norm1(x_BLD))
            .view(B, L, 3, self.heads, D // self.heads)
            .permute(2, 0, 3, 1, 4)
        )
        mixed_BNLE = F.scaled_dot_product_attention(*qkv_3BNLE.unbind(0))
        x_BLD = x_BLD + self.proj(mixed_BNLE.transpose(1, 2).reshape(B, L, D))
        return x_BLD + self.mlp(self.norm2(x_BLD))
