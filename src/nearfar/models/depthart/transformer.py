"""The VAR transformer (arXiv 2404.02905; docs/nextscale.md section 6): tokens of scales to logits.

x += gate1 * Attention(LN(x) (1 + scale1) + shift1); x += gate2 * MLP(LN(x) (1 + scale2) + shift2),
the six vectors of a block from the condition (a class embedding), in the order gate1, gate2,
scale1, scale2, shift1, shift2. Attribute names give the published tensor names (keys.py).
The token stream, norms, embeddings and the head are float32; the matrices of the blocks may be
bfloat16 (`cast`), or everything may run under autocast.
Shapes: B batch, L tokens, D width, N heads, E head width, C code width, V codes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.layers.adaln import adaln_modulation
from nearfar.layers.kv_cache import KVCache
from nearfar.layers.mlp import MLP
from nearfar.layers.norm import modulated_layer_norm

from .config import DepthARTConfig

PLAIN_SCALE = 0.25  # times 1 / sqrt(E); the quarter is in the released code
LARGEST_SCALE = math.log(100)  # of the learned logit scale of unit q, k


class Modulated(NamedTuple):
    """blocks: [B,6,D] of each block; head_B2D: scale, shift. B may be 1 for any batch."""

    blocks: list[Tensor]
    head_B2D: Tensor


class ScaleAttention(nn.Module):
    """Self-attention with biases on q and v only; q, k of unit length in the l2_norm variant."""

    def __init__(self, config: DepthARTConfig) -> None:
        super().__init__()
        width, self.heads = config.width, config.heads
        self.mat_qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)
        self.scale_mul_1H11: nn.Parameter | None = None
        if config.attention == "l2_norm":
            start = torch.full((1, self.heads, 1, 1), math.log(4))
            self.scale_mul_1H11 = nn.Parameter(start)

    def forward(
        self, x_BLD: Tensor, *, mask_LL: Tensor | None, cache: KVCache | None, block: int
    ) -> Tensor:
        """Attended tokens [B,L,D]; with a cache, of the new tokens over all there are."""
        weight = self.mat_qkv.weight
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv_BLD = F.linear(x_BLD.to(weight.dtype), weight, bias.to(weight.dtype))
        qkv_3BNLE = qkv_BLD.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q_BNLE, k_BNLE, v_BNLE = qkv_3BNLE.unbind(0)
        scale = PLAIN_SCALE * q_BNLE.shape[-1] ** -0.5
        if self.scale_mul_1H11 is not None:
            # float32 island: lengths of bfloat16 vectors are off by more than what they decide
            loud_1N11 = self.scale_mul_1H11.float().clamp_max(LARGEST_SCALE).exp()
            q_BNLE = (F.normalize(q_BNLE.float(), dim=-1) * loud_1N11).to(v_BNLE.dtype)
            k_BNLE = F.normalize(k_BNLE.float(), dim=-1).to(v_BNLE.dtype)
            scale = 1.0
        if cache is not None:
            k_BNLE, v_BNLE = cache.append(block, k_BNLE, v_BNLE)
        out_BNLE = F.scaled_dot_product_attention(
            q_BNLE, k_BNLE, v_BNLE, attn_mask=mask_LL, scale=scale
        )
        return self.proj(out_BNLE.transpose(1, 2).flatten(2))


class VARBlock(nn.Module):
    """Attention and MLP with the modulation of config.modulation: own Linear, shared, constant."""

    def __init__(self, config: DepthARTConfig, *, index: int) -> None:
        super().__init__()
        self.index = index
        width = config.width
        self.attn = ScaleAttention(config)
        self.ffn = MLP(width, config.mlp_ratio * width, activation=config.activation)
        self.ada_lin: nn.Sequential | None = None
        self.ada_gss: nn.Parameter | None = None
        if config.modulation == "block":
            self.ada_lin = adaln_modulation(width, chunks=6)
        else:
            self.ada_gss = nn.Parameter(torch.zeros(1, 1, 6, width))

    def modulated(self, condition_BD: Tensor, shared_B6D: Tensor | None) -> Tensor:
        """The six vectors [B,6,D]."""
        if self.ada_lin is not None:
            return self.ada_lin(condition_BD).unflatten(-1, (6, -1))
        assert self.ada_gss is not None
        own_16D = self.ada_gss[:, 0]
        return own_16D if shared_B6D is None else shared_B6D + own_16D

    def forward(
        self,
        x_BLD: Tensor,
        modulation_B6D: Tensor,
        *,
        mask_LL: Tensor | None,
        cache: KVCache | None,
        keep_2B: Tensor | None,
    ) -> Tensor:
        """Tokens [B,L,D]; keep_2B: factor of each branch (stochastic depth), None = 1."""
        gate1_BD, gate2_BD, scale1_BD, scale2_BD, shift1_BD, shift2_BD = modulation_B6D.unbind(1)
        if keep_2B is not None:
            gate1_BD, gate2_BD = gate1_BD * keep_2B[0, :, None], gate2_BD * keep_2B[1, :, None]
        y_BLD = modulated_layer_norm(x_BLD, shift_BD=shift1_BD, scale_BD=scale1_BD)
        y_BLD = self.attn(y_BLD, mask_LL=mask_LL, cache=cache, block=self.index)
        x_BLD = torch.addcmul(x_BLD, gate1_BD[:, None], y_BLD.float())
        y_BLD = modulated_layer_norm(x_BLD, shift_BD=shift2_BD, scale_BD=scale2_BD)
        y_BLD = self.ffn(y_BLD.to(self.ffn.fc1.weight.dtype))
        return torch.addcmul(x_BLD, gate2_BD[:, None], y_BLD.float())


class HeadNorm(nn.Module):
    """The modulation of the norm before the head: scale and shift, in this order."""

    def __init__(self, config: DepthARTConfig) -> None:
        super().__init__()
        self.ada_lin: nn.Sequential | None = None
        self.ada_gss: nn.Parameter | None = None
        if config.modulation == "constant":
            self.ada_gss = nn.Parameter(torch.zeros(1, 1, 2, config.width))
        else:
            self.ada_lin = adaln_modulation(config.width, chunks=2)

    def modulated(self, condition_BD: Tensor) -> Tensor:
        """[B,2,D]."""
        if self.ada_lin is not None:
            return self.ada_lin(condition_BD).unflatten(-1, (2, -1))
        assert self.ada_gss is not None
        return self.ada_gss[:, 0]


class VARTransformer(nn.Module):
    """Embeddings, blocks and head; which tokens there are is the caller's business."""

    def __init__(self, config: DepthARTConfig) -> None:
        super().__init__()
        self.config = config
        width, vq = config.width, config.tokenizer
        first = vq.scales[0] ** 2
        self.word_embed = nn.Linear(vq.code_width, width)
        self.class_emb = nn.Embedding(config.classes + 1, width)
        self.pos_start = nn.Parameter(torch.zeros(1, first, width))
        self.pos_1LC = nn.Parameter(torch.zeros(1, vq.token_count, width))
        self.lvl_embed = nn.Embedding(len(vq.scales), width)
        self.shared_ada_lin: nn.Sequential | None = None
        if config.modulation == "shared":
            self.shared_ada_lin = adaln_modulation(width, chunks=6)
        self.blocks = nn.ModuleList(VARBlock(config, index=i) for i in range(config.depth))
        self.head_nm = HeadNorm(config)
        self.head = nn.Linear(width, vq.codebook)

    @property
    def layers(self) -> list[VARBlock]:
        """The blocks, as what they are."""
        return [block for block in self.blocks if isinstance(block, VARBlock)]

    @property
    def matrix_dtype(self) -> torch.dtype:
        """What keys and values come in: the autocast dtype, else that of the matrices."""
        weight = self.layers[0].attn.mat_qkv.weight
        if torch.is_autocast_enabled(weight.device.type):
            return torch.get_autocast_dtype(weight.device.type)
        return weight.dtype

    @property
    def unconditional(self) -> int:
        """The class row that stands for no class."""
        return self.config.classes

    def modulated(self, label_B: Tensor) -> Modulated:
        """All modulation vectors of class labels; one label serves any batch, and is faster."""
        # float32 island: a handful of vectors that scale every token
        with torch.autocast(label_B.device.type, enabled=False):
            condition_BD = self.class_emb(label_B)
            shared = self.shared_ada_lin
            shared_B6D = None if shared is None else shared(condition_BD).unflatten(-1, (6, -1))
            blocks = [block.modulated(condition_BD, shared_B6D) for block in self.layers]
            return Modulated(blocks, self.head_nm.modulated(condition_BD))

    def start(self, label_B: Tensor, *, with_position: bool = True) -> Tensor:
        """Tokens of the first scale [B,p*p,D]: the class, placed.

        Released code: the teacher-forced baseline leaves out pos_start, inference does not.
        """
        x_BLD = self.class_emb(label_B)[:, None] + self._places(0, self.pos_start.shape[1])
        return x_BLD + self.pos_start if with_position else x_BLD

    def embed(self, vectors_BLC: Tensor, *, first: int) -> Tensor:
        """Code vectors as tokens [B,L,D], the first of them at place `first` of the L in all."""
        with torch.autocast(vectors_BLC.device.type, enabled=False):
            tokens_BLD = self.word_embed(vectors_BLC.float())
            return tokens_BLD + self._places(first, vectors_BLC.shape[1])

    def forward(
        self,
        x_BLD: Tensor,
        modulated: Modulated,
        *,
        mask_LL: Tensor | None = None,
        cache: KVCache | None = None,
        keep_K2B: Tensor | None = None,
    ) -> Tensor:
        """Tokens after all blocks [B,L,D] float32."""
        for block, modulation_B6D in zip(self.layers, modulated.blocks, strict=True):
            keep_2B = None if keep_K2B is None else keep_K2B[block.index]
            x_BLD = block(x_BLD, modulation_B6D, mask_LL=mask_LL, cache=cache, keep_2B=keep_2B)
        if cache is not None:
            cache.advance(x_BLD.shape[1])
        return x_BLD

    def logits(self, x_BLD: Tensor, modulated: Modulated) -> Tensor:
        """Logits [B,L,V] float32 of tokens after all blocks."""
        scale_BD, shift_BD = modulated.head_B2D.unbind(1)
        # float32 island: the best of 4096 codes is often ahead by less than bfloat16 resolves
        with torch.autocast(x_BLD.device.type, enabled=False):
            y_BLD = modulated_layer_norm(x_BLD, shift_BD=shift_BD, scale_BD=scale_BD)
            return self.head(y_BLD)

    def cast(self, dtype: torch.dtype) -> VARTransformer:
        """Itself with the matrices of the blocks in `dtype`; the rest stays float32."""
        for block in self.layers:
            for part in (block.attn.mat_qkv, block.attn.proj, block.ffn):
                part.to(dtype=dtype)
        return self

    def _places(self, first: int, count: int) -> Tensor:
        """Level and position embeddings [1,count,D] from place `first` on."""
        sides = self.config.tokenizer.scales
        level = torch.arange(len(sides), device=self.pos_1LC.device)
        areas = torch.tensor([side * side for side in sides], device=level.device)
        level_L = level.repeat_interleave(areas)[first : first + count]
        return self.lvl_embed(level_L) + self.pos_1LC[:, first : first + count]


class VARAlone(nn.Module):
    """The transformer of VAR as released, without a tokenizer; names are those of DepthART."""

    def __init__(self, config: DepthARTConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = VARTransformer(config)
