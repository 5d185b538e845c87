"""The Switti block (spec var_depth.md B3): sandwich norms, cross-attention, gated by adaLN.

m = Linear(SiLU(c + s e)) = g1, g2, a1, a2, d1, d2 with condition c, crop e, crop_cond_scales s;
x += g1 rms_sa2(SelfAttn(rms_sa1(x) (1 + a1) + d1))
x += rms_ca2(CrossAttn(rms_ca1(x), rms_y(y)))
x += g2 rms_f2(FFN(rms_f1(x) (1 + a2) + d2)).
q and k pass a LayerNorm over the full width, all heads together, without parameters. Attribute
names give the published tensor names (keys.py). The stream x is float32, matrices may be bfloat16.
Shapes: B batch, L tokens, M context tokens, D width, N heads, E head width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.layers.adaln import adaln_modulation
from nearfar.layers.kv_cache import KVCache
from nearfar.layers.mlp import MLP

from .config import VarDepthConfig
from .rope import RopeTables, apply_rope

EPS = 1e-6


class Prepared(NamedTuple):
    """What a block needs of the conditions, computed once for all scales and samples; B may be 1.

    The gains of the norms are multiplied into the modulation: attend_in = w_sa1 (1 + a1),
    attend_out = g1 w_sa2, and so on. k, v_BNME: of the context.
    """

    attend_in_BD: Tensor
    attend_shift_BD: Tensor
    attend_out_BD: Tensor
    feed_in_BD: Tensor
    feed_shift_BD: Tensor
    feed_out_BD: Tensor
    k_BNME: Tensor
    v_BNME: Tensor


class TokenRun(NamedTuple):
    """Which tokens run: rope tables, sides of their scales, and how they see each other.

    mask_LL: True = may attend (all scales of a causal network at once); cache: what came before;
    neither: every scale sees itself alone.
    """

    rope: RopeTables
    sides: Sequence[int]
    mask_LL: Tensor | None
    cache: KVCache | None


class RMSNorm(nn.Module):
    """A gain alone; `rms` divides by the root mean square."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x_BLD: Tensor) -> Tensor:
        return F.rms_norm(x_BLD.float(), x_BLD.shape[-1:], self.weight.float(), EPS)


def rms(x_BLD: Tensor) -> Tensor:
    """x / sqrt(mean x^2 + eps), float32."""
    return F.rms_norm(x_BLD.float(), x_BLD.shape[-1:], None, EPS)


def full_norm(x_BLD: Tensor) -> Tensor:
    """LayerNorm over all heads together, float32: what q and k pass."""
    return F.layer_norm(x_BLD.float(), x_BLD.shape[-1:], eps=EPS)


