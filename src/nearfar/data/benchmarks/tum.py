"""TUM RGB-D: Kinect videos with timestamps and motion-capture poses (docs/datasets.md).

Depth is png / 5000 metres for every camera and registered to the photo. Photos and depth have
stamps of their own: they are paired as the benchmark's tools do it, greedily by the smallest
difference below 0.02 s, each used once; a pose is that of the nearest stamp within 0.02 s.
Also what other sets of the same layout (Bonn) need.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import DataError

from ..decode import png16_of, rgb_of, same_size, text_of
from ..lists import ListLine, parse_list
from ..record import DepthRecord
from ..store import Store
from .frames import (
    FrameDataset,
    centered_at_half,
    in_list_order,
    names_of,
    span_of,
    where_known,
)

LARGEST_GAP_S = 0.02
UNITS_PER_METRE = 5000
CAMERAS = {  # focal lengths and center of the photos, first pixel at (0, 0)
    "1": (517.3, 516.5, 318.6, 255.3),
    "2": (520.9, 521.0, 325.1, 249.7),
    "3": (535.4, 539.2, 320.1, 247.6),
}
DEFAULT_CAMERA = (525.0, 525.0, 319.5, 239.5)
LINEAGE_SPAN = "0:270:3"  # every third pair, 90 of them
_LINEAGE = re.compile(r"rgbd_dataset_freiburg3_(sitting|walking)_(halfsphere|rpy|static|xyz)")


class Stamped(NamedTuple):
    """A file with its time in seconds."""

    time_s: float
    name: str


class RgbdFrame(NamedTuple):
    """One photo with the depth that goes with it."""

    sample_id: str
    photo: str
    depth: str
    sequence: str
    time_s: float
    depth_time_s: float
    camera: tuple[float, float, float, float]
    camera_exact: bool
    pose: tuple[float, ...] | None  # tx ty tz qx qy qz qw


def open_tum(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> FrameDataset[RgbdFrame]:
    """Every pair of every sequence (split `all`), or of 8 moving ones, every third (`lineage`).

    Options: sequences (names with commas), frames (`first:end:step` of each sequence's pairs),
    pairing time or index.
    """
    found = sequences_below(store)
    if split == "lineage":
        found = {name: folder for name, folder in found.items() if _LINEAGE.fullmatch(name)}
        if not found:
            raise store.nothing_found("rgbd_dataset_freiburg3_{sitting,walking}_*")
    default = LINEAGE_SPAN if split == "lineage" else ""
    span = span_of(options.get("frames") or default, "tum: frames")
    frames: list[RgbdFrame] = []
    for name in names_of(options.get("sequences", ""), list(found), "tum: sequences"):
        camera_number = re.search(r"freiburg(\d)", name)
        known = CAMERAS.get(camera_number[1]) if camera_number else None
        pairs = paired(store, found[name], options.get("pairing", "time"))
        poses = poses_of(store, found[name])
        short = name.removeprefix("rgbd_dataset_")
        frames += [
            RgbdFrame(
                f"tum/{short}/{Path(photo.name).stem}",
                photo.name,
                depth.name,
                short,
                photo.time_s,
                depth.time_s,
                known or DEFAULT_CAMERA,
                known is CAMERAS["3"],
                nearest_pose(poses, photo.time_s),
            )
            for photo, depth in pairs[span]
        ]
    return FrameDataset(store, in_list_order(frames, list_file, store), read_frame)


def read_frame(store: Store, frame: RgbdFrame) -> DepthRecord:
    """One pair, nothing resized."""
    rgb = rgb_of(store.read(frame.photo), store.where(frame.photo))
    codes = png16_of(store.read(frame.depth), store.where(frame.depth))
    same_size(codes, rgb, store.where(frame.depth))
    valid = codes > 0
    return DepthRecord(
        sample_id=frame.sample_id,
        scene=frame.sequence,
        rgb_HW3=rgb,
        depth_HW=where_known(codes / UNITS_PER_METRE, valid),
        valid_HW=valid,
        intrinsics_33=centered_at_half(*frame.camera),
        camera_exact=frame.camera_exact,
        pose_44=None if frame.pose is None else pose_matrix(frame.pose),
        time_s=frame.time_s,
        sequence=frame.sequence,
        sources=(frame.photo, frame.depth),
        notes={"depth_time_s": frame.depth_time_s},
    )


def sequences_below(store: Store) -> dict[str, str]:
    """Name -> folder ('' or ending in '/') of everything with `rgb/` and `depth/`, sorted."""
    holds: dict[str, set[str]] = {}
    for name in store.names():
        parts = name.split("/")
        if len(parts) >= 2 and parts[-2] in ("rgb", "depth"):
            folder = "".join(f"{part}/" for part in parts[:-2])
            holds.setdefault(folder, set()).add(parts[-2])
    folders = sorted(folder for folder, kinds in holds.items() if len(kinds) == 2)
    if not folders:
        raise store.nothing_found("SEQUENCE/rgb/*.png with SEQUENCE/depth/*.png")
    found: dict[str, str] = {}
    for folder in folders:
        name = folder.rstrip("/").rpartition("/")[2] or store.root.name.partition(".")[0]
        if name in found:
            raise DataError(store.where(folder), f"{name} is there twice, also in {found[name]}")
        found[name] = folder
    return found


def paired(
    store: Store, folder: str, pairing: str, *, names: tuple[str, str] = ("rgb", "depth")
) -> list[tuple[Stamped, Stamped]]:
    """Photos with their depth in order of time; pairing: `time`, or `index` in the folders."""
    photos, depths = (
        _in_folder(store, folder, name) if pairing == "index" else _in_text(store, folder, name)
        for name in names
    )
    if pairing == "index":
        return list(zip(photos, depths, strict=False))
    pairs = associate([photo.time_s for photo in photos], [depth.time_s for depth in depths])
    if not pairs:
        raise DataError(
            store.where(folder + "depth.txt"),
            f"no stamp is within {LARGEST_GAP_S} s of one of the {len(photos)} photos",
            "Files of different sequences?",
        )
    return [(photos[i], depths[j]) for i, j in pairs]


def associate(
    first_N: Sequence[float], second_M: Sequence[float], *, largest_gap_s: float = LARGEST_GAP_S
) -> list[tuple[int, int]]:
    """Indices of pairs in order of time: smallest differences first, each stamp used once."""
    order = sorted(range(len(second_M)), key=lambda j: second_M[j])
    times = [second_M[j] for j in order]
    near = []
    for i, time in enumerate(first_N):
        start = bisect_left(times, time - largest_gap_s)
        for place in range(start, len(times)):
            if times[place] > time + largest_gap_s:
                break
            gap = abs(time - times[place])
            if gap < largest_gap_s:
                near.append((gap, time, times[place], i, order[place]))
    used_first: set[int] = set()
    used_second: set[int] = set()
    pairs = []
    for *_, i, j in sorted(near):
        if i not in used_first and j not in used_second:
            used_first.add(i)
            used_second.add(j)
            pairs.append((i, j))
    return sorted(pairs, key=lambda pair: (first_N[pair[0]], second_M[pair[1]]))


def poses_of(store: Store, folder: str) -> list[tuple[float, ...]]:
    """The lines `time tx ty tz qx qy qz qw` of groundtruth.txt in order of time, [] without it."""
    name = f"{folder}groundtruth.txt"
    if not store.exists(name):
        return []
    rows = []
    for line in _lines(store, name, columns=(8, 8)):
        numbers = [line.number(column) for column in range(8)]
        if any(number is None or not np.isfinite(number) for number in numbers):
            raise DataError(line.where, "is not `time tx ty tz qx qy qz qw`")
        row = tuple(float(number) for number in numbers if number is not None)
        if not any(row[4:]):
            raise DataError(line.where, "its quaternion is 0")
        rows.append(row)
    return sorted(rows)


def nearest_pose(poses: Sequence[tuple[float, ...]], time_s: float) -> tuple[float, ...] | None:
    """`tx ty tz qx qy qz qw` of the nearest stamp, None if that is 0.02 s away or more."""
    place = bisect_left(poses, (time_s,))
    near = [row for row in poses[max(0, place - 1) : place + 1]]
    best = min(near, key=lambda row: abs(row[0] - time_s), default=None)
    return None if best is None or abs(best[0] - time_s) >= LARGEST_GAP_S else best[1:]


def pose_matrix(pose: Sequence[float]) -> NDArray[np.float64]:
    """Camera to world [4,4] of `tx ty tz qx qy qz qw`; the quaternion need not have length 1."""
    x, y, z, w = np.asarray(pose[3:7], np.float64) / np.linalg.norm(pose[3:7])
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = pose[:3]
    return matrix


def _in_text(store: Store, folder: str, kind: str) -> list[Stamped]:
    """The lines of `rgb.txt` or `depth.txt`; without the file, what the folder holds."""
    name = f"{folder}{kind}.txt"
    if not store.exists(name):
        return _in_folder(store, folder, kind)
    stamped = []
    for line in _lines(store, name, columns=(2, 2)):
        time = line.number(0)
        if time is None or not np.isfinite(time):
            raise DataError(line.where, f"{line.columns[0]!r} is not a time stamp")
        stamped.append(Stamped(time, folder + line.path(1)))
    return sorted(stamped)


def _in_folder(store: Store, folder: str, kind: str) -> list[Stamped]:
    """The pictures of a folder by the stamps in their names."""
    stamped = []
    for name in store.names(f"{folder}{kind}"):
        if name.lower().endswith((".png", ".jpg")):
            stem = name.rpartition("/")[2].rpartition(".")[0]
            try:
                stamped.append(Stamped(float(stem), name))
            except ValueError as error:
                raise DataError(store.where(name), "its name is not a time stamp") from error
    if not stamped:
        raise store.nothing_found(f"{folder}{kind}/*.png")
    return sorted(stamped)


def _lines(store: Store, name: str, *, columns: tuple[int, int]) -> list[ListLine]:
    where = store.where(name)
    return parse_list(text_of(store.read(name), where), where, columns=columns)
