"""Which images step s sees, and how they come: state-free, so that resuming needs only s.

Indices of step s are drawn uniformly, by a generator seeded with (seed, s), from the first
window(s) images: the window grows with the samples seen / reuse, one shard ahead, so that a few
steps need few rendered images, unless `first` asks for more. Augmentation and noise have generators
seeded by (seed, s, part).
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from nearfar.data.sample import DepthBatch, DepthSample, stack_samples
from nearfar.errors import ConfigError
from nearfar.settings import cache_folder
from nearfar.typed import from_table

from .config import DataConfig, Recipe, ScenePart

ORDER, AUGMENT, NOISE, VALIDATION = range(4)  # streams of random numbers that never meet
_VALIDATION_SEED = 1_000_003  # added to the seeds: held-out scenes and textures are never seen


Preparation = Callable[[int, int], None]  # (images ready, images wanted)
_KEPT_BYTES = 1 << 30
_LARGEST_ENLARGEMENT = 1.5  # of a crop against the image it is taken from


class Source(Protocol):
    """Images by index; the same index gives the same pixels always."""

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor) -> DepthBatch:
        """The images with these indices [B], at the source's size."""
        ...

    def prepare(self, count: int, *, progress: Preparation, rank: int, world_size: int) -> None:
        """Make the first `count` images quick to get, this process its share of them."""
        ...


SourceBuilder = Callable[[DataConfig, torch.device], Source]
Augment = Callable[[DepthBatch, torch.Generator], DepthBatch]


class Views(NamedTuple):
    """How the network sees a batch: changed at random in training, the same way when held out."""

    train: Augment
    held_out: Callable[[DepthBatch], DepthBatch]


def stream(device: torch.device, *numbers: int) -> torch.Generator:
    """A generator on the device that depends on the numbers and nothing else."""
    seed = np.random.SeedSequence((len(numbers), *numbers)).generate_state(1, np.uint64)[0]
    return torch.Generator(device=device).manual_seed(int(seed >> np.uint64(1)))


def window(samples_seen: int, data: DataConfig, length: int) -> int:
    """How many of the source's images may be drawn after so many samples."""
    if data.source in ("folder", "dataset"):
        return length
    wanted = max(samples_seen / data.reuse, data.first - data.shard)
    shards = math.ceil(wanted / data.shard) + 1
    return min(length, data.count, shards * data.shard)


def draw_indices(step: int, recipe: Recipe, *, world_size: int, length: int) -> Tensor:
    """Image indices [world_size, accumulate, batch_size] of a step; a row is one process' share."""
    train = recipe.train
    shape = (world_size, train.accumulate, train.batch_size)
    high = window(step * math.prod(shape), recipe.data, length)
    generator = stream(torch.device("cpu"), train.seed, ORDER, step)
    return torch.randint(high, shape, generator=generator)


