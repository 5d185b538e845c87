"""What a family says about itself: one frozen `Family`, from which every registry is built.

Each folder of models/ has one in family.py, encoders/ and tokenizers/ have theirs in families.py.
Listing models must stay fast, so nothing here or there imports torch: what needs it is a function
that imports when called, and so a model that is loaded imports no other family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class NetworkParts(NamedTuple):
    """A network's config (a dataclass), its class, and its named configs."""

    config: type
    network: Any
    presets: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkKind:
    """One kind of network that a file of weights can hold.

    name: what the metadata of files call `family`. parts: imports and names what it is made of.
    is_encoder: it gives semantics to depth models of other kinds.
    """

    name: str
    parts: Callable[[], NetworkParts]
    is_encoder: bool = False

    @property
    def config(self) -> type:
        """The config's dataclass."""
        return self.parts().config

    @property
    def network(self) -> Any:
        """The network's class, built from a config."""
        return self.parts().network

    @property
    def presets(self) -> Mapping[str, Any]:
        """Named configs."""
        return self.parts().presets


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """All that the rest of the house needs to know of one family.

    name: its folder or file. position: its place in lists; what newcomers should try comes first.
    """

    name: str
    position: int
    networks: tuple[NetworkKind, ...]
