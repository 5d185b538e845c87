"""Scaled dot-product attention: the fused kernel, its plain twin, and PPD's self-attention.

softmax(q k^T / sqrt(E)) v. PPD (arXiv 2510.07316, spec ppd.md 1.5): LayerNorm over the head width
of q and k (eps 1e-5) before the rotary positions.
Shapes: B batch, N heads, L tokens, E head width, D width.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from .rope import RopeTables, apply_rope


def attention(q_BNLE: Tensor, k_BNLE: Tensor, v_BNLE: Tensor) -> Tensor:
    """Attended values [B,N,L,E] by torch's fused kernel."""
    return F.scaled_dot_product_attention(q_BNLE, k_BNLE, v_BNLE)


def attention_reference(q_BNLE: Tensor, k_BNLE: Tensor, v_BNLE: Tensor) -> Tensor:
    """Attended values [B,N,L,E] with the score matrix written out: the twin of `attention`."""
    scores_BNLL = q_BNLE @ k_BNLE.transpose(-2, -1) * q_BNLE.shape[-1] ** -0.5
    return scores_BNLL.softmax(dim=-1) @ v_BNLE


class SelfAttention(nn.Module):
    """Multi-head self-attention with normalised q and k and optional rotary positions."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.q_norm = nn.LayerNorm(width // heads, eps=1e-5)
        self.k_norm = nn.LayerNorm(width // heads, eps=1e-5)
        self.proj = nn.Linear(width, width)

    def forward(self, x_BLD: Tensor, *, rope: RopeTables | None) -> Tensor:
        """Attended tokens [B,L,D]."""
        qkv_BL3NE = self.qkv(x_BLD).unflatten(-1, (3, self.heads, -1))
        q_BLNE, k_BLNE, v_BLNE = qkv_BL3NE.unbind(2)
        q_BLNE, k_BLNE = self.q_norm(q_BLNE), self.k_norm(k_BLNE)
        if rope is not None:
            q_BLNE, k_BLNE = apply_rope(q_BLNE, rope), apply_rope(k_BLNE, rope)
        v_BLNE = v_BLNE.to(q_BLNE.dtype)  # autocast on CUDA leaves normalised q, k in float32
        out_BNLE = attention(q_BLNE.transpose(1, 2), k_BLNE.transpose(1, 2), v_BLNE.transpose(1, 2))
        return self.proj(out_BNLE.transpose(1, 2).flatten(2))
