"""Locked protocols: a TOML file each, every field required, with a hash that names them.

A number means something only together with its masks, crops, alignment, caps and averaging order.
The hash is SHA-256 over canonical JSON of the whole table (docs/evaluation.md, "Hashes and
intervals"); released files never change without a new version (tests/eval/protocol_hashes.txt).
"""

from __future__ import annotations

import copy
import hashlib
import json
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cached_property
from importlib import resources
from typing import Any, TypeVar

from nearfar.errors import ConfigError
from nearfar.former_name import former

from .value_space import checked_accepts


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetPart:
    """Which images. count: expected samples, 0 = whatever the folder holds. fingerprint: SHA-256
    over the sorted keys of the official split, '' = none is known. decode: how files become metres.
    """

    name: str
    split: str
    options: dict[str, Any]
    licence: str
    count: int
    fingerprint: str
    decode: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ListPart:
    """The published list file: name, SHA-256 (or its first digits, '' = unknown), order."""

    name: str
    sha256: str
    order: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePart:
    """What the network sees. crop: a key of BOXES (prepare.py) or none.

    resize: none, size or long_side. size: [h, w], [long side] or []. interpolation: of the photo.
    warp: none or moge.
    """

    crop: str
    resize: str
    size: tuple[int, ...]
    interpolation: str
    antialias: bool
    colour: str  # the word of the locked files
    warp: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TruthPart:
    """The ground truth. map: depth (raw, with holes) or filled. resize: none or nearest."""

    map: str
    crop: str
    resize: str
    size: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskPart:
    """Scored pixels, terms in order: file, range, box:NAME, sobel:T, mask:NAME.

    min, max: metres of `range`, each 'none' for no limit; is_max_open: max itself is outside.
    empty: what an image without such a pixel does: fail, or skip (counted and listed).
    """

    terms: tuple[str, ...]
    min: float | str
    max: float | str
    is_min_open: bool
    is_max_open: bool
    least_pixels: int
    empty: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionPart:
    """accepts: value space -> conversion made first. resize: to the truth's size.

    sky: what pixels without a finite depth count as. farthest: the farthest finite depth where the
    prediction says sky, elsewhere the run fails. fail: it always fails. 'farthest, else caps': as
    farthest, elsewhere NaN is caps.min and infinity caps.max, after averaging (DAR's code).
    """

    accepts: dict[str, str]
    resize: str
    align_corners: bool
    sky: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignmentPart:
    """id: a row of eval/align.py. scope: image, clip or none.

    options: of `AlignOptions`. seed: for random estimators, each sample draws from [seed, index].
    degenerate: what happens where no fit exists.
    """

    id: str
    space: str
    scope: str
    estimator: str
    weights: str
    sampling: str
    options: dict[str, Any]
    degenerate: str
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CapsPart:
    """Limits of the aligned depth in metres: a number, none, or max_truth; floor comes last."""

    min: float | str
    max: float | str
    floor: float | str


@dataclass(frozen=True, kw_only=True, slots=True)
class AveragePart:
    """over: images, scenes (mean of scene means), or clips. weights: metric -> counter column."""

    over: str
    weights: dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class InferencePart:
    """steps, ensemble_size: those of the published numbers, told but not forced on other models
    ('model' = none are stated). seed: the default of a run, the same for every image.
    """

    steps: int | str
    ensemble_size: int | str
    seed: int
    tta: str


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoPart:
    """frames: how many per clip at most. first, stride: which ones. windows: how clips are cut."""

    frames: int
    first: int
    stride: int
    windows: str
    input: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferencePart:
    """A number that a correct run gives: model, metric, value, tolerance, where it is from."""

    model: str
    metric: str
    value: float
    tolerance: float
    source: str


