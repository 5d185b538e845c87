"""Public names of a room, each imported from its module when first asked for (PEP 562)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

Lookup = tuple[Callable[[str], Any], Callable[[], list[str]]]


def lazy_names(room: str, homes: Mapping[str, str]) -> Lookup:
    """`__getattr__` and `__dir__` of a room; homes: name -> module of the room, as `depth.png16`.

    So importing a room stays as fast as importing its docstring.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        return getattr(import_module(f"{room}.{homes[name]}"), name)

    def names() -> list[str]:
        return sorted(homes)

    return find, names
