"""The MoGe evaluation bundle: ten sets in one layout (arXiv 2410.19115).

`SET/.index.txt` (or `.test.txt`) lists folders with image.jpg, depth.png, meta.json and sometimes
segmentation.png. Depth is a 16-bit logarithmic code between `near` and `far` of the PNG's text:
0 = unknown, 65535 = infinite (sky), else near^(1-t) * far^t with t = (v - 1) / 65533, times `unit`
where the text has one. The intrinsics of meta.json are shares of width and height, from the upper
left border.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import DataError

from ..decode import (
    json_of,
    picture_of,
    picture_text_of,
    png16_of,
    rgb_of,
    same_size,
    text_of,
)
from ..lists import parse_list
from ..record import DepthRecord
from ..store import Store
from .frames import FrameDataset, in_list_order, names_of

INDEXES = (".index.txt", ".test.txt")
_STEPS = 65533


class MogeFrame(NamedTuple):
    """One folder of a set."""

    sample_id: str
    photo: str
    folder: str
    scene: str
    with_segments: bool


class LogDepth(NamedTuple):
    """depth_HW: float64, 0 where unknown or infinite."""

    depth_HW: NDArray[np.float64]
    valid_HW: NDArray[np.bool_]
    infinite_HW: NDArray[np.bool_]


def open_moge_eval(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> FrameDataset[MogeFrame]:
    """Every folder that the indexes below the root list.

    Options: set (names of set folders with commas), segments yes or no (masks by label).
    """
    indexes: dict[str, str] = {}
    for name in store.names():
        folder, _, last = name.rpartition("/")
        if last in INDEXES:
            indexes.setdefault(folder.rpartition("/")[2], name)
    if not indexes:
        raise store.nothing_found(*(f"SET/{name}" for name in INDEXES))
    frames = []
    for set_name in names_of(options.get("set", ""), sorted(indexes), "moge_eval: set"):
        where = store.where(indexes[set_name])
        base = indexes[set_name].rpartition("/")[0]
        named = set_name or store.root.name.partition(".")[0]
        lines = parse_list(text_of(store.read(indexes[set_name]), where), where, columns=(1, 1))
        for line in lines:
            folder = f"{base}/{line.path(0)}".strip("/")
            if not store.exists(f"{folder}/image.jpg"):
                raise DataError(line.where, f"{folder}/image.jpg is not there")
            place = line.path(0).rpartition("/")[0] or line.path(0)
            frames.append(
                MogeFrame(
                    f"moge_eval/{named}/{line.path(0)}",
                    f"{folder}/image.jpg",
                    folder,
                    f"{named}/{place}",
                    options.get("segments", "no") == "yes",
                )
            )
    return FrameDataset(store, in_list_order(frames, list_file, store), _read)


def log_depth_of(content: bytes, where: str) -> LogDepth:
    """The depth of a log-coded PNG."""
    codes = png16_of(content, where)
    text = picture_text_of(content, where)
    try:
        near, far, unit = float(text["near"]), float(text["far"]), float(text.get("unit", 1))
    except (KeyError, ValueError) as error:
        raise DataError(
            where, "its text does not state near and far", "Get the original PNG"
        ) from error
    if not (0 < near <= far < np.inf and 0 < unit < np.inf):
        raise DataError(
            where, f"near {near:g}, far {far:g}, unit {unit:g} do not define a depth range"
        )
    valid = (codes > 0) & (codes < 65535)
    share = (codes.astype(np.float64) - 1) / _STEPS
    depth = unit * np.exp((1 - share) * np.log(near) + share * np.log(far))
    return LogDepth(np.where(valid, depth, 0), valid, codes == 65535)


def _read(store: Store, frame: MogeFrame) -> DepthRecord:
    """One folder."""
    depth_name, meta_name = f"{frame.folder}/depth.png", f"{frame.folder}/meta.json"
    rgb = rgb_of(store.read(frame.photo), store.where(frame.photo))
    decoded = log_depth_of(store.read(depth_name), store.where(depth_name))
    same_size(decoded.depth_HW, rgb, store.where(depth_name))
    height, width = decoded.depth_HW.shape
    meta = json_of(store.read(meta_name), store.where(meta_name))
    try:
        stated = np.asarray(meta["intrinsics"], np.float64).reshape(3, 3)
    except (TypeError, KeyError, ValueError) as error:
        raise DataError(store.where(meta_name), f"states no intrinsics 3x3 ({error})") from error
    if not np.isfinite(stated).all() or min(stated[0, 0], stated[1, 1]) <= 0:
        raise DataError(
            store.where(meta_name), f"intrinsics {stated.tolist()} are not a camera matrix"
        )
    sources = [frame.photo, depth_name, meta_name]
    masks = {}
    name = f"{frame.folder}/segmentation.png"
    if frame.with_segments and store.exists(name):
        sources.append(name)
        masks = _segments(store.read(name), store.where(name))
    return DepthRecord(
        sample_id=frame.sample_id,
        scene=frame.scene,
        rgb_HW3=rgb,
        depth_HW=decoded.depth_HW.astype(np.float32),
        valid_HW=decoded.valid_HW,
        sky_HW=decoded.infinite_HW,
        intrinsics_33=stated * np.array([[width], [height], [1]]),
        masks=masks,
        sources=tuple(sources),
        notes={"set": frame.sample_id.split("/")[1]},
    )


def _segments(content: bytes, where: str) -> dict[str, NDArray[np.bool_]]:
    """A mask for each label that the picture's text names."""
    values, text = picture_of(content, where), picture_text_of(content, where)
    labels = json_of(text.get("labels", "").encode() or b"{}", where)
    if not isinstance(labels, dict) or not all(isinstance(v, int) for v in labels.values()):
        raise DataError(where, "its labels are no object of names and numbers")
    return {str(label): values == number for label, number in labels.items()}