_NOT_HASHED = ("notes", "hash")
ELSE_CAPS = "farthest, else caps"
STATUSES = ("parity", "ours", "unverified", "custom")
Part = TypeVar("Part")


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One locked protocol. table: the whole resolved text; everything else is read from it."""

    id: str
    version: int
    status: str
    title: str
    reference: str
    kind: str  # image or video
    dataset: DatasetPart
    list: ListPart
    image: ImagePart
    truth: TruthPart
    mask: MaskPart
    prediction: PredictionPart
    alignment: AlignmentPart
    caps: CapsPart
    metrics: tuple[str, ...]
    metric_options: dict[str, Any]
    average: AveragePart
    inference: InferencePart
    video: VideoPart | None
    expected: tuple[ReferencePart, ...]
    expected_skips: tuple[str, ...]
    table: dict[str, Any]

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON of the table."""
        return protocol_hash(self.table)

    @property
    def name(self) -> str:
        """id@version#first8, as reports print it."""
        return f"{self.id}@{self.version}#{self.hash[:8]}"

    @property
    def is_comparable(self) -> bool:
        """Whether its numbers may stand beside others of the same id."""
        return self.status != "custom"


def canonical_json(table: Mapping[str, Any]) -> str:
    """Sorted keys, no spaces, no NaN, without `notes` and `hash`: the text that is hashed.

    It names us as we were called when the first protocols were locked.
    """
    kept = {key: value for key, value in table.items() if key not in _NOT_HASHED}
    text = json.dumps(
        kept, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    )
    return former(text)


def protocol_hash(table: Mapping[str, Any]) -> str:
    """SHA-256 (hexadecimal) of a protocol's canonical JSON."""
    return hashlib.sha256(canonical_json(table).encode("utf-8")).hexdigest()


def list_hash(lines: Sequence[str]) -> str:
    """SHA-256 of a list: its lines joined by LF, with a final LF."""
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode("utf-8")).hexdigest()


def protocol_ids() -> list[str]:
    """The ids of all protocols, sorted; `moge-*` ones take a set behind their id."""
    folder = resources.files("nearfar.eval") / "protocols"
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def load_protocol(identifier: str) -> Protocol:
    """The protocol of an id; `moge-affine-nyuv2` is the set nyuv2 of `moge-affine`."""
    ids = protocol_ids()
    if identifier in ids:
        return protocol_from_table(_read(identifier))
    for stem in sorted((i for i in ids if identifier.startswith(f"{i}-")), key=len, reverse=True):
        table = _read(stem)
        chosen = identifier.removeprefix(f"{stem}-")
        if chosen in table.get("sets", {}):
            return protocol_from_table(_with_set(table, chosen))
    near = get_close_matches(identifier, ids, n=1)
    remedy = f"Did you mean {near[0]}?" if near else "See nearfar eval list"
    raise ConfigError(f"protocol {identifier}", "is not known", remedy)


def require_runnable(protocol: Protocol) -> None:
    """ConfigError for a protocol that still needs one of its sets to be named."""
    sets = protocol.table.get("sets")
    if sets:
        raise ConfigError(
            f"protocol {protocol.id}",
            "has several data sets",
            f"Name one: {', '.join(f'{protocol.id}-{name}' for name in sets)}",
        )


def protocol_from_table(table: Mapping[str, Any]) -> Protocol:
    """The protocol a table describes; ConfigError for a missing, unknown or impossible field."""
    table = copy.deepcopy(dict(table))
    where = f"protocol {table.get('id', '?')}"
    content = {k: v for k, v in table.items() if k not in (*_NOT_HASHED, "sets")}
    protocol = _fill(Protocol, {"video": None, **content, "table": table}, where)
    checks = {
        "status": (protocol.status, STATUSES),
        "kind": (protocol.kind, ("image", "video")),
        "average.over": (protocol.average.over, ("images", "scenes", "clips")),
        "mask.empty": (protocol.mask.empty, ("fail", "skip")),
        "prediction.sky": (protocol.prediction.sky, ("farthest", "fail", ELSE_CAPS)),
        "truth.map": (protocol.truth.map, ("depth", "filled")),
        "image.warp": (protocol.image.warp, ("none", "moge")),
        "alignment.scope": (protocol.alignment.scope, ("image", "clip", "none")),
    }
    for name, (value, allowed) in checks.items():
        if value not in allowed:
            raise ConfigError(where, f"{name} is {value!r}", f"Use {', '.join(allowed)}")
    checked_accepts(protocol.prediction.accepts, where=f"{where}: prediction.accepts")
    if protocol.prediction.sky == ELSE_CAPS:
        caps = (protocol.caps.min, protocol.caps.max)
        if set(protocol.prediction.accepts) != {"metric"} or any(isinstance(c, str) for c in caps):
            raise ConfigError(where, f"prediction.sky {ELSE_CAPS!r} needs metric maps and caps")
    if (protocol.kind == "video") != (protocol.video is not None):
        raise ConfigError(where, "kind and the [video] table contradict each other")
    return protocol


