"""Scaled dot-product attention: fused, blocked, and the plain twin; PPD's self-attention.

softmax(q k^T / sqrt(E)) v. PPD (arXiv 2510.07316, docs/ppd.md section 1.5): LayerNorm over the
head width of q and k (eps 1e-5) before the rotary positions.
Shapes: B batch, N heads, L tokens, E head width, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .rope import RopeTables, apply_rope

# Score blocks of the blocked path: this many entries (8 MB in bfloat16) at a time stay in cache.
BLOCK_ENTRIES = 1 << 22
BLOCKED_FROM_TOKENS = 1024


def attention(q_BNLE: Tensor, k_BNLE: Tensor, v_BNLE: Tensor) -> Tensor:
    """Attended values [B,N,L,E] by the fastest of torch's ways for these inputs.

    That is the fused kernel, except for long bfloat16 inference on CPUs that multiply bfloat16
    without AMX tiles: there the fused kernel reaches a third of the matmul rate and blocks of
    matmul, softmax, matmul are 1.4-1.6 times as fast.
    """
    needs_grad = torch.is_grad_enabled() and q_BNLE.requires_grad
    if (
        q_BNLE.device.type == "cpu"
        and q_BNLE.dtype == torch.bfloat16
        and q_BNLE.shape[2] >= BLOCKED_FROM_TOKENS
        and not needs_grad
        and not torch.compiler.is_compiling()
        and has_bfloat16_without_tiles()
    ):
        return attention_blocked(q_BNLE, k_BNLE, v_BNLE)
    return F.scaled_dot_product_attention(q_BNLE, k_BNLE, v_BNLE)


def attention_blocked(q_BNLE: Tensor, k_BNLE: Tensor, v_BNLE: Tensor) -> Tensor:
    """Attended values [B,N,L,E], a few heads and query rows at a time."""
    B, N, L, E = q_BNLE.shape
    heads = min(N, max(4, torch.get_num_threads()))
    rows = min(L, max(64, BLOCK_ENTRIES // (heads * k_BNLE.shape[2])))
    q_BNLE = (q_BNLE * E**-0.5).contiguous()
    k_BNLE, v_BNLE = k_BNLE.contiguous(), v_BNLE.contiguous()
    out_BNLE = q_BNLE.new_empty(B, L, N, E).transpose(1, 2)  # so that joining the heads is free
    for b in range(B):
        for n in range(0, N, heads):
            group = (b, slice(n, n + heads))
            k_NEL, v_NLE = k_BNLE[group].transpose(1, 2), v_BNLE[group]
            for first in range(0, L, rows):
                scores_NLL = q_BNLE[group][:, first : first + rows] @ k_NEL
                out_BNLE[group][:, first : first + rows] = scores_NLL.softmax(dim=-1) @ v_NLE
    return out_BNLE


def attention_reference(q_BNLE: Tensor, k_BNLE: Tensor, v_BNLE: Tensor) -> Tensor:
    """Attended values [B,N,L,E] with the score matrix written out: the twin of `attention`."""
    scores_BNLL = q_BNLE @ k_BNLE.transpose(-2, -1) * q_BNLE.shape[-1] ** -0.5
    return scores_BNLL.softmax(dim=-1) @ v_BNLE


def has_bfloat16_without_tiles() -> bool:
    """Whether this CPU multiplies bfloat16 (AVX512-BF16) but has no AMX; False if torch is mute."""
    try:
        capabilities = torch.cpu.get_capabilities()
    except AttributeError:  # torch before 2.13 does not tell
        return False
    return bool(capabilities.get("avx512_bf16")) and not capabilities.get("amx_bf16")


class SelfAttention(nn.Module):
    """Multi-head self-attention with normalized q and k and optional rotary positions."""

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
        v_BLNE = v_BLNE.to(q_BLNE.dtype)  # autocast on CUDA leaves normalized q, k in float32
        out_BNLE = attention(q_BLNE.transpose(1, 2), k_BLNE.transpose(1, 2), v_BLNE.transpose(1, 2))
        return self.proj(out_BNLE.transpose(1, 2).flatten(2))
