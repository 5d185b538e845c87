"""What a family says about itself: one frozen `Family`, from which every registry is built.

Each folder of models/ has one in family.py, encoders/ and tokenizers/ have theirs in families.py.
Listing models must stay fast, so nothing here or there imports torch: what needs it is a function
that imports when called, and so a model that is loaded imports no other family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor, nn

NOT_STATED = "not stated"
NON_COMMERCIAL = "CC BY-NC 4.0"
NOTHING: Mapping[str, Any] = MappingProxyType({})


class NetworkParts(NamedTuple):
    """A network's config (a dataclass), its class, and its named configs."""

    config: type
    network: Any
    presets: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsEntry:
    """One file of weights and everything a user must know before using it.

    family: name of a `NetworkKind`. encoder: tag of the encoder it needs (families; "" = none)
    or is (encoders). sha256: of `file`, None = not pinned. commercial: None = the licence does not
    say. hub_repo and url: where it is to be found, both None = only by hand. size_mb: approximate.
    metrics: reference figures, as published. uncertainty: how the spread of hypotheses was
    calibrated (pipeline/calibration.py), {} = not.
    """

    name: str
    family: str
    preset: str
    encoder: str
    file: str
    licence: str
    commercial: bool | None
    is_encoder: bool = False  # of other models, not a depth family
    sha256: str | None = None
    hub_repo: str | None = None
    hub_file: str | None = None
    url: str | None = None
    training_data: str = NOT_STATED
    metrics: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    size_mb: float | None = None
    embedded: bool = False
    uncertainty: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    steps: int | None = None  # network calls and network pixels when nothing is asked for;
    area: int | None = None  # None = the family's own
    guidance: float | None = None  # likewise, of VAR-Depth, and how it chooses codes
    mode: str | None = None
    start: Literal["noise", "first"] | None = None  # and of PPD: where later hypotheses start
    note: str = ""

    @property
    def needs_acceptance(self) -> bool:
        """Whether its own licence must be accepted once before use."""
        return self.commercial is False


