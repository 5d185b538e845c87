"""A TOML recipe and its `section.key=value` overrides, checked key by key.

Unknown keys are refused with the nearest known name, wrong types with both types (typed.py, which
serves the option tables of sources as well).
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nearfar.errors import ConfigError
from nearfar.typed import from_table, unknown_key

from .config import (
    DATASET_KEYS,
    LAYER_KEYS,
    DataConfig,
    LogConfig,
    ModelConfig,
    Recipe,
    TrainConfig,
)

_SECTIONS: dict[str, type] = {
    "model": ModelConfig,
    "data": DataConfig,
    "train": TrainConfig,
    "log": LogConfig,
}


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a TOML file with `section.key=value` overrides (values as TOML has them)."""
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(path, "no such recipe", "Recipes are TOML files, see recipes/") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(path, f"not a readable TOML file ({error})") from None
    for text in overrides:
        _set_key(table, text)
    return recipe_from_table(table, where=str(path), name=path.stem)


def recipe_from_table(table: Mapping[str, Any], *, where: str, name: str = "run") -> Recipe:
    """The recipe that nested tables describe; `where` opens error messages."""
    for section, content in table.items():
        if section not in _SECTIONS:
            raise unknown_key(where, section, list(_SECTIONS))
        if not isinstance(content, dict):
            raise ConfigError(f"{where}: {section}", "is a value", f"Write a [{section}] section")
    parts: dict[str, Any] = {
        section: from_table(config, table.get(section, {}), where=f"{where}: {section}")
        for section, config in _SECTIONS.items()
    }
    return Recipe(**parts, name=name)


def recipe_table(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain nested tables, ready for JSON.

    Without the keys of dataset readers, of the tokenizer and of rates by layer where none is used,
    so that older runs stay comparable.
    """
    table: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    if not recipe.model.tokenizer:
        del table["model"]["tokenizer"]
    if recipe.data.source != "dataset":
        for key in DATASET_KEYS:
            del table["data"][key]
    if recipe.train.layer_decay == 1 and not recipe.train.rates:
        for key in LAYER_KEYS:
            del table["train"][key]
    return table


def recipe_hash(recipe: Recipe) -> str:
    """First 16 hex digits of the sha256 of everything that decides the weights (not [log])."""
    table = recipe_table(recipe)
    kept = {section: table[section] for section in ("model", "data", "train")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def _set_key(table: dict[str, Any], text: str) -> None:
    """Put one `section.key=value` into the nested table."""
    key, equals, raw = text.partition("=")
    parts = key.strip().split(".")
    if not equals or len(parts) < 2 or not all(parts):
        raise ConfigError(repr(text), "not an override", "Write section.key=value: train.steps=20")
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(repr(text), f"{part} is a value, not a section")
    table[parts[-1]] = _toml_value(raw.strip())


def _toml_value(raw: str) -> Any:
    """A value by TOML's rules; a bare word is text, so that paths need no quotes."""
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw
