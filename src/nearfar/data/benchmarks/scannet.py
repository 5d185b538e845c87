"""ScanNet: exported frames (three ways of naming them) and .sens files.

Depth is in millimetres, 0 = unknown. The photo (968 x 1296) is resized (area) to the grid of the
depth sensor, whose camera is given. A lost pose (-inf) is None.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.data.decode import numbers_of, png16_of, rgb_of
from nearfar.data.lists import ListLine, read_list
from nearfar.data.record import DepthRecord
from nearfar.data.store import Store
from nearfar.errors import DataError

from .entries import Entry, EntryDataset, first_existing, known_metres, pinhole
from .sens import SensHeader, frame_offsets, read_frame, read_header

UNITS_PER_METRE = 1000
FRAMES_PER_SECOND = 30
_SCENE = r"(?:^|.*/)(scene\d{4}_\d\d)/"
_PHOTOS = (
    re.compile(_SCENE + r"color/(\d+)\.(?:jpg|png)$"),  # 25k frames and the python exporter
    re.compile(_SCENE + r"(?:[^/]+/)?frame-(\d+)\.color\.(?:jpg|png)$"),  # the C++ exporter
)
_SENS = re.compile(_SCENE + r"[^/]+\.sens$")
_INTRINSICS = ("intrinsic/intrinsic_depth.txt", "intrinsics_depth.txt", "intrinsic_depth.txt")


def open_scannet(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> EntryDataset:
    """The frames of a list (`scene/color/N.jpg scene/depth/N.png`), or all by scene and number."""
    if list_file is not None:
        lines = read_list(list_file, columns=(2, 3), store=store)
        return ScanNet(store, [_entry_of_line(line) for line in lines])
    exported, scans = {}, {}
    for name in store.names():
        for pattern in _PHOTOS:
            if (match := pattern.match(name)) is not None:
                exported[match[1], int(match[2])] = name
        if (match := _SENS.match(name)) is not None:
            scans[match[1]] = name
    unpacked = {scene for scene, _ in exported}
    entries = [
        _entry(scene, n, name, _beside(name, "depth", "png"))
        for (scene, n), name in exported.items()
    ]
    for scene in sorted(set(scans) - unpacked):
        count = read_header(store, scans[scene]).frames
        entries += [_entry(scene, n, scans[scene], scans[scene]) for n in range(count)]
    if not entries:
        raise store.nothing_found("scene*/color/*.jpg", "scene*/frame-*.color.jpg", "scene*/*.sens")
    return ScanNet(store, sorted(entries, key=lambda entry: (entry.scene, entry.number)))


class ScanNet(EntryDataset):
    """Frames of scans, exported or inside their .sens files."""

    name = "scannet"

    def __init__(self, store: Store, entries: Iterable[Entry]) -> None:
        super().__init__(store, entries)
        self._scans: dict[str, tuple[SensHeader, list[int]]] = {}

    def read_entry(self, entry: Entry) -> DepthRecord:
        """Photo at the size of the depth map, depth, camera and pose."""
        if entry.rgb.endswith(".sens"):
            return self._from_scan(entry)
        rgb = rgb_of(*self.content(entry.rgb))
        depth_name = entry.depth
        if not self.store.exists(depth_name) and depth_name.endswith(".png"):
            pgm = depth_name.removesuffix(".png") + ".pgm"
            depth_name = pgm if self.store.exists(pgm) else depth_name
        stored = png16_of(*self.content(depth_name))
        folder = entry.rgb[: entry.rgb.rindex(f"{entry.scene}/") + len(entry.scene) + 1]
        camera = first_existing(self.store, (folder + name for name in _INTRINSICS))
        pose = first_existing(self.store, [_beside(entry.rgb, "pose", "txt")])
        return _record(
            entry,
            rgb,
            stored / UNITS_PER_METRE,
            camera=None if camera is None else _matrix(*self.content(camera)),
            pose=None if pose is None else _matrix(*self.content(pose)),
            sources=(entry.rgb, depth_name),
        )

    def _from_scan(self, entry: Entry) -> DepthRecord:
        """A frame of a .sens file, whose index is made once."""
        if entry.rgb not in self._scans:
            header = read_header(self.store, entry.rgb)
            self._scans[entry.rgb] = (header, frame_offsets(self.store, entry.rgb, header))
        header, offsets = self._scans[entry.rgb]
        frame = read_frame(self.store, entry.rgb, header, offsets[entry.number])
        where = f"{self.store.where(entry.rgb)}: frame {entry.number}"
        return _record(
            entry,
            rgb_of(frame.photo, where),
            frame.depth_HW / header.units_per_metre,
            camera=header.depth_intrinsics_44,
            pose=frame.pose_44,
            sources=(entry.rgb,),
        )


def _record(
    entry: Entry,
    rgb_HW3: NDArray[np.uint8],
    metres_HW: NDArray[np.float64],
    *,
    camera: NDArray[np.float64] | None,
    pose: NDArray[np.float64] | None,
    sources: tuple[str, ...],
) -> DepthRecord:
    depth, valid = known_metres(metres_HW)
    if pose is not None and not np.isfinite(pose).all():
        pose = None
    return DepthRecord(
        sample_id=f"scannet/{entry.id}",
        scene=entry.scene,
        rgb_HW3=_resized(rgb_HW3, (depth.shape[0], depth.shape[1])),
        depth_HW=depth,
        valid_HW=valid,
        intrinsics_33=None
        if camera is None
        else pinhole(camera[0, 0], camera[1, 1], camera[0, 2], camera[1, 2]),
        pose_44=pose,
        time_s=entry.number / FRAMES_PER_SECOND,
        sequence=entry.scene,
        sources=sources,
        notes={"photo_size_hw": list(rgb_HW3.shape[:2])},
    )


def _resized(rgb_HW3: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """The photo at the size of the depth map: means over the box of each pixel."""
    if rgb_HW3.shape[:2] == size_hw:
        return rgb_HW3
    import torch

    from nearfar.geometry.resize import resize

    image: Any = torch.from_numpy(rgb_HW3).permute(2, 0, 1)
    small = resize(image, size_hw, method="area").round().clamp(0, 255)
    return np.ascontiguousarray(small.byte().permute(1, 2, 0).numpy())


def _matrix(content: bytes, where: str) -> NDArray[np.float64]:
    """The matrix [4,4] of a text file."""
    return numbers_of(content, where, count=16).reshape(4, 4)


def _beside(photo: str, part: str, suffix: str) -> str:
    """The file of another part (`depth`, `pose`) that belongs to a photo."""
    if re.search(r"\.color\.\w+$", photo):
        return re.sub(r"\.color\.\w+$", f".{part}.{suffix}", photo)
    return re.sub(r"/color/(\d+)\.\w+$", rf"/{part}/\1.{suffix}", photo)


def _entry_of_line(line: ListLine) -> Entry:
    photo, depth = line.path(0), line.path(1)
    for pattern in _PHOTOS:
        if (match := pattern.match(photo)) is not None:
            return _entry(match[1], int(match[2]), photo, depth, where=line.where)
    raise DataError(line.where, f"{photo} is not a photo of ScanNet", "sceneNNNN_NN/color/N.jpg")


def _entry(scene: str, number: int, photo: str, depth: str, where: str = "") -> Entry:
    return Entry(f"{scene}/{number:06d}", scene, photo, depth, where=where, number=number)
