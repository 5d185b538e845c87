"""The Switti transformer (arXiv 2412.01819; docs/nextscale.md section 7): tokens to logits.

Scale 1 is one token, text_pooler(pooled) + pos_start; later scales are word_embed(z) of f_hat so
far, averaged to their size; every token + lvl_embed of its scale. The head: LayerNorm (1 + s) + t,
(s, t) from the same pooled vector, then a Linear. Attribute names give the published tensor names.
Embeddings, norms and head are float32; matrices of the blocks may be bfloat16 (`cast`).
Shapes: B batch, L tokens, M context tokens, D width, C code width, V codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.errors import ConfigError
from nearfar.layers.adaln import adaln_modulation
from nearfar.layers.kv_cache import KVCache, empty_cache
from nearfar.layers.mlp import MLP
from nearfar.layers.norm import modulated_layer_norm

from .condition import CropFeatures
from .config import VarDepthConfig

# Rotary positions of Switti: every scale spans the same square (docs/nextscale.md section 7.4).
#
# Token (row r, column q) of a p x p map: step = 128 / max(p - 1, 1), angles
# [q step t_i, r step t_i], t_i = 10000^(-4i/E), i = 0..E/4-1. Adjacent channels (2j, 2j+1) turn by
# angle j. Shapes: B batch, N heads, L tokens, E head width.

SIZE, THETA = 128, 10000.0


class RopeTables(NamedTuple):
    """Cosine and sine of the E/2 angles of every token, [L,E/2] float32."""

    cos_LE: Tensor
    sin_LE: Tensor

    def part(self, first: int, last: int) -> RopeTables:
        """The tables of tokens first..last-1."""
        return RopeTables(self.cos_LE[first:last], self.sin_LE[first:last])


def scale_tables(
    sides: Sequence[int],
    *,
    head_width: int,
    device: torch.device | None = None,
) -> RopeTables:
    """Tables of all tokens of the scales, row-major within each."""
    index_E = torch.arange(head_width // 4, dtype=torch.float32, device=device)
    frequency_E = THETA ** (-4 * index_E / head_width)
    angles = []
    for side in sides:
        place_L = torch.arange(side, device=device).float() * (SIZE / max(side - 1, 1))
        angle_LE = torch.outer(place_L, frequency_E)
        columns_LLE, rows_LLE = angle_LE.expand(side, -1, -1), angle_LE[:, None]
        rows_LLE = rows_LLE.expand(-1, side, -1)
        angles.append(torch.cat([columns_LLE, rows_LLE], dim=-1).flatten(0, 1))
    all_LE = torch.cat(angles)
    return RopeTables(all_LE.cos(), all_LE.sin())


def apply_rope(x_BNLE: Tensor, tables: RopeTables) -> Tensor:
    """The turned vectors [B,N,L,E]."""
    even_BNLE, odd_BNLE = x_BNLE.unflatten(-1, (-1, 2)).unbind(-1)
    cos_LE, sin_LE = tables
    turned = (even_BNLE * cos_LE - odd_BNLE * sin_LE, even_BNLE * sin_LE + odd_BNLE * cos_LE)
    return torch.stack(turned, dim=-1).flatten(-2)


# The Switti block (docs/nextscale.md section 7.3): sandwich norms, cross-attention, gated by adaLN.
#
# m = Linear(SiLU(c + s e)) = g1, g2, a1, a2, d1, d2 with condition c, crop e, crop_cond_scales s; x
# += g1 rms_sa2(SelfAttn(rms_sa1(x) (1 + a1) + d1)) x += rms_ca2(CrossAttn(rms_ca1(x), rms_y(y))) x
# += g2 rms_f2(FFN(rms_f1(x) (1 + a2) + d2)). q and k pass a LayerNorm over the full width, all
# heads together, without parameters. Attribute names give the published tensor names (keys.py). The
# stream x is float32, matrices may be bfloat16. Shapes: B batch, L tokens, M context tokens, D
# width, N heads, E head width.

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


assert EPS == 1e-6  # also of layers/norm.py


class Conditions(NamedTuple):
    """All that does not depend on the tokens; B may be 1 for any batch.

    start_BD: text_pooler(pooled). bias_B11M: None where every context token counts.
    """

    start_BD: Tensor
    blocks: list[Prepared]
    head_scale_BD: Tensor
    head_shift_BD: Tensor
    bias_B11M: Tensor | None
    rope: RopeTables


class HeadNorm(nn.Module):
    """The modulation before the head: scale, shift."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ada_lin = adaln_modulation(width, chunks=2)


