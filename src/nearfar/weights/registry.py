"""The table of known weights. No torch: `nearfar models list` answers at once.

A preset is an architecture; an entry is a file of weights for one, and stands in its family's own
description. Embedded files are ours: their
sha256, size and held-out errors stand on the card beside them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

from nearfar.errors import ConfigError, WeightsError
from nearfar.family import NOTHING, WeightsEntry
from nearfar.settings import cache_folder

from .families import FAMILIES

# which weights serve an encoder tag when nothing else is asked for
ENCODER_ENTRIES: Mapping[str, str] = MappingProxyType(
    {tag: name for family in FAMILIES for tag, name in family.serves.items()}
)
EMBEDDED_FOLDER = Path(__file__).parent / "embedded"


def _listed() -> list[WeightsEntry]:
    """Those of every family, what comes with the package first."""
    found = [entry for family in FAMILIES for entry in family.entries]
    return sorted(found, key=lambda entry: not entry.embedded)


ENTRIES: Mapping[str, WeightsEntry] = MappingProxyType({entry.name: entry for entry in _listed()})


def find(name: str) -> WeightsEntry:
    """The entry of a name, with what its card says; ConfigError naming the nearest otherwise."""
    if name not in ENTRIES:
        near = get_close_matches(name.lower(), ENTRIES, n=1, cutoff=0.4)
        hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(ENTRIES)}"
        raise ConfigError(f"model {name!r}", "unknown name and no such file", hint)
    return with_card(ENTRIES[name])


def find_by_file(file_name: str, *, family: str) -> WeightsEntry | None:
    """The entry of this family whose released file has this name, None if there is none."""
    released = [
        entry for entry in ENTRIES.values() if entry.family == family and not entry.embedded
    ]
    return next((entry for entry in released if file_name in (entry.file, entry.hub_file)), None)


def weights_folder() -> Path:
    """Where weights are kept on this machine: downloaded, converted, or put there by hand."""
    return cache_folder() / "weights"


def converted_path(entry: WeightsEntry) -> Path:
    """Where the entry's safetensors are, or will be."""
    if entry.embedded:
        return EMBEDDED_FOLDER / entry.file
    return weights_folder() / f"{entry.name}.safetensors"


def local_path(entry: WeightsEntry) -> Path | None:
    """The entry's file on this machine: ours, else a released file put beside; None if absent."""
    candidates = [converted_path(entry)]
    if not entry.embedded:
        candidates.append(weights_folder() / entry.file)
    return next((path for path in candidates if path.is_file()), None)


def with_card(entry: WeightsEntry) -> WeightsEntry:
    """The entry with sha256, size and errors from the card beside an embedded file."""
    weights = EMBEDDED_FOLDER / entry.file
    card_path = weights.with_suffix(".json")
    if not entry.embedded or not card_path.exists():
        return entry
    filled = fill_from_card(entry, card_path)
    if filled.sha256 is None:
        raise WeightsError(card_path, "the card lacks sha256", "Install nearfar again")
    return replace(filled, size_mb=_size_mb(weights) if weights.exists() else None)


def fill_from_card(entry: WeightsEntry, card_path: Path) -> WeightsEntry:
    """The entry with what a card (as `nearfar train` writes it) says.

    A model works by default at the size it was trained at: `default_area`, else the recipe's crop.
    """
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
        data = card.get("recipe", {}).get("data", {})
        seen = data.get("crop") or ()
        if not all(seen):  # [0, 0]: images as rendered
            seen = data.get("size") or ()
        area = card.get("default_area") or (math.prod(seen) if seen else entry.area)
        return replace(
            entry,
            sha256=card.get("sha256", entry.sha256),
            metrics=card.get("metrics", card.get("validation")) or NOTHING,
            uncertainty=dict(card.get("uncertainty") or NOTHING),
            training_data=str(card.get("training_data", entry.training_data)),
            licence=str(card.get("licence", entry.licence)),
            steps=card.get("default_steps", entry.steps),
            area=None if area is None else int(area),
            guidance=card.get("default_guidance", entry.guidance),
            mode=card.get("default_mode", entry.mode),
            start=card.get("default_ensemble_start", entry.start),
        )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(
            card_path, f"the card is unreadable ({error})", "Export or install again"
        ) from error


def _size_mb(path: Path) -> float:
    return round(path.stat().st_size / 1e6, 1)
