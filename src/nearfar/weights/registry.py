"""The table of known weights. No torch: `nearfar models list` answers at once.

A preset is an architecture; an entry is a file of weights for one, and stands in its family's own
description. Embedded files are ours: their
sha256, size and held-out errors stand on the card beside them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from nearfar.errors import ConfigError, WeightsError
from nearfar.family import NOTHING, WeightsEntry
from nearfar.settings import cache_folder
from nearfar.typed import from_table, typed

from .families import FAMILIES

# which weights serve an encoder tag when nothing else is asked for
ENCODER_ENTRIES: Mapping[str, str] = MappingProxyType(
    {tag: name for family in FAMILIES for tag, name in family.serves.items()}
)
LARGEST_AREA = 4096**2  # network pixels that a card may ask for
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Card:
    """What is read of a card; the rest of it is for people."""

    sha256: str | None = None
    uncertainty: dict[str, object] | None = None
    training_data: str | None = None
    licence: str | None = None
    recipe: dict[str, object] = field(default_factory=dict)
    default_area: int | None = None
    default_steps: int | None = None
    default_guidance: float | None = None
    default_mode: str | None = None
    default_ensemble_start: Literal["noise", "first"] | None = None


_CARD_KEYS = frozenset(f.name for f in fields(_Card))


def fill_from_card(entry: WeightsEntry, card_path: Path) -> WeightsEntry:
    """The entry with what a card (as `nearfar train` writes it) says.

    A model works by default at the size it was trained at: `default_area`, else the recipe's crop.
    """
    try:
        table = json.loads(card_path.read_text(encoding="utf-8"))
        card = from_table(_Card, {k: v for k, v in table.items() if k in _CARD_KEYS}, where="card")
        data = card.recipe.get("data")
        seen = typed(data if isinstance(data, dict) else {}, dict[str, object], "card.recipe.data")
        size = seen.get("crop") if all(seen.get("crop") or [0]) else seen.get("size")
        sides = typed(size or [], tuple[int, ...], "card.recipe.data")  # crop [0, 0]: as rendered
        area = card.default_area or (math.prod(sides) if sides else entry.area)
        metrics = _metrics_of(table)
        if area is not None and not 1 <= area <= LARGEST_AREA:
            raise ConfigError("card", f"an area of {area:g} pixels", f"At most {LARGEST_AREA}")
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(
            card_path, f"the card is unreadable ({error})", "Export or install again"
        ) from error
    return replace(
        entry,
        sha256=card.sha256 or entry.sha256,
        metrics=metrics or NOTHING,
        uncertainty=card.uncertainty or {},
        training_data=card.training_data or entry.training_data,
        licence=card.licence or entry.licence,
        steps=card.default_steps or entry.steps,
        area=area,
        guidance=entry.guidance if card.default_guidance is None else card.default_guidance,
        mode=card.default_mode or entry.mode,
        start=card.default_ensemble_start or entry.start,
    )


def _metrics_of(table: Mapping[str, Any]) -> dict[str, object]:
    """The errors on a card, which nothing is built from; a run's own may be NaN."""
    found = table.get("metrics", table.get("validation")) or {}
    if not isinstance(found, dict):
        raise ConfigError("card", "metrics are no table")
    return found


def _size_mb(path: Path) -> float:
    return round(path.stat().st_size / 1e6, 1)
