"""What a family says about itself: one frozen `Family`, from which every registry is built.

Each folder of models/ has one in family.py, encoders/ and tokenizers/ have theirs in families.py.
Listing models must stay fast, so nothing here or there imports torch: what needs it is a function
that imports when called, and so a model that is loaded imports no other family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import torch


class NetworkParts(NamedTuple):
    """A network's config (a dataclass), its class, and its named configs."""

    config: type
    network: Any
    presets: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictorParts:
    """What a predictor is made of. encoder: None where the kind needs none and none is given.

    area, steps, guidance: network pixels, calls and guidance scale when none are asked for.
    mode: how VAR-Depth chooses codes. start: of PPD's later hypotheses. None = the family's own.
    """

    network: Any
    encoder: Any
    dtype: torch.dtype
    area: int | None = None
    steps: int | None = None
    guidance: float | None = None
    mode: str | None = None
    start: Literal["noise", "first"] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkKind:
    """One kind of network that a file of weights can hold.

    name: what the metadata of files call `family`. parts: imports and names what it is made of.
    predictor: a network with its encoder as a Predictor or VideoPredictor; None if it gives no
    depth by itself, then `instead` says what it is and what to do. is_encoder: it gives semantics
    to depth models of other kinds. is_exact: float32 whatever is asked for, as an encoder that
    gains no time in halves and loses digits. has_own_encoder: it takes no other one. stem: before
    the names of tensors that its files leave to the embedded tiny encoder.
    """

    name: str
    parts: Callable[[], NetworkParts]
    predictor: Callable[[PredictorParts], Any] | None = None
    instead: tuple[str, str] | None = None
    is_encoder: bool = False
    is_exact: bool = False
    has_own_encoder: bool = False
    stem: str | None = None

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
