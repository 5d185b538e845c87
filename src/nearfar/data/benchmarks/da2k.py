"""DA-2K: about 1,000 pictures and 2,000 pairs of pixels, the closer one marked (docs/datasets.md).

`annotations.json`: picture -> pairs of points [row, col] of the picture as it is displayed, and
which of them is closer. Records have no depth (all of it is unknown); `notes["scene_type"]` is one
of indoor, outdoor, non_real, transparent_reflective, adverse_style, aerial, underwater, object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nearfar.errors import DataError

from ..decode import json_of, rgb_of
from ..lists import natural_key
from ..record import DepthRecord, Pair
from ..store import Store
from .frames import FrameDataset, in_list_order

_ANNOTATIONS = "annotations.json"
_POINTS = ("point1", "point2")


class Da2kFrame(NamedTuple):
    """One picture with its pairs; where: file and line of its annotations."""

    sample_id: str
    photo: str
    where: str
    scene_type: str
    pairs: tuple[Pair, ...]


def open_da2k(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> FrameDataset[Da2kFrame]:
    """Every annotated picture, ordered by scene type and name.

    Options: scene_types (names with commas).
    """
    found = [n for n in store.names() if n.rpartition("/")[2] == _ANNOTATIONS]
    if not found:
        raise store.nothing_found(_ANNOTATIONS)
    base = found[0].removesuffix(_ANNOTATIONS)
    where, content = store.where(found[0]), store.read(found[0])
    annotations = json_of(content, where)
    if not isinstance(annotations, dict) or not annotations:
        raise DataError(where, "is not an object of pictures and pairs")
    text = content.decode()
    wanted = {part.strip() for part in options.get("scene_types", "").split(",") if part.strip()}
    frames = []
    for picture in sorted(annotations, key=natural_key):
        place = f"{where}:{_line_of(text, picture)}"
        parts = picture.strip("/").split("/")
        scene_type = parts[-2] if len(parts) > 1 else ""
        if not wanted or scene_type in wanted:
            stem = parts[-1].rpartition(".")[0] or parts[-1]
            pairs = _pairs(annotations[picture], place)
            frames.append(
                Da2kFrame(f"da2k/{scene_type}/{stem}", base + picture, place, scene_type, pairs)
            )
    if not frames:
        raise DataError(where, f"has no picture of {', '.join(sorted(wanted))}")
    return FrameDataset(store, in_list_order(frames, list_file, store), _read)


def _line_of(text: str, picture: str) -> int:
    """The line of a JSON text on which a picture stands, 1 if it is written in an odd way."""
    place = text.find(json.dumps(picture))
    return 1 + text.count("\n", 0, max(place, 0))


def _pairs(stated: Any, where: str) -> tuple[Pair, ...]:
    """The pairs of one picture; rows and columns are checked when the picture is known."""
    pairs = []
    entries: list[Any] = stated if isinstance(stated, list) and stated else [None]
    for entry in entries:
        try:
            points = [tuple(_whole(value) for value in entry[name]) for name in _POINTS]
            closer = _POINTS.index(entry["closer_point"])
        except (TypeError, KeyError, ValueError) as error:
            wanted = "Write point1 and point2 as [row, col], and closer_point"
            raise DataError(where, f"{str(entry)[:80]} is not a pair", wanted) from error
        first, second = points[closer], points[1 - closer]
        if len(first) != 2 or len(second) != 2:
            raise DataError(where, f"{str(entry)[:80]} is not a pair", "A point is [row, col]")
        pairs.append(Pair(closer=(first[0], first[1]), farther=(second[0], second[1])))
    return tuple(pairs)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value:
        raise ValueError(f"{value!r} is not a pixel")
    return int(value)


def _read(store: Store, frame: Da2kFrame) -> DepthRecord:
    """One picture with its pairs."""
    rgb = rgb_of(store.read(frame.photo), store.where(frame.photo))
    height, width = rgb.shape[:2]
    for pair in frame.pairs:
        for row, col in (pair.closer, pair.farther):
            if not (0 <= row < height and 0 <= col < width):
                finding = f"point [{row}, {col}] is outside the picture, {height} x {width}"
                raise DataError(frame.where, finding, "Points are [row, col]")
    return DepthRecord(
        sample_id=frame.sample_id,
        scene=frame.sample_id.partition("/")[2],
        rgb_HW3=rgb,
        depth_HW=np.zeros((height, width), np.float32),
        valid_HW=np.zeros((height, width), np.bool_),
        depth_kind="ordinal",
        pairs=frame.pairs,
        sources=(frame.photo, _ANNOTATIONS),
        notes={"scene_type": frame.scene_type},
    )
