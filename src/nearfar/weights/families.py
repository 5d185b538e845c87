"""Every family there is, by its own description: depth families, encoders, tokenizers. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from types import MappingProxyType

from nearfar.encoders.families import FAMILIES as ENCODERS
from nearfar.family import Family, NetworkKind
from nearfar.models import FAMILIES as DEPTH_FAMILIES
from nearfar.tokenizers.families import FAMILIES as TOKENIZERS


def _all() -> Iterator[Family]:
    for module in DEPTH_FAMILIES.values():
        yield import_module(module).FAMILY
    yield from ENCODERS
    yield from TOKENIZERS


FAMILIES: tuple[Family, ...] = tuple(sorted(_all(), key=lambda family: family.position))
NETWORKS: Mapping[str, NetworkKind] = MappingProxyType(
    {kind.name: kind for family in FAMILIES for kind in family.networks}
)
