"""Own samples in shards: tars whose members are KEY.rgb.png, KEY.depth.png, KEY.json and so on.

Spec datasets 1.10, read without the webdataset package. Photo: rgb.{png,jpg,jpeg,webp}. Depth:
depth.{png,npy,exr} in stored units; KEY.json gives `depth_scale`, the units per metre (needed for
PNG, 1 for the others), and may give K ([fx, fy, cx, cy] or 3x3, pixel centers at +0.5), pose (16
numbers, camera to world), depth_kind, scene, frame, licence. mask.png: non-zero = depth usable;
sky.png: non-zero = sky. `rename` maps other endings to these: image.png=rgb.png,d.npy=depth.npy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError, DataError

from ..decode import exr_of, json_of, npy_of, picture_of, png16_of, rgb_of, same_size
from ..lists import natural_key, read_list
from ..record import DepthRecord
from ..store import Store
from .frames import Frame, FrameDataset, known_depth

PARTS = {
    "rgb": ("rgb.png", "rgb.jpg", "rgb.jpeg", "rgb.webp"),
    "depth": ("depth.png", "depth.npy", "depth.exr"),
    "mask": ("mask.png",),
    "sky": ("sky.png",),
    "json": ("json",),
}
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


def open_webdataset(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> FrameDataset:
    """The samples of all shards, or of those that `shards` names, or of a list of SHARD/KEY."""
    part_of = {ending: part for part, endings in PARTS.items() for ending in endings}
    for ending, standard in _renames(options.get("rename", "")).items():
        if standard not in part_of:
            known = ", ".join(part_of)
            raise ConfigError("rename", f"{standard!r} is not part of a sample", f"Use {known}")
        part_of[ending] = part_of[standard]
    shards = _shards(store, options.get("shards", ""))
    frames = [frame for name, shard in shards.items() for frame in _samples(name, shard, part_of)]
    if not frames:
        raise store.nothing_found("KEY.rgb.png with KEY.depth.png in a tar")
    if list_file is not None:
        by_key = {frame.key: frame for frame in frames}
        lines = read_list(list_file, columns=(1, 1), store=store)
        frames = [
            by_key.get(line.path(0), Frame(line.path(0), (), {}, line.where)) for line in lines
        ]
    return FrameDataset("webdataset", frames, _Samples(shards))


def expand_braces(pattern: str) -> list[str]:
    """The names of `train-{000000..000003}.tar`, comma separated ones one after the other."""
    names = []
    for text in filter(None, (part.strip() for part in pattern.split(","))):
        match = _BRACES.search(text)
        if match is None:
            names.append(text)
            continue
        first, last = match.groups()
        if int(first) > int(last):
            raise ConfigError("shards", f"{text!r} counts down", "Write {000000..000009}")
        head, tail = text[: match.start()], text[match.end() :]
        for number in range(int(first), int(last) + 1):
            names += expand_braces(f"{head}{number:0{len(first)}d}{tail}")
    return names


def _renames(text: str) -> dict[str, str]:
    """Ending in the shards -> ending of ours."""
    pairs = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        theirs, equals, ours = part.partition("=")
        if not (theirs and equals and ours):
            raise ConfigError("rename", f"{part!r}", "Write image.png=rgb.png,d.npy=depth.npy")
        pairs[theirs.strip(".")] = ours.strip(".")
    return pairs


def _shards(store: Store, pattern: str) -> dict[str, Store]:
    """Shard name without its ending -> its store; keys may repeat from shard to shard."""
    if not store.root.is_dir():
        return {_stem(store.root.name): store}
    names = expand_braces(pattern) if pattern else store.archives()
    return {_stem(name): store.nested(name) for name in names}


def _stem(name: str) -> str:
    return PurePosixPath(name).name.split(".")[0]


def _samples(shard: str, store: Store, part_of: Mapping[str, str]) -> list[Frame]:
    """The samples of one shard that have a photo or depth, in natural order."""
    found: dict[str, dict[str, str]] = {}
    for name in store.names():
        folder, slash, file = name.rpartition("/")
        stem, _, ending = file.partition(".")
        if ending in part_of:
            found.setdefault(f"{folder}{slash}{stem}", {}).setdefault(part_of[ending], name)
    return [
        Frame(f"{shard}/{key}", (shard, key), found[key])
        for key in sorted(found, key=natural_key)
        if "rgb" in found[key] or "depth" in found[key]
    ]


@dataclass(frozen=True, slots=True)
class _Samples:
    shards: Mapping[str, Store]

    def read(self, frame: Frame) -> DepthRecord:
        if not frame.groups:
            raise DataError(frame.line, f"{frame.key} is in no shard", "Write SHARD/KEY")
        shard = frame.groups[0]
        store = self.shards[shard]
        rgb_name, depth_name = frame.file("rgb", store), frame.file("depth", store)
        where = store.where(depth_name)
        facts = _facts(store, frame)
        place = store.where(frame.files.get("json", depth_name))
        rgb_HW3 = rgb_of(store.read(rgb_name), store.where(rgb_name))
        stored_HW = _stored(store.read(depth_name), depth_name, where)
        same_size(stored_HW, rgb_HW3, where)
        scale = facts.get("depth_scale", None if stored_HW.dtype.kind in "iu" else 1.0)
        if not isinstance(scale, int | float) or not 0 < scale < np.inf:
            raise DataError(place, f"depth_scale is {scale}", "Give the stored units per metre")
        masks = {}
        for part in ("mask", "sky"):
            if part in frame.files:
                name = frame.files[part]
                picture = picture_of(store.read(name), store.where(name))
                masks[part] = (picture if picture.ndim == 2 else picture.max(-1)) > 0
        depth = known_depth(
            stored_HW / np.float64(scale),
            known_HW=masks.get("mask"),
            sky_HW=masks.get("sky"),
            where=where,
        )
        return DepthRecord(
            sample_id=f"webdataset/{frame.key}",
            scene=str(facts.get("scene", frame.key)),
            rgb_HW3=rgb_HW3,
            depth_HW=depth.depth_HW,
            valid_HW=depth.valid_HW,
            sky_HW=masks.get("sky"),
            intrinsics_33=_intrinsics(facts["K"], place) if facts.get("K") else None,
            pose_44=_floats(facts["pose"], (16,), place, "pose").reshape(4, 4)
            if facts.get("pose")
            else None,
            depth_kind=str(facts.get("depth_kind", "metric")),
            sources=(rgb_name, depth_name),
            notes={name: facts[name] for name in ("dataset", "frame", "licence") if name in facts},
        )


def _facts(store: Store, frame: Frame) -> dict[str, Any]:
    """What KEY.json says; nothing without it."""
    name = frame.files.get("json")
    if name is None:
        return {}
    facts = json_of(store.read(name), store.where(name))
    if not isinstance(facts, dict):
        raise DataError(store.where(name), "is not a JSON object")
    return facts


def _stored(content: bytes, name: str, where: str) -> NDArray[Any]:
    """The depth as stored [H,W]."""
    if name.endswith(".png"):
        return png16_of(content, where)
    values = exr_of(content, where) if name.endswith(".exr") else npy_of(content, where)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise DataError(where, f"holds {values.dtype} {list(values.shape)}, not depth [H,W]")
    return values


def _intrinsics(given: Any, where: str) -> NDArray[np.float64]:
    """[3,3] of [fx, fy, cx, cy], nine numbers, or 3x3."""
    numbers = _floats(given, (4, 9), where, "K")
    if numbers.size == 4:
        fx, fy, cx, cy = numbers
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    return numbers.reshape(3, 3)


def _floats(given: Any, counts: tuple[int, ...], where: str, name: str) -> NDArray[np.float64]:
    """The numbers as one row; DataError unless there are as many as needed."""
    try:
        numbers = np.asarray(given, np.float64).ravel()
    except (TypeError, ValueError):
        numbers = np.zeros(0)
    if numbers.size not in counts or not np.isfinite(numbers).all():
        wanted = " or ".join(str(count) for count in counts)
        raise DataError(where, f"{name} is {str(given)[:60]}", f"Give {wanted} numbers")
    return numbers