class SelfAttention(nn.Module):
    """Attention with fused q, k, v (in this order, each of the full width) and rope."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x_BLD: Tensor, tokens: TokenRun, *, block: int) -> Tensor:
        """Attended tokens [B,L,D]."""
        q_BLD, k_BLD, v_BLD = self.to_qkv(x_BLD.to(self.to_qkv.weight.dtype)).chunk(3, dim=-1)
        v_BNLE = split_heads(v_BLD, self.heads)
        q_BNLE, k_BNLE = (
            apply_rope(split_heads(full_norm(y_BLD), self.heads), tokens.rope).to(v_BNLE.dtype)
            for y_BLD in (q_BLD, k_BLD)
        )
        if tokens.cache is not None:
            k_BNLE, v_BNLE = tokens.cache.append(block, k_BNLE, v_BNLE)
            out_BNLE = F.scaled_dot_product_attention(q_BNLE, k_BNLE, v_BNLE)
        elif tokens.mask_LL is not None:
            out_BNLE = F.scaled_dot_product_attention(
                q_BNLE, k_BNLE, v_BNLE, attn_mask=tokens.mask_LL
            )
        else:
            out_BNLE = attend_within(q_BNLE, k_BNLE, v_BNLE, sides=tokens.sides)
        return self.proj(out_BNLE.transpose(1, 2).flatten(2))


def attend_within(
    q_BNLE: Tensor, k_BNLE: Tensor, v_BNLE: Tensor, *, sides: Sequence[int]
) -> Tensor:
    """Attended values [B,N,L,E] of scales that see only themselves: blocks instead of a mask."""
    if len(sides) == 1:
        return F.scaled_dot_product_attention(q_BNLE, k_BNLE, v_BNLE)
    counts = [side * side for side in sides]
    parts = zip(*(x_BNLE.split(counts, dim=2) for x_BNLE in (q_BNLE, k_BNLE, v_BNLE)))
    return torch.cat([F.scaled_dot_product_attention(q, k, v) for q, k, v in parts], dim=2)


class CrossAttention(nn.Module):
    """Attention to the context; no positions on either side."""

    def __init__(self, width: int, heads: int, *, context_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width)
        self.to_kv = nn.Linear(context_width, 2 * width)
        self.proj = nn.Linear(width, width)

    def keys_values(self, context_BMD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [B,N,M,E] of a context, for any number of scales and samples."""
        k_BMD, v_BMD = self.to_kv(context_BMD.to(self.to_kv.weight.dtype)).chunk(2, dim=-1)
        v_BNME = split_heads(v_BMD, self.heads)
        return split_heads(full_norm(k_BMD), self.heads).to(v_BNME.dtype), v_BNME

    def forward(
        self, x_BLD: Tensor, k_BNME: Tensor, v_BNME: Tensor, *, bias_B11M: Tensor | None
    ) -> Tensor:
        """Attended tokens [B,L,D]; bias: 0 or -inf per context token."""
        q_BLD = full_norm(self.to_q(x_BLD.to(self.to_q.weight.dtype)))
        q_BNLE = split_heads(q_BLD.to(v_BNME.dtype), self.heads)
        if bias_B11M is not None:
            bias_B11M = bias_B11M.to(q_BNLE.dtype)
        shape = (len(q_BNLE), -1, -1, -1)
        out_BNLE = F.scaled_dot_product_attention(
            q_BNLE, k_BNME.expand(shape), v_BNME.expand(shape), attn_mask=bias_B11M
        )
        return self.proj(out_BNLE.transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """down(SiLU(gate h) * up h), hidden int(8/3 width), no biases."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = int(width * 8 / 3)
        self.up_proj = nn.Linear(width, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, width, bias=False)
        self.gate_proj = nn.Linear(width, hidden, bias=False)

    def forward(self, x_BLD: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x_BLD)) * self.up_proj(x_BLD))


class SwittiBlock(nn.Module):
    """Self-attention, cross-attention, feed-forward."""

    def __init__(self, config: VarDepthConfig, *, index: int) -> None:
        super().__init__()
        self.index = index
        width, heads = config.width, config.heads
        self.crop_cond_scales = nn.Parameter(torch.zeros(1, width)) if config.has_crop else None
        self.attn = SelfAttention(width, heads)
        self.cross_attn = CrossAttention(width, heads, context_width=config.context_width)
        self.ffn: nn.Module = SwiGLU(width)
        if config.ffn == "gelu":
            self.ffn = MLP(width, 4 * width, activation="gelu_tanh")
        self.self_attention_norm1, self.self_attention_norm2 = RMSNorm(width), RMSNorm(width)
        self.cross_attention_norm1, self.cross_attention_norm2 = RMSNorm(width), RMSNorm(width)
        self.ffn_norm1, self.ffn_norm2 = RMSNorm(width), RMSNorm(width)
        self.attention_y_norm = RMSNorm(config.context_width)
        self.ada_lin = adaln_modulation(width, chunks=6)

    def prepare(
        self, condition_BD: Tensor, crop_BD: Tensor | None, context_BMD: Tensor
    ) -> Prepared:
        """What all tokens share."""
        if self.crop_cond_scales is not None and crop_BD is not None:
            condition_BD = condition_BD + self.crop_cond_scales * crop_BD
        # float32 island: a few vectors that scale every token
        with torch.autocast(condition_BD.device.type, enabled=False):
            gate1, gate2, scale1, scale2, shift1, shift2 = self.ada_lin(condition_BD).chunk(6, -1)
        k_BNME, v_BNME = self.cross_attn.keys_values(self.attention_y_norm(context_BMD))
        return Prepared(
            attend_in_BD=self.self_attention_norm1.weight * (1 + scale1),
            attend_shift_BD=shift1,
            attend_out_BD=gate1 * self.self_attention_norm2.weight,
            feed_in_BD=self.ffn_norm1.weight * (1 + scale2),
            feed_shift_BD=shift2,
            feed_out_BD=gate2 * self.ffn_norm2.weight,
            k_BNME=k_BNME,
            v_BNME=v_BNME,
        )

    def forward(
        self, x_BLD: Tensor, given: Prepared, tokens: TokenRun, *, bias_B11M: Tensor | None
    ) -> Tensor:
        """Tokens [B,L,D] float32."""
        attend_in_B1D, feed_in_B1D = given.attend_in_BD[:, None], given.feed_in_BD[:, None]
        y_BLD = torch.addcmul(given.attend_shift_BD[:, None], rms(x_BLD), attend_in_B1D)
        y_BLD = self.attn(y_BLD, tokens, block=self.index)
        x_BLD = torch.addcmul(x_BLD, rms(y_BLD), given.attend_out_BD[:, None])
        y_BLD = self.cross_attn(
            self.cross_attention_norm1(x_BLD), given.k_BNME, given.v_BNME, bias_B11M=bias_B11M
        )
        x_BLD = x_BLD + self.cross_attention_norm2(y_BLD)
        y_BLD = torch.addcmul(given.feed_shift_BD[:, None], rms(x_BLD), feed_in_B1D)
        y_BLD = self.ffn(y_BLD.to(self.attn.to_qkv.weight.dtype))
        return torch.addcmul(x_BLD, rms(y_BLD), given.feed_out_BD[:, None])


def split_heads(x_BLD: Tensor, heads: int) -> Tensor:
    """[B,L,D] as [B,N,L,E]."""
    return x_BLD.unflatten(-1, (heads, -1)).transpose(1, 2)
