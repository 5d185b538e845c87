"""The Switti transformer (arXiv 2412.01819; spec var_depth.md B): tokens of scales to logits.

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

from nearfar.layers.adaln import adaln_modulation
from nearfar.layers.kv_cache import KVCache, empty_cache
from nearfar.layers.norm import modulated_layer_norm

from .block import EPS, Prepared, SwittiBlock, TokenRun
from .config import VarDepthConfig
from .crop import CropFeatures
from .rope import RopeTables, scale_tables

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
        """Modulation of all blocks, keys and values of the context, rope: once per photo."""
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
