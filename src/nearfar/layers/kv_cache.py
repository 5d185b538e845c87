"""Keys and values of all tokens so far, allocated once for the whole sequence.

Shapes: B batch, N heads, L tokens, E head width.
"""

from __future__ import annotations

import torch
from torch import Tensor


class KVCache:
    """One buffer of keys and one of values a block; `length` tokens of them are filled.

    Keys are stored as attention uses them (after normalization). No mask is needed: what is in the
    cache may be seen.
    """

    def __init__(self, keys: list[Tensor], values: list[Tensor], *, length: int) -> None:
        self.keys, self.values, self.length = keys, values, length

    @property
    def batch(self) -> int:
        """B, sequences side by side."""
        return self.keys[0].shape[0]

    def append(self, block: int, k_BNLE: Tensor, v_BNLE: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of a block with the new tokens at the end; views, nothing is copied."""
        end = self.length + k_BNLE.shape[2]
        self.keys[block][:, :, self.length : end] = k_BNLE
        self.values[block][:, :, self.length : end] = v_BNLE
        return self.keys[block][:, :, :end], self.values[block][:, :, :end]

    def advance(self, count: int) -> None:
        """Count tokens as present, once all blocks have appended them."""
        self.length += count

    def repeat(self, count: int) -> KVCache:
        """A cache of its own for each of `count` samples, going on from what this one holds."""
        return KVCache(
            [self._repeated(buffer, count) for buffer in self.keys],
            [self._repeated(buffer, count) for buffer in self.values],
            length=self.length,
        )

    def _repeated(self, buffer_BNLE: Tensor, count: int) -> Tensor:
        B, N, L, E = buffer_BNLE.shape
        copy_BNLE = buffer_BNLE.new_empty(B * count, N, L, E)
        filled_BNLE = buffer_BNLE[:, :, : self.length]
        copy_BNLE[:, :, : self.length] = filled_BNLE.repeat_interleave(count, dim=0)
        return copy_BNLE


def empty_cache(
    shape_BNLE: tuple[int, int, int, int],
    *,
    blocks: int,
    dtype: torch.dtype,
    device: torch.device,
) -> KVCache:
    """A cache of `blocks` blocks with room for L tokens."""
    buffers = [torch.empty(shape_BNLE, dtype=dtype, device=device) for _ in range(2 * blocks)]
    return KVCache(buffers[:blocks], buffers[blocks:], length=0)