class SwittiTransformer(nn.Module):
    """Embeddings, blocks and head."""

    def __init__(self, config: VarDepthConfig) -> None:
        super().__init__()
        self.config = config
        width, vq = config.width, config.tokenizer
        self.pos_start = nn.Parameter(torch.zeros(1, 1, width))
        self.word_embed = nn.Linear(vq.code_width, width)
        self.text_pooler = nn.Linear(config.pooled_width, width)
        self.lvl_embed = nn.Embedding(len(vq.scales), width)
        self.crop_embed = CropFeatures(width) if config.has_crop else None
        self.crop_proj = nn.Linear(width, width) if config.has_crop else None
        self.blocks = nn.ModuleList(SwittiBlock(config, index=i) for i in range(config.depth))
        self.head_nm = HeadNorm(width)
        self.head = nn.Linear(width, vq.codebook)

    def prepare(
        self,
        pooled_BD: Tensor,
        context_BMD: Tensor,
        *,
        bias_BM: Tensor | None = None,
        crop_B4: Tensor | None = None,
    ) -> Conditions:
        """Modulation of all blocks, keys and values of the context, rope: once per photo.

        bias_BM is added to the attention of each context token: 0 or -inf. ConfigError for a
        boolean mask, which would be added as 0 and 1.
        """
        if bias_BM is not None and not bias_BM.is_floating_point():
            raise ConfigError(
                "attention bias",
                f"{bias_BM.dtype} is a mask, not a bias",
                "Give 0 where a context token counts and -inf where it does not",
            )
        # float32 island: everything below is scaled by these few vectors
        with torch.autocast(pooled_BD.device.type, enabled=False):
            start_BD = self.text_pooler(pooled_BD.float())
            crop_BD = None
            if self.crop_embed is not None and self.crop_proj is not None and crop_B4 is not None:
                crop_BD = self.crop_proj(self.crop_embed(crop_B4))
            scale_BD, shift_BD = self.head_nm.ada_lin(start_BD).chunk(2, dim=-1)
        config = self.config
        return Conditions(
            start_BD=start_BD,
            blocks=[block.prepare(start_BD, crop_BD, context_BMD) for block in self._blocks()],
            head_scale_BD=scale_BD,
            head_shift_BD=shift_BD,
            bias_B11M=None if bias_BM is None else bias_BM[:, None, None],
            rope=scale_tables(
                config.tokenizer.scales,
                head_width=config.width // config.heads,
                device=pooled_BD.device,
            ),
        )

    def start(self, conditions: Conditions) -> Tensor:
        """The token of the first scale [B,1,D]."""
        return conditions.start_BD[:, None] + self.pos_start + self.lvl_embed.weight[0]

    def embed(self, inputs_BLC: Tensor, *, scale: int) -> Tensor:
        """Tokens [B,L,D] of a later scale (from 1), given f_hat at its size."""
        with torch.autocast(inputs_BLC.device.type, enabled=False):
            return self.word_embed(inputs_BLC.float()) + self.lvl_embed.weight[scale]

    def forward(
        self,
        x_BLD: Tensor,
        conditions: Conditions,
        *,
        first: int,
        sides: Sequence[int],
        cache: KVCache | None = None,
        mask_LL: Tensor | None = None,
        injected: Mapping[int, Tensor] | None = None,
    ) -> Tensor:
        """Logits [B,L,V] float32 of tokens of consecutive scales, beginning at token `first`.

        injected: tokens added before the block of that number.
        """
        rope = conditions.rope.part(first, first + x_BLD.shape[1])
        tokens = TokenRun(rope=rope, sides=sides, mask_LL=mask_LL, cache=cache)
        for block, given in zip(self._blocks(), conditions.blocks, strict=True):
            if injected is not None and block.index in injected:
                x_BLD = x_BLD + injected[block.index]
            x_BLD = block(x_BLD, given, tokens, bias_B11M=conditions.bias_B11M)
        if cache is not None:
            cache.advance(x_BLD.shape[1])
        # float32 island: the best of 4096 codes is often ahead by less than bfloat16 resolves
        with torch.autocast(x_BLD.device.type, enabled=False):
            y_BLD = modulated_layer_norm(
                x_BLD, shift_BD=conditions.head_shift_BD, scale_BD=conditions.head_scale_BD
            )
            return F.linear(y_BLD, self.head.weight.float(), self.head.bias.float())

    def mask(self, device: torch.device) -> Tensor:
        """Who may attend to whom, bool [L,L]: the own scale, and earlier ones if is_causal."""
        sides = self.config.tokenizer.scales
        areas = torch.tensor([side * side for side in sides], device=device)
        level_L = torch.arange(len(sides), device=device).repeat_interleave(areas)
        if self.config.is_causal:
            return level_L[:, None] >= level_L[None]
        return level_L[:, None] == level_L[None]

    def new_cache(self, batch: int, conditions: Conditions) -> KVCache | None:
        """Room for all tokens of a batch; None where scales do not see each other."""
        if not self.config.is_causal:
            return None
        _, N, _, E = conditions.blocks[0].k_BNME.shape
        shape = (batch, N, self.config.tokenizer.token_count, E)
        v_BNME = conditions.blocks[0].v_BNME
        return empty_cache(shape, blocks=len(self.blocks), dtype=v_BNME.dtype, device=v_BNME.device)

    def cast(self, dtype: torch.dtype) -> SwittiTransformer:
        """Itself with the matrices of the blocks in `dtype`; the rest stays float32."""
        for block in self._blocks():
            for part in (block.attn, block.cross_attn, block.ffn):
                part.to(dtype=dtype)
        return self

    def _blocks(self) -> Iterator[SwittiBlock]:
        for block in self.blocks:
            assert isinstance(block, SwittiBlock)
            yield block


class SwittiAlone(nn.Module):
    """The transformer of Switti as released, without a tokenizer; names are those of VAR-Depth."""

    def __init__(self, config: VarDepthConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = SwittiTransformer(config)
