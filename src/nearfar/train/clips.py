"""Training on clips: the source of rendered ones, and how the network sees them.

Batches are [B,T,...]; index, cache, window of the pool and resume are those of scenes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nearfar.data.sample import DepthBatch
from nearfar.settings import cache_folder

from .config import DataConfig
from .recipe import from_table

if TYPE_CHECKING:
    from .sources import Preparation, Views


class ClipSource:
    """Rendered clips from the shared cache, `count` of them."""

    def __init__(self, data: DataConfig, device: torch.device) -> None:
        from nearfar.data.scenes.clips import ClipOptions, ClipShards

        self._count = data.count
        self._shards = ClipShards(
            cache_folder() / "scenes",
            seed=data.seed,
            size_hw=data.size,
            shard_size=data.shard,
            options=from_table(ClipOptions, data.options, where="recipe: data.options"),
            device=device,
        )

    def __len__(self) -> int:
        return self._count

    def batch(self, indices: Tensor) -> DepthBatch:
        """The clips with these indices, [B,F,...]."""
        return self._shards.batch(indices)

    def prepare(self, count: int, *, progress: Preparation, share: tuple[int, int]) -> None:
        """Render what is missing of the first `count` clips, this process' share of it."""
        wanted = min(count, self._count)
        self._shards.ensure(wanted, progress, worker=share[0], workers=share[1])


def clip_views(data: DataConfig) -> Views:
    """The recipe's augmentation of clips and the plain view, both to the training size."""
    from nearfar.data.clip_views import ClipAugmentOptions, augment_clips, whole_clips

    from .sources import Views

    options = from_table(ClipAugmentOptions, data.augment, where="recipe: data.augment")

    def augment(batch: DepthBatch, generator: torch.Generator) -> DepthBatch:
        return augment_clips(batch, size_hw=data.crop, generator=generator, options=options)

    def plain(batch: DepthBatch) -> DepthBatch:
        return whole_clips(batch, size_hw=data.crop, window=options.window)

    return Views(augment, plain)
