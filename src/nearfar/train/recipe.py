"""A TOML recipe and its `section.key=value` overrides, checked key by key.

Unknown keys are refused with the nearest known name, wrong types with both types. `from_table`
fills any of our config dataclasses and serves the option tables of sources as well.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from nearfar.errors import ConfigError

from .config import (
    DATASET_KEYS,
    LAYER_KEYS,
    DataConfig,
    LogConfig,
    ModelConfig,
    Recipe,
    TrainConfig,
)

Config = TypeVar("Config")
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
            raise _unknown(where, section, list(_SECTIONS))
        if not isinstance(content, dict):
            raise ConfigError(f"{where}: {section}", "is a value", f"Write a [{section}] section")
    parts: dict[str, Any] = {
        section: from_table(config, table.get(section, {}), where=f"{where}: {section}")
        for section, config in _SECTIONS.items()
    }
    return Recipe(**parts, name=name)


def from_table(config: type[Config], table: Mapping[str, Any], *, where: str) -> Config:
    """The dataclass filled from a table; ConfigError names `where.key`, the types, the nearest."""
    hints = typing.get_type_hints(config)
    names = [f.name for f in fields(config) if f.init]  # type: ignore[arg-type]
    values = {}
    for key, value in table.items():
        if key not in names:
            raise _unknown(where, key, names)
        values[key] = _typed(value, hints[key], f"{where}.{key}")
    try:
        return config(**values)
    except TypeError as error:
        needed = str(error).rsplit("argument", 1)[-1].lstrip("s: ")
        raise ConfigError(where, f"missing {needed}", "Give it a value in the recipe") from None
    except ConfigError as error:
        file = where.rsplit(": ", 1)[0]
        raise ConfigError(f"{file}: {error.where}", error.finding, error.remedy) from None


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


def _typed(value: Any, hint: Any, where: str) -> Any:
    """The value if it fits the type hint (whole numbers fit float), else ConfigError."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or hint is object:
        return value
    if origin in (types.UnionType, typing.Union):
        for choice in args:
            try:
                return _typed(value, choice, where)
            except ConfigError:
                continue
    elif origin is typing.Literal:
        if value in args:
            return value
    elif origin is tuple and isinstance(value, list | tuple):
        kinds = [args[0]] * len(value) if args[-1] is Ellipsis else list(args)
        if len(kinds) != len(value):
            raise ConfigError(where, f"{len(value)} values", f"{len(kinds)} are needed")
        return tuple(_typed(v, kind, where) for v, kind in zip(value, kinds, strict=True))
    elif origin is dict and isinstance(value, dict):
        return {key: _typed(v, args[1], f"{where}.{key}") for key, v in value.items()}
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif hint is Path and isinstance(value, str):
        return Path(value)
    elif hint is type(value):
        return value
    raise ConfigError(where, f"{value!r} is {_name(type(value))}", f"It must be {_name(hint)}")


def _name(hint: Any) -> str:
    """A type in words a person reads."""
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    if isinstance(hint, type) and hint in words:
        return words[hint]
    return str(hint) if typing.get_origin(hint) else getattr(hint, "__name__", str(hint))


def _unknown(where: str, key: str, names: Sequence[str]) -> ConfigError:
    """The refusal of a key, with the nearest known one."""
    near = get_close_matches(key, names, n=1, cutoff=0.4)
    hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(names)}"
    place = f"{where}.{key}" if ": " in where else f"{where}: {key}"
    return ConfigError(place, "unknown key", hint)
