"""Keys and values of earlier scales, for networks whose scales see each other (is_causal).

One buffer of keys and one of values a block, allocated once for all tokens.
Shapes: B batch, N heads, L tokens, E head width.
"""

from __future__ import annotations

import torch
from torch import Tensor


class KVCache:
    """Buffers [blocks,2,B,N,L,E] of which `length` tokens are filled; a view is all it gives."""

    def __init__(self, buffers: Tensor) -> None:
        self.buffers, self.length = buffers, 0

    @property
    def batch(self) -> int:
        """B, sequences side by side."""
        return self.buffers.shape[2]

    def append(self, block: int, k_BNLE: Tensor, v_BNLE: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of a block with the new tokens at the end."""
        end = self.length + k_BNLE.shape[2]
        keys_BNLE, values_BNLE = self.buffers[block].unbind(0)
        keys_BNLE[:, :, self.length : end] = k_BNLE
        values_BNLE[:, :, self.length : end] = v_BNLE
        return keys_BNLE[:, :, :end], values_BNLE[:, :, :end]

    def advance(self, count: int) -> None:
        """Count tokens as present, once all blocks have appended them."""
        self.length += count


def empty_cache(
    shape_BNLE: tuple[int, int, int, int], *, blocks: int, dtype: torch.dtype, device: torch.device
) -> KVCache:
    """A cache with room for L tokens in every block."""
    return KVCache(torch.empty(blocks, 2, *shape_BNLE, dtype=dtype, device=device))