def embedded(
    name: str, family: str, *, encoder: str = "tiny", preset: str = "tiny", **more: Any
) -> WeightsEntry:
    """One of ours, shipped with the package. area: what it was trained at, unless its card says."""
    return WeightsEntry(
        name=name,
        family=family,
        preset=preset,
        encoder=encoder,
        file=f"{name.replace('-', '_')}.safetensors",
        licence="Apache-2.0",
        commercial=True,
        training_data="scenes rendered by nearfar (rooms, streets, fields, table tops)",
        embedded=True,
        **more,
    )


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
    the names of tensors that its files leave to an embedded encoder. prunable: its layers that can
    be pruned (layers/prunable.py), in network order; None if it is not made for that.
    """

    name: str
    parts: Callable[[], NetworkParts]
    predictor: Callable[[PredictorParts], Any] | None = None
    instead: tuple[str, str] | None = None
    is_encoder: bool = False
    is_exact: bool = False
    has_own_encoder: bool = False
    stem: str | None = None
    prunable: Callable[[Any], Sequence[Any]] | None = None

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
class TrainingTarget:
    """What the loop trains: a network, and its objective (models/base.py).

    preview: depth for validation from (photos, generator, steps): [B,H,W], larger = farther, affine
    in ln(metres + 1); echo: the same from (metres, valid), for what sees the depth itself. encoder:
    tag of the encoder the weights belong to, or are; encoder_sha256: of the file of the frozen
    encoder, other weights of the same tag would not fit. on_progress: is told before every step
    which share of the steps is done. blocks: what sharding gathers one at a time, with the methods
    it is entered by besides forward; none where a kind is not made for it.
    """

    network: nn.Module
    objective: Any
    preview: Callable[[Tensor, torch.Generator, int], Tensor] | None
    family: str
    preset: str
    echo: Callable[[Tensor, Tensor], Tensor] | None = None
    encoder: str = ""
    encoder_sha256: str = ""
    on_progress: Callable[[float], None] | None = None
    blocks: Mapping[nn.Module, tuple[str, ...]] = field(default_factory=dict)


class TrainingParts(Protocol):
    """What a recipe gives a kind that is to be trained, found and checked when it is asked for."""

    preset: str
    config: Any  # of that preset
    device: torch.device
    has_start: bool  # whether train.init_from names weights to start from

    def generator(self) -> torch.Generator:
        """The CPU generator of the first weights, seeded with train.seed."""
        ...

    def options(self, objective: Any) -> dict[str, Any]:
        """The [train.objective] table, each key a named parameter of the objective."""
        ...

    def frozen_encoder(self) -> Any:
        """The encoder that model.encoder names, frozen, float32, on the device."""
        ...

    def encoder_sha256(self) -> str:
        """Of the file of that encoder; empty if none is pinned."""
        ...

    def require_width(self, given: int, wanted: int) -> None:
        """Pass if an encoder's semantics are as wide as the preset takes them."""
        ...

    def put_backbone(self, backbone: nn.Module) -> str:
        """Start a photo encoder that is trained along from model.encoder; its file's sha256."""
        ...

    def put_tokenizer(self, tokenizer: Any, *, own_scales: bool = False) -> None:
        """Fill a tokenizer from model.tokenizer; own_scales: trained with other token maps."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedKind:
    """One thing that a recipe can train (`model.kind`).

    kind: of the network. target: sets it up. alone: the class of an objective that needs nothing
    but the network, so that a run can be planned whole. trains_part: the rest comes from weights.
    splits: its network names the `blocks()` that sharding gathers.
    """

    name: str
    kind: str
    target: Callable[[TrainingParts], TrainingTarget]
    alone: Callable[[], Any] | None = None
    trains_part: bool = False
    splits: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleasedFile:
    """A released checkpoint, opened: tensors by bare name, and the prefixes that were taken off.

    model_config: MoGe-2's own. asked: encoder tag that the caller states. preset: that of the entry
    of this kind whose released file has this name. None = nothing there.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    prefixes: frozenset[str]
    model_config: Mapping[str, Any] | None = None
    asked: str | None = None
    preset: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Recognized:
    """What a released checkpoint is: a kind of network, its config, its tensors by our names.

    encoder: tag of the encoder it stands on or is. dropped: published names left out. remedy: told
    if the tensors do not fit the config after all.
    """

    kind: str
    config: Any
    tensors: dict[str, Tensor]
    encoder: str = ""
    dropped: Sequence[str] = ()
    remedy: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleasedForm:
    """A form in which networks of a family were released by others.

    name: what people are told it looks like, a kind of network. is_this: by names of tensors and
    prefixes; forms exclude each other. read: KeyError if a telling tensor is missing, WeightsError
    if the file is another one after all.
    """

    name: str
    is_this: Callable[[Mapping[str, Tensor], frozenset[str]], bool]
    read: Callable[[ReleasedFile], Recognized]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleasedPart:
    """A released file that predicts nothing alone, by one of its tensors, and what to do."""

    mark: str
    finding: str
    remedy: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """All that the rest of the house needs to know of one family.

    name: its folder or file. position: its place in lists; what newcomers should try comes first.
    entries: known files of weights. Facts about released ones come from their projects' pages or
    from memory; we never saw the files, so their sha256 is None ("not pinned") and their addresses
    are not checked. serves: encoder tag -> entry that serves it when nothing else is asked for.
    training: what recipes can train. start_from: tensors by our names to start training from, if
    the content of a file is a foreign one of this family, else None. forms, parts: released
    checkpoints, whole ones and parts of them; nests, prefixes: what their tensors lie in and are
    preceded by.
    """

    name: str
    position: int
    networks: tuple[NetworkKind, ...]
    entries: tuple[WeightsEntry, ...] = ()
    serves: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    training: tuple[TrainedKind, ...] = ()
    start_from: Callable[[Mapping[str, Any], Path], Mapping[str, Tensor] | None] | None = None
    forms: tuple[ReleasedForm, ...] = ()
    parts: tuple[ReleasedPart, ...] = ()
    nests: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