class Feed:
    """The batches of one process, augmented, on its device."""

    def __init__(
        self,
        recipe: Recipe,
        source: Source,
        augment: Augment,
        *,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.recipe = recipe
        self.source = source
        self.augment = augment
        self.device = device
        self.rank, self.world_size = rank, world_size

    def part(self, step: int, part: int) -> DepthBatch:
        """Accumulation part `part` of step `step`."""
        indices = draw_indices(
            step, self.recipe, world_size=self.world_size, length=len(self.source)
        )
        batch = self.source.batch(indices[self.rank, part]).to(self.device)
        numbers = (self.recipe.train.seed, AUGMENT, step, part, self.rank)
        return self.augment(batch, stream(torch.device("cpu"), *numbers))

    def parts(self, start: int, stop: int) -> Generator[DepthBatch]:
        """All parts of the steps start..stop-1 in order."""
        for step in range(start, stop):
            for part in range(self.recipe.train.accumulate):
                yield self.part(step, part)

    def ahead(self, start: int, stop: int) -> closing[Generator[DepthBatch]]:
        """`parts`, made in a background thread where that pays; use it in a `with` block."""
        depth = self.recipe.data.prefetch
        if depth < 0:
            depth = 0 if self.device.type == "cpu" else 2
        batches = self.parts(start, stop)
        return closing(_prefetch(batches, depth) if depth else batches)


def _prefetch(batches: Generator[DepthBatch], depth: int) -> Generator[DepthBatch]:
    """The same batches in the same order, up to `depth` made ahead by a thread."""
    ready: queue.Queue[DepthBatch | BaseException | None] = queue.Queue(maxsize=depth)
    is_over = threading.Event()

    def put(item: DepthBatch | BaseException | None) -> None:
        while not is_over.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for batch in batches:
                put(batch)
                if is_over.is_set():
                    return
            put(None)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=work, name="nearfar-prefetch", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        is_over.set()
        thread.join()


def build_source(data: DataConfig, device: torch.device) -> Source:
    """The source a recipe names (imports only that one)."""
    if data.source not in SOURCES:
        raise ConfigError("data.source", f"unknown source {data.source!r}", _one_of(SOURCES))
    return SOURCES[data.source](data, device)


def build_validation(data: DataConfig, device: torch.device, build: SourceBuilder) -> Source | None:
    """The held-out source: scenes of another seed, or the folder's validation list; None = off."""
    if data.validation_count == 0 or (data.source == "folder" and not data.validation_path):
        return None
    if data.source == "dataset":
        from .datasets import held_out_source

        return held_out_source(data, build, device)
    options = dict(data.options)
    if data.source in ("scenes", "clips"):
        options["texture_seed"] = int(str(options.get("texture_seed", 0))) + _VALIDATION_SEED
    held_out = replace(
        data,
        mix=(),  # of scenes: the size and the look of [data] itself
        options=options,
        seed=data.seed + _VALIDATION_SEED,
        path=data.validation_path,
        shard=min(data.shard, data.validation_count),
        count=data.validation_count,
    )
    return build(held_out, device)


def build_views(data: DataConfig) -> Views:
    """The recipe's augmentation and the plain view, both to the training size."""
    if data.source == "clips":
        return clip_views(data)
    from nearfar.data.augment import AugmentOptions, augment_batch, whole_view

    options = from_table(AugmentOptions, data.augment, where="recipe: data.augment")

    def size_of(batch: DepthBatch) -> tuple[int, int]:
        rows, columns = batch.depth_BHW.shape[-2:]
        return data.crop if data.crop != (0, 0) else (rows, columns)

    def augment(batch: DepthBatch, generator: torch.Generator) -> DepthBatch:
        size_hw = size_of(batch)
        if data.crops:
            drawn = int(torch.randint(len(data.crops), (1,), generator=generator))
            size_hw = _shaped(size_hw, data.crops[drawn])
        return augment_batch(batch, size_hw=size_hw, generator=generator, options=options)

    return Views(augment, lambda batch: whole_view(batch, size_hw=size_of(batch)))


def _shaped(size_hw: tuple[int, int], crop_hw: tuple[int, int]) -> tuple[int, int]:
    """The drawn crop, or the size as it is where the crop is none or would enlarge too much."""
    if crop_hw == (0, 0) or max(c / s for c, s in zip(crop_hw, size_hw)) > _LARGEST_ENLARGEMENT:
        return size_hw
    return crop_hw


class _Scenes:
    """Rendered scenes from the shared cache, `count` of them, of one or several sizes.

    Image i belongs to a part by i modulo the sum of the parts' weights; a batch takes the part of
    its first image and from it one image for each of its indices.
    """

    def __init__(self, data: DataConfig, device: torch.device) -> None:
        from nearfar.data.scenes.options import SceneOptions
        from nearfar.data.scenes.shards import SceneShards

        parts = [from_table(ScenePart, part, where="recipe: data.mix") for part in data.mix]
        self._count = data.count
        self._weights = [part.weight for part in parts] or [1]
        self._shards = [
            SceneShards(
                cache_folder() / "scenes",
                seed=data.seed + part.seed,
                size_hw=part.size,
                shard_size=data.shard,
                options=from_table(
                    SceneOptions, {**data.options, **part.options}, where="recipe: data.options"
                ),
                device=device,
            )
            for part in parts or [ScenePart(size=data.size)]
        ]

    def __len__(self) -> int:
        return self._count

    def batch(self, indices: Tensor) -> DepthBatch:
        rounds, places = indices // sum(self._weights), indices % sum(self._weights)
        number, start = 0, 0
        while start + self._weights[number] <= places[0]:
            start += self._weights[number]
            number += 1
        weight = self._weights[number]
        return self._shards[number].batch(rounds * weight + places % weight)

    def prepare(self, count: int, *, progress: Preparation, rank: int, world_size: int) -> None:
        rounds = math.ceil(min(count, self._count) / sum(self._weights))
        for shards, weight in zip(self._shards, self._weights):
            shards.ensure(rounds * weight, progress, worker=rank, workers=world_size)


class _Folder:
    """Own photos; decoded ones stay in RAM up to a limit, as decoding costs more than a step."""

    def __init__(self, data: DataConfig, device: torch.device) -> None:
        from nearfar.data.folder import FolderDataset

        self._dataset = FolderDataset(Path(data.path), data.size)
        self._kept: dict[int, DepthSample] = {}
        self._room = _KEPT_BYTES // (data.size[0] * data.size[1] * 18)  # bytes of a sample's pixel

    def __len__(self) -> int:
        return len(self._dataset)

    def batch(self, indices: Tensor) -> DepthBatch:
        return stack_samples([self._sample(int(index)) for index in indices])

    def prepare(self, count: int, *, progress: Preparation, rank: int, world_size: int) -> None:
        """Nothing: photos are decoded when they are drawn."""

    def _sample(self, index: int) -> DepthSample:
        sample = self._kept.get(index)
        if sample is None:
            sample = self._dataset.sample(index)
            if len(self._kept) < self._room:
                self._kept[index] = sample
        return sample


def _datasets(data: DataConfig, device: torch.device) -> Source:
    """Readers of datasets on disk, mixed."""
    from .datasets import DatasetSource

    return DatasetSource(data)


def _clips(data: DataConfig, device: torch.device) -> Source:
    """Rendered clips, [B,T,...]."""
    return ClipSource(data, device)


def _one_of(table: dict[str, SourceBuilder]) -> str:
    return f"Use one of {', '.join(table)}"


SOURCES: dict[str, SourceBuilder] = {
    "scenes": _Scenes,
    "folder": _Folder,
    "dataset": _datasets,
    "clips": _clips,
}


# Training on clips: the source of rendered ones, and how the network sees them.
#
# Batches are [B,T,...]; index, cache, window of the pool and resume are those of scenes.


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

    def prepare(self, count: int, *, progress: Preparation, rank: int, world_size: int) -> None:
        """Render what is missing of the first `count` clips, this process' share of it."""
        wanted = min(count, self._count)
        self._shards.ensure(wanted, progress, worker=rank, workers=world_size)


def clip_views(data: DataConfig) -> Views:
    """The recipe's augmentation of clips and the plain view, both to the training size."""
    from nearfar.data.clip_views import ClipAugmentOptions, augment_clips, whole_clips

    options = from_table(ClipAugmentOptions, data.augment, where="recipe: data.augment")

    def augment(batch: DepthBatch, generator: torch.Generator) -> DepthBatch:
        return augment_clips(batch, size_hw=data.crop, generator=generator, options=options)

    def plain(batch: DepthBatch) -> DepthBatch:
        return whole_clips(batch, size_hw=data.crop, window=options.window)

    return Views(augment, plain)
