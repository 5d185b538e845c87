"""All datasets by name, and how one is opened."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from nearfar.errors import ConfigError

from .benchmarks.cards import BENCHMARKS
from .cards import DatasetCard
from .lists import fingerprint
from .record import Dataset
from .store import open_store
from .training.cards import TRAINING

DATASETS: dict[str, DatasetCard] = {card.name: card for card in (*BENCHMARKS, *TRAINING)}


class ListIdentity(NamedTuple):
    """Which samples a dataset object has: their number, the SHA-256 of their keys, whose list."""

    samples: int
    sha256: str
    official: str | None  # name of the official list, None = custom


def find_dataset(name: str) -> DatasetCard:
    """The card of a dataset; ConfigError names the nearest one."""
    if name in DATASETS:
        return DATASETS[name]
    near = difflib.get_close_matches(name, DATASETS, n=1, cutoff=0.4)
    remedy = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(sorted(DATASETS))}"
    raise ConfigError("dataset", f"{name!r} is unknown", remedy)


def open_dataset(
    name: str,
    root: str | Path | None,
    *,
    split: str | None = None,
    list_file: str | Path | None = None,
    options: Mapping[str, str] | None = None,
) -> Dataset:
    """The samples of a split, or of the user's own list, below a folder, tar or zip.

    root: None only for a dataset without files. split: default is the first of the card. options:
    those of the card. ConfigError for a name that does not exist; DataError if the root has no
    layout the reader knows.
    """
    card = find_dataset(name)
    split = card.splits[0] if split is None else split
    if split not in card.splits:
        raise ConfigError(f"dataset {name}", f"no split {split!r}", f"Use {', '.join(card.splits)}")
    if root is None and card.needs_files:
        raise ConfigError(f"dataset {name}", "needs its folder", "Give the root of your copy")
    file, _, function = card.module.partition(":")
    reader = getattr(import_module(file), function)
    return reader(
        None if root is None else open_store(root),
        split=split,
        list_file=list_file,
        options=checked_options(card, options or {}),
    )


def checked_options(card: DatasetCard, given: Mapping[str, str]) -> dict[str, str]:
    """The options given and the defaults of the others; those that take any text have none."""
    chosen = {name: values[0] for name, values in card.options.items() if values}
    for name, value in given.items():
        if name not in card.options:
            known = ", ".join(card.options) or "none"
            raise ConfigError(f"dataset {card.name}", f"no option {name!r}", f"Known: {known}")
        if card.options[name] and value not in card.options[name]:
            allowed = ", ".join(card.options[name])
            raise ConfigError(f"dataset {card.name}", f"{name}={value!r}", f"Use {allowed}")
        chosen[name] = value
    return chosen


def list_identity(card: DatasetCard, dataset: Dataset) -> ListIdentity:
    """Fingerprint of the samples, and the official list it belongs to, if any.

    Readers of datasets with official fingerprints have `keys`, the names that those hash; for the
    others the sample ids are hashed.
    """
    keys = list(getattr(dataset, "keys", dataset.sample_ids))
    digest = fingerprint(keys)
    forms = {digest, fingerprint(key.zfill(4) if key.isdigit() else key for key in keys)}
    official = next((name for name, value in card.fingerprints.items() if value in forms), None)
    return ListIdentity(len(dataset.sample_ids), digest, official)
