"""The transformer over all tokens again at every step: as released, and the cache's plain twin.

Released code: concatenates the inputs of all steps so far, attends without any mask, and keeps the
last step's tokens; earlier tokens then see later ones, so nothing can be cached. With the mask the
result is that of `CachedRun`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .causal_mask import GridSize, causal_mask
from .kv_cache import GrowingCache
from .transformer import Transformer


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
