"""The name of this project before 0.2, which files written then still carry.

Readers ask for a key under today's name first and under the former one second; nothing is written
under it any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

NAME, FORMER_NAME = "nearfar", "sonde"
_Value = TypeVar("_Value")


def former(text: str) -> str:
    """A key or sentence as it was before the project was renamed, capital letter kept."""
    text = text.replace(NAME, FORMER_NAME)
    return text.replace(NAME.capitalize(), FORMER_NAME.capitalize())


def under_either_name(stored: Mapping[str, _Value], key: str) -> _Value | None:
    """What a file holds under `key`, or under its former name; None if under neither."""
    return stored.get(key, stored.get(former(key)))