def override(protocol: Protocol, changes: Sequence[str]) -> Protocol:
    """The protocol `custom-<id>` with `key=value` changes (dotted keys, values as in TOML).

    Its status is custom: its numbers are not comparable to anything but the same hash.
    """
    if not changes:
        return protocol
    table = copy.deepcopy(protocol.table)
    for text in changes:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise ConfigError(f"--set {text}", "is not key=value")
        _replace(table, key.strip(), _value(value.strip()), where=f"--set {text}")
    table["id"] = f"custom-{protocol.id.removeprefix('custom-')}"
    table["status"] = "custom"
    return protocol_from_table(table)


def _read(identifier: str) -> dict[str, Any]:
    path = resources.files("nearfar.eval") / "protocols" / f"{identifier}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"protocol {identifier}", f"cannot be read ({error})") from None
    if table.get("id") != identifier:
        raise ConfigError(f"{identifier}.toml", f"its id is {table.get('id')!r}")
    return table


def _with_set(table: dict[str, Any], chosen: str) -> dict[str, Any]:
    """The table with one of its sets filled in, under an id of its own."""
    changes = table.pop("sets")[chosen]
    for key, value in changes.items():
        _replace(table, key, value, where=f"protocol {table['id']}: sets.{chosen}")
    table["id"] = f"{table['id']}-{chosen}"
    return table


def _value(text: str) -> Any:
    """A value as TOML has it; a bare word is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _replace(table: dict[str, Any], key: str, value: Any, *, where: str) -> None:
    """Change one existing field, or one entry of an open table (options, weights)."""
    *path, last = key.split(".")
    place: Any = table
    for name in path:
        place = place.get(name) if isinstance(place, dict) else None
    is_open = bool(path) and path[-1] in ("options", "metric_options", "weights", "accepts")
    if not isinstance(place, dict) or (last not in place and not is_open):
        known = sorted(_leaves(table))
        near = get_close_matches(key, known, n=1)
        raise ConfigError(where, f"no such field {key}", f"Did you mean {near[0]}?" if near else "")
    if last in ("id", "version", "status", "hash") and not path:
        raise ConfigError(where, f"{key} cannot be set")
    place[last] = value


def _leaves(table: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of all fields."""
    out: list[str] = []
    for key, value in table.items():
        out += _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
    return out


def _fill(part: type[Part], table: Any, where: str) -> Part:
    """A dataclass filled from a table in which every field must be there, and no other."""
    if not isinstance(table, dict):
        raise ConfigError(where, f"is {type(table).__name__}, expected a table")
    hints = typing.get_type_hints(part)
    names = {item.name for item in fields(part)}  # type: ignore[arg-type]
    for name in set(table) - names:
        near = get_close_matches(name, sorted(names), n=1)
        raise ConfigError(
            where, f"unknown field {name}", f"Did you mean {near[0]}?" if near else ""
        )
    missing = names - set(table)
    if missing:
        raise ConfigError(where, f"lacks {', '.join(sorted(missing))}", "Every field is required")
    values = {name: _convert(hints[name], table[name], f"{where}: {name}") for name in table}
    return part(**values)


def _convert(hint: Any, value: Any, where: str) -> Any:
    """`value` as the annotation wants it; ConfigError with both types otherwise."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        for choice in inner:
            if choice is not type(None):
                try:
                    return _convert(choice, value, where)
                except ConfigError:
                    if choice is inner[-1] or hasattr(choice, "__dataclass_fields__"):
                        raise
    if hasattr(hint, "__dataclass_fields__"):
        return _fill(hint, value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(inner[0], item, where) for item in value)
    if (origin is dict or hint is dict) and isinstance(value, dict):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float and is_number:
        return float(value)
    if hint in (str, bool, int) and type(value) is hint:
        return value
    raise ConfigError(where, f"is {value!r}", f"Expected {getattr(hint, '__name__', hint)}")
