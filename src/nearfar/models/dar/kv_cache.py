"""Keys and values of earlier tokens, kept so that a step runs its own tokens only.

Under the causal mask earlier tokens never change, so a run with a cache equals one that computes
all tokens again. Training lets the cache grow (its entries carry gradients), inference writes into
memory taken once.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


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
