"""The DAR transformer (arXiv 2411.11361; docs/dar.md section 3).

Pre-norm blocks of self-attention, cross-attention to the photo's memory and MLP, with the long
skips of a U-ViT: the outputs of the first half join the inputs of the second, last in, first out.
Tokens come in and go out `token_width` wide. No positions, no norm at the end.

Shapes: B batch, L tokens, M memory tokens, D width, N heads, E head width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

# Steps of DAR on token maps: their sizes, who may attend to whom (docs/dar.md sections 3a, 3b).
#
# Tokens of steps 1..k lie one after the other, each step row-major. A token of step i may see a
# token of step j iff i >= j: block lower-triangular, full attention inside a step. Released code:
# builds this mask but its attention does not apply it.

GridSize = tuple[int, int]
_ASPECT = 3 / 4  # rows per column of the photos that `last_grid` is given for


def causal_mask(sizes_hw: Sequence[GridSize], *, device: torch.device | None = None) -> Tensor:
    """Boolean [L,L], True where the query (row) may attend to the key (column)."""
    counts = [h * w for h, w in sizes_hw]
    level_L = torch.repeat_interleave(
        torch.arange(len(counts), device=device), torch.tensor(counts, device=device)
    )
    return level_L[:, None] >= level_L[None, :]


def step_sizes(
    image_hw: GridSize, *, last_grid: GridSize, fractions: Sequence[float]
) -> list[GridSize]:
    """Token maps (rows, columns) of every step for a photo of any aspect.

    `last_grid` belongs to 3:4 photos; others keep about as many tokens. Every side has 2 or more.
    """
    stretch = math.sqrt(image_hw[0] / image_hw[1] / _ASPECT)
    last = max(2, round(last_grid[0] * stretch)), max(2, round(last_grid[1] / stretch))
    return [(max(2, round(last[0] * f)), max(2, round(last[1] * f))) for f in fractions]


# Keys and values of earlier tokens, kept so that a step runs its own tokens only.
#
# Under the causal mask earlier tokens never change, so a run with a cache equals one that computes
# all tokens again. Training lets the cache grow (its entries carry gradients), inference writes
# into memory taken once.


class KeyValues(NamedTuple):
    """k_BNLE, v_BNLE of all tokens there are."""

    k_BNLE: Tensor
    v_BNLE: Tensor


class GrowingCache(NamedTuple):
    """A cache that gradients pass; every extension is a new one."""

    kept: KeyValues | None = None

    def extended(self, k_BNLE: Tensor, v_BNLE: Tensor) -> GrowingCache:
        """The cache with the new tokens at its end."""
        if self.kept is None:
            return GrowingCache(KeyValues(k_BNLE, v_BNLE))
        k_BNLE = torch.cat([self.kept.k_BNLE, k_BNLE], dim=2)
        return GrowingCache(KeyValues(k_BNLE, torch.cat([self.kept.v_BNLE, v_BNLE], dim=2)))

    def view(self) -> KeyValues:
        """Keys and values of all tokens so far."""
        assert self.kept is not None
        return self.kept


class FixedCache(NamedTuple):
    """A cache for `capacity` tokens; its memory is taken by the first extension and written in."""

    capacity: int
    filled: int = 0
    memory: KeyValues | None = None

    def extended(self, k_BNLE: Tensor, v_BNLE: Tensor) -> FixedCache:
        """The cache with the new tokens at its end, in the same memory."""
        B, N, count, E = k_BNLE.shape
        memory = self.memory
        if memory is None:
            shape = (B, N, self.capacity, E)
            memory = KeyValues(k_BNLE.new_empty(shape), v_BNLE.new_empty(shape))
        end = self.filled + count
        memory.k_BNLE[:, :, self.filled : end] = k_BNLE
        memory.v_BNLE[:, :, self.filled : end] = v_BNLE
        return FixedCache(self.capacity, end, memory)

    def view(self) -> KeyValues:
        """Keys and values of all tokens so far."""
        assert self.memory is not None
        return KeyValues(*(part[:, :, : self.filled] for part in self.memory))


Cache = GrowingCache | FixedCache


class SelfAttention(nn.Module):
    """Multi-head attention; qkv packed as (3, heads, head width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(
        self, x_BLD: Tensor, *, cache: Cache, mask_LL: Tensor | None
    ) -> tuple[Tensor, Cache]:
        """Attended tokens, and the cache with these tokens in it."""
        qkv_BL3NE = self.qkv(x_BLD).unflatten(-1, (3, self.heads, -1))
        q_BNLE, k_BNLE, v_BNLE = qkv_BL3NE.permute(2, 0, 3, 1, 4).unbind(0)
        cache = cache.extended(k_BNLE, v_BNLE)
        mixed_BNLE = F.scaled_dot_product_attention(q_BNLE, *cache.view(), attn_mask=mask_LL)
        return self.proj(mixed_BNLE.transpose(1, 2).flatten(2)), cache


class CrossAttention(nn.Module):
    """Queries from the tokens, keys and values from the memory."""

    def __init__(self, width: int, heads: int, memory_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(memory_width, 2 * width)
        self.proj = nn.Linear(width, width)

    def remember(self, memory_BMD: Tensor) -> KeyValues:
        """Keys and values of the memory, the same for every step."""
        kv_BM2NE = self.kv(memory_BMD).unflatten(-1, (2, self.heads, -1))
        return KeyValues(*kv_BM2NE.permute(2, 0, 3, 1, 4).unbind(0))

    def forward(self, x_BLD: Tensor, memory: KeyValues) -> Tensor:
        """What the memory answers, [B,L,D]."""
        q_BNLE = self.q(x_BLD).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        mixed_BNLE = F.scaled_dot_product_attention(q_BNLE, *memory)
        return self.proj(mixed_BNLE.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Linear, exact GELU, Linear."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Tokens [B,L,D]."""
        return self.fc2(F.gelu(self.fc1(x_BLD)))


class Block(nn.Module):
    """Self-attention, cross-attention and MLP, each behind its norm; one long skip perhaps."""

    def __init__(self, width: int, heads: int, *, memory_width: int, has_skip: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.self_attn = SelfAttention(width, heads)
        self.query_norm = nn.LayerNorm(width)
        self.context_norm = nn.LayerNorm(memory_width)
        self.cross_attn = CrossAttention(width, heads, memory_width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width)
        self.skip_linear = nn.Linear(2 * width, width) if has_skip else None

    def remember(self, memory_BMD: Tensor) -> KeyValues:
        """Keys and values of the memory in this block."""
        return self.cross_attn.remember(self.context_norm(memory_BMD))

    def forward(
        self,
        x_BLD: Tensor,
        memory: KeyValues,
        *,
        cache: Cache,
        skip_BLD: Tensor | None,
        mask_LL: Tensor | None,
    ) -> tuple[Tensor, Cache]:
        """The tokens one block later, and the cache with them."""
        if self.skip_linear is not None and skip_BLD is not None:
            x_BLD = self.skip_linear(torch.cat([x_BLD, skip_BLD], dim=-1))
        attended_BLD, cache = self.self_attn(self.norm1(x_BLD), cache=cache, mask_LL=mask_LL)
        x_BLD = x_BLD + attended_BLD
        x_BLD = x_BLD + self.cross_attn(self.query_norm(x_BLD), memory)
        return x_BLD + self.mlp(self.norm2(x_BLD)), cache


class Pass(NamedTuple):
    """tokens_BLD: what came out, token_width wide; caches: one a block, with these tokens."""

    tokens_BLD: Tensor
    caches: list[Cache]


class Transformer(nn.Module):
    """U-ViT over the tokens of one or several steps."""

    def __init__(
        self, *, layers: int, width: int, heads: int, token_width: int, memory_width: int
    ) -> None:
        super().__init__()
        self.mid_proj_in = nn.Linear(token_width, width)
        self.mid_block: Sequence[Block] = nn.ModuleList(  # type: ignore[assignment]
            Block(width, heads, memory_width=memory_width, has_skip=i > layers // 2)
            for i in range(layers)
        )
        self.mid_proj_out = nn.Linear(width, token_width)
        self.is_checkpointed = False  # compute a block again in the backward pass

    def remember(self, memory_BMD: Tensor) -> list[KeyValues]:
        """Keys and values of the memory for every block, once per photo."""
        return [block.remember(memory_BMD) for block in self.mid_block]

    def empty_caches(self, capacity: int) -> list[Cache]:
        """One cache a block: growing where gradients are asked for, else in fixed memory."""
        if torch.is_grad_enabled():
            return [GrowingCache() for _ in self.mid_block]
        return [FixedCache(capacity) for _ in self.mid_block]

    def forward(
        self,
        x_BLD: Tensor,
        memory: Sequence[KeyValues],
        *,
        caches: Sequence[Cache],
        mask_LL: Tensor | None = None,
    ) -> Pass:
        """The new tokens, which see themselves and those in the caches (or what the mask says)."""
        x_BLD = self.mid_proj_in(x_BLD)
        skips: list[Tensor] = []
        after: list[Cache] = []
        half = len(self.mid_block) // 2
        for i, block in enumerate(self.mid_block):
            skip_BLD = skips.pop() if i > half else None
            options: dict[str, Any] = {"cache": caches[i], "skip_BLD": skip_BLD, "mask_LL": mask_LL}
            if self.is_checkpointed and torch.is_grad_enabled():
                x_BLD, cache = checkpoint(block, x_BLD, memory[i], use_reentrant=False, **options)
            else:
                x_BLD, cache = block(x_BLD, memory[i], **options)
            after.append(cache)
            if i < half:
                skips.append(x_BLD)
        return Pass(self.mid_proj_out(x_BLD), after)


class CachedRun:
    """The transformer over a photo's steps: every step runs its own tokens, the rest is cached."""

    def __init__(self, transformer: Transformer, memory_BMD: Tensor, *, capacity: int) -> None:
        self.transformer = transformer
        self.memory = transformer.remember(memory_BMD)
        self.caches = transformer.empty_caches(capacity)

    def step(self, input_BLD: Tensor) -> Tensor:
        """Output tokens of the step whose input this is."""
        tokens_BLD, self.caches = self.transformer(input_BLD, self.memory, caches=self.caches)
        return tokens_BLD


# The transformer over all tokens again at every step: as released, and the cache's plain twin.
#
# Released code: concatenates the inputs of all steps so far, attends without any mask, and keeps
# the last step's tokens; earlier tokens then see later ones, so nothing can be cached. With the
# mask the result is that of `CachedRun`.


class RecomputedRun:
    """Same use as `CachedRun`; sizes_hw: the token maps of the steps, needed by the mask."""

    def __init__(
        self,
        transformer: Transformer,
        memory_BMD: Tensor,
        *,
        sizes_hw: list[GridSize],
        is_masked: bool,
    ) -> None:
        self.transformer = transformer
        self.memory_BMD = memory_BMD
        self.sizes_hw = sizes_hw
        self.is_masked = is_masked
        self.inputs: list[Tensor] = []

    def step(self, input_BLD: Tensor) -> Tensor:
        """Output tokens of the step whose input this is."""
        self.inputs.append(input_BLD)
        mask_LL = None
        if self.is_masked:
            mask_LL = causal_mask(self.sizes_hw[: len(self.inputs)], device=input_BLD.device)
        out = self.transformer(
            torch.cat(self.inputs, dim=1),
            self.transformer.remember(self.memory_BMD),
            caches=[GrowingCache() for _ in self.transformer.mid_block],
            mask_LL=mask_LL,
        )
        return out.tokens_BLD[:, -input_BLD.shape[1] :]
