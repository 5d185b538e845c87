"""The source of datasets on disk: one or a mixture of them, their licences, a held-out split."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nearfar.data.adapt import AdaptedDataset, AdaptOptions, Mixture, Place
from nearfar.data.catalog import DATASETS, find_dataset, open_dataset
from nearfar.data.sample import DepthBatch, DepthSample, stack_samples
from nearfar.errors import ConfigError
from nearfar.typed import from_table

from .config import DataConfig, MixPart, Recipe

if TYPE_CHECKING:
    from .sources import Source, SourceBuilder

_KEPT_BYTES = 1 << 30


def mix_parts(data: DataConfig) -> list[MixPart]:
    """The datasets a recipe names, as parts of a mixture (also if it is only one)."""
    if not data.mix:
        return [
            MixPart(
                dataset=data.dataset,
                root=data.root,
                split=data.split,
                list_file=data.list_file,
                validation_split=data.validation_split,
                options=data.options,
            )
        ]
    parts = [
        from_table(MixPart, part, where=f"recipe: data.mix[{number}]")
        for number, part in enumerate(data.mix)
    ]
    if len({part.weight > 0 for part in parts}) > 1:
        weights = [part.weight for part in parts]
        raise ConfigError("data.mix", f"weights {weights}", "Give all of them one, or none")
    return parts


def data_licences(data: DataConfig) -> dict[str, str]:
    """Dataset -> licence of everything on disk that the recipe reads, own folders left out."""
    if data.source != "dataset":
        return {}
    return {part.dataset: find_dataset(part.dataset).licence for part in mix_parts(data)}


def seen_licences(recipe: Recipe) -> dict[str, str]:
    """Dataset -> licence of all data behind the weights, that of `init_from` included."""
    start = Path(recipe.train.init_from)
    if not recipe.train.init_from or not start.is_file():
        return data_licences(recipe.data)
    from nearfar.weights.safe import read_metadata

    before: dict[str, str] = json.loads(read_metadata(start).get("data_licences", "{}"))
    return before | data_licences(recipe.data)


def check_licences(recipe: Recipe) -> None:
    """ConfigError if commercial_only is set and a licence forbids that or is not stated.

    Weights to start from count with the datasets they have seen.
    """
    if not recipe.data.commercial_only:
        return
    refused = [
        f"{name} ({licence})"
        for name, licence in seen_licences(recipe).items()
        if name not in DATASETS or not DATASETS[name].allows_commercial_use
    ]
    if refused:
        finding = f"{', '.join(refused)}: commercial use is not clearly allowed"
        raise ConfigError("data.commercial_only", finding, "Leave these data out")


class DatasetSource:
    """Samples of all parts; decoded ones stay in RAM up to a limit."""

    def __init__(self, data: DataConfig) -> None:
        options = AdaptOptions(
            size_hw=data.size,
            on_error=data.on_error,
            min_valid=data.min_valid,
            min_depth=data.min_depth,
            max_depth=data.max_depth,
        )
        parts = mix_parts(data)
        opened = [AdaptedDataset(_open(part), options) for part in parts]
        weights = [part.weight for part in parts] if parts[0].weight > 0 else None
        self.mixture = Mixture(opened, weights)
        self._kept: dict[Place, DepthSample] = {}
        self._room = _KEPT_BYTES // (data.size[0] * data.size[1] * 18)  # bytes of a sample's pixel
        self._pool = ThreadPoolExecutor(data.workers) if data.workers else None

    def __len__(self) -> int:
        return len(self.mixture)

    def batch(self, indices: Tensor) -> DepthBatch:
        """The samples with these indices, decoded in `workers` threads."""
        places = [self.mixture.place(int(index)) for index in indices]
        if self._pool is None:
            return stack_samples([self._sample(place) for place in places])
        return stack_samples(list(self._pool.map(self._sample, places)))

    def prepare(
        self, count: int, *, progress: Callable[[int, int], None], rank: int, world_size: int
    ) -> None:
        """Nothing: photos are decoded when they are drawn."""

    def _sample(self, place: Place) -> DepthSample:
        sample = self._kept.get(place)
        if sample is None:
            sample = self.mixture.sample(place)
            if len(self._kept) < self._room:
                self._kept[place] = sample
        return sample


class Spread:
    """`count` samples of a source, evenly spread over it: a held-out set of manageable size."""

    def __init__(self, source: Source, count: int) -> None:
        self._source = source
        self._count = min(count, len(source))

    def __len__(self) -> int:
        return self._count

    def batch(self, indices: Tensor) -> DepthBatch:
        """The samples with these indices."""
        return self._source.batch(indices * len(self._source) // self._count)

    def prepare(
        self, count: int, *, progress: Callable[[int, int], None], rank: int, world_size: int
    ) -> None:
        """Nothing: photos are decoded when they are drawn."""


def held_out_source(data: DataConfig, build: SourceBuilder, device: torch.device) -> Source | None:
    """The validation splits of the parts that have one; None without any."""
    parts = [part for part in mix_parts(data) if part.validation_split]
    if not parts or data.validation_count == 0:
        return None
    tables: list[dict[str, Any]] = [
        {
            "dataset": part.dataset,
            "root": part.root,
            "split": part.validation_split,
            "options": part.options,
        }
        for part in parts
    ]
    held_out = replace(data, dataset="", root="", split="", list_file="", mix=tuple(tables))
    return Spread(build(held_out, device), data.validation_count)


def _open(part: MixPart) -> Any:
    """The dataset of one part."""
    return open_dataset(
        part.dataset,
        part.root or None,
        split=part.split or None,
        list_file=part.list_file or None,
        options={name: str(value) for name, value in part.options.items()},
    )
