"""Plain values of a file (JSON, TOML) as dataclasses: nothing is believed before it is checked.

Every value must have its field's type and be finite and of sane size; unknown keys are refused with
the nearest known name. A file can so ask for nothing but what a config of ours could say.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from nearfar.errors import ConfigError

Config = TypeVar("Config")
LARGEST_WHOLE = 2**63 - 1
LONGEST = 4096  # entries of a list, characters of a text
_SHOWN = 60  # characters of a value in a message


def from_table(config: type[Config], table: Mapping[str, Any], *, where: str) -> Config:
    """The dataclass filled from a table; ConfigError names `where.key`, the types, the nearest."""
    hints = typing.get_type_hints(config)
    names = [f.name for f in fields(config) if f.init]  # type: ignore[arg-type]
    values = {}
    for key, value in table.items():
        if key not in names:
            raise unknown_key(where, key, names)
        values[key] = typed(value, hints[key], f"{where}.{key}")
    try:
        return config(**values)
    except TypeError as error:
        needed = str(error).rsplit("argument", 1)[-1].lstrip("s: ")
        raise ConfigError(where, f"missing {needed}", "Give it a value in the recipe") from None
    except ConfigError as error:
        file = where.rsplit(": ", 1)[0]
        raise ConfigError(f"{file}: {error.where}", error.finding, error.remedy) from None


def typed(value: Any, hint: Any, where: str) -> Any:
    """The value if it fits the type hint (whole numbers fit float), else ConfigError.

    Lists become tuples and tables dataclasses where the hint says so.
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or hint is object:
        return _plain(value, where)
    if origin in (types.UnionType, typing.Union):
        return _one_of(value, args, hint, where)
    if origin is typing.Literal:
        if any(value == choice and type(value) is type(choice) for choice in args):
            return value
    elif origin is tuple and isinstance(value, list | tuple):
        kinds = [args[0]] * len(value) if args[-1] is Ellipsis else list(args)
        if len(kinds) != len(value) or len(value) > LONGEST:
            raise ConfigError(where, f"{len(value)} values", f"{len(kinds)} are needed")
        return tuple(typed(v, kind, where) for v, kind in zip(value, kinds, strict=True))
    elif origin is dict and isinstance(value, dict):
        return {key: typed(v, args[1], f"{where}.{key}") for key, v in value.items()}
    elif isinstance(hint, type) and is_dataclass(hint) and isinstance(value, dict):
        return from_table(hint, value, where=where)
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(_plain(value, where))
    elif hint is Path and isinstance(value, str):
        return Path(value)
    elif hint is type(value):
        return _plain(value, where)
    shown = repr(value)[:_SHOWN]
    raise ConfigError(where, f"{shown} is {_name(type(value))}", f"It must be {_name(hint)}")


def unknown_key(where: str, key: str, names: Sequence[str]) -> ConfigError:
    """The refusal of a key, with the nearest known one."""
    near = get_close_matches(key, names, n=1, cutoff=0.4)
    hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(names) or 'none'}"
    place = f"{where}.{key}" if ": " in where else f"{where}: {key}"
    return ConfigError(place[:LONGEST], "unknown key", hint)


def _one_of(value: Any, choices: Sequence[Any], hint: Any, where: str) -> Any:
    """The value as the first of the types that it fits; a table's own faults are told."""
    tables = [c for c in choices if isinstance(c, type) and is_dataclass(c)]
    if isinstance(value, dict) and len(tables) == 1:
        return typed(value, tables[0], where)
    exact = [c for c in choices if c is type(value)]  # 1 is whole before it is a number
    for choice in (*exact, *choices):
        try:
            return typed(value, choice, where)
        except ConfigError as error:
            if choice in exact:
                raise
            last = error
    raise ConfigError(where, last.finding, f"It must be {_name(hint)}")


def _plain(value: Any, where: str) -> Any:
    """The value if it is finite and of sane size; numbers inside lists and tables too."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(where, f"{value} is not a finite number")
    if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
        raise ConfigError(where, "a whole number of more than 63 bits")
    if isinstance(value, str) and len(value) > LONGEST:
        raise ConfigError(where, f"a text of {len(value)} characters", f"At most {LONGEST}")
    if isinstance(value, dict):
        return {key: _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, where) for item in value]
    return value


def _name(hint: Any) -> str:
    """A type in words a person reads."""
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    if isinstance(hint, type) and hint in words:
        return words[hint]
    return str(hint) if typing.get_origin(hint) else getattr(hint, "__name__", str(hint))
