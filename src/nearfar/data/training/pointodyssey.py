"""PointOdyssey (v1.1 and later): rendered videos with cameras.

Spec datasets 1.7. Depth is a 16-bit share of 1000 m; 65535 is sky, 0 unknown. anno.npz holds
intrinsics and world-to-camera matrices per frame. v1.0 (annot.npz) has other axes and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError, DataError

from ..decode import npz_of, png16_of, rgb_of, same_size
from ..record import DepthRecord
from ..store import Store
from .frames import (
    Frame,
    FrameDataset,
    Layout,
    find_frames,
    inverse_pose,
    known_depth,
    listed_frames,
    require_frames,
    side_files,
)

FAR_M, SKY = 1000.0, 65535
LAYOUT = Layout(
    "PointOdyssey",
    {
        "rgb": r"([\w-]+)/rgbs/rgb_(\d+)\.(?:jpg|png)",
        "depth": r"([\w-]+)/depths/depth_(\d+)\.png",
    },
    "{}/{}",
)


def open_pointodyssey(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> FrameDataset:
    """The frames of a split's folder or of a list; sequences=a,b keeps these videos."""
    old = side_files(store, r"([\w-]+)/annot\.npz")
    if old:
        where = store.where(next(iter(old.values())))
        raise DataError(where, "is PointOdyssey v1.0, whose axes differ", "Get v1.2")
    if split != "all" and list_file is None:
        store = _part(store, split)
    frames = find_frames(store, LAYOUT)
    if not frames:
        raise store.nothing_found("SEQ/rgbs/rgb_XXXXX.jpg with SEQ/depths/depth_XXXXX.png")
    if list_file is not None:
        frames = listed_frames(store, LAYOUT, frames, list_file)
    wanted = {name.strip() for name in options.get("sequences", "").split(",") if name.strip()}
    unknown = wanted - {frame.groups[0] for frame in frames}
    if unknown:
        raise ConfigError("sequences", f"no video {sorted(unknown)[0]!r}", f"Look in {store.root}")
    frames = [frame for frame in frames if not wanted or frame.groups[0] in wanted]
    reader = _PointOdyssey(store, side_files(store, r"([\w-]+)/anno\.npz"))
    return FrameDataset("pointodyssey", require_frames(store, LAYOUT, frames, split), reader)


def _part(store: Store, split: str) -> Store:
    """The folder of a split; the root itself where its name is the split's."""
    if store.names(split):
        return store.within(split)
    if split in store.root.name.split(".")[0]:
        return store
    raise DataError(store.root, f"no folder {split}/", "Give the folder above, or split=all")


class _Cameras(NamedTuple):
    """Per frame: intrinsics and world to camera."""

    intrinsics_T33: NDArray[np.float64]
    world_to_camera_T44: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _PointOdyssey:
    """cameras: (video,) -> file. kept: their arrays."""

    store: Store
    cameras: Mapping[tuple[str, ...], str]
    kept: dict[str, _Cameras] = field(default_factory=dict)

    def read(self, frame: Frame) -> DepthRecord:
        video, number = frame.groups[0], int(frame.groups[1])
        rgb_name, depth_name = frame.file("rgb", self.store), frame.file("depth", self.store)
        where = self.store.where(depth_name)
        rgb_HW3 = rgb_of(self.store.read(rgb_name), self.store.where(rgb_name))
        stored_HW = png16_of(self.store.read(depth_name), where)
        same_size(stored_HW, rgb_HW3, where)
        sky_HW = stored_HW == SKY
        depth = known_depth(stored_HW * (FAR_M / 65535), sky_HW=sky_HW, where=where)
        intrinsics_33, pose_44 = None, None
        if (video,) in self.cameras:
            name = self.cameras[video,]
            cameras, place = self._cameras(name), self.store.where(name)
            if number >= len(cameras.intrinsics_T33):
                raise DataError(place, f"has no camera for frame {number}", "Get a fresh copy")
            intrinsics_33 = cameras.intrinsics_T33[number]
            pose_44 = inverse_pose(cameras.world_to_camera_T44[number], place)
        return DepthRecord(
            sample_id=f"pointodyssey/{frame.key}",
            scene=video,
            rgb_HW3=rgb_HW3,
            depth_HW=depth.depth_HW,
            valid_HW=depth.valid_HW,
            sky_HW=sky_HW,
            intrinsics_33=intrinsics_33,
            pose_44=pose_44,
            sequence=video,
            sources=(rgb_name, depth_name),
            notes={"frame": number},
        )

    def _cameras(self, name: str) -> _Cameras:
        if name not in self.kept:
            where = self.store.where(name)
            wanted = ("intrinsics", "extrinsics")
            arrays = npz_of(self.store.read(name), where, wanted)
            intrinsics, extrinsics = (arrays[part].astype(np.float64) for part in wanted)
            if intrinsics.shape[1:] != (3, 3) or extrinsics.shape != (len(intrinsics), 4, 4):
                shapes = f"intrinsics {list(intrinsics.shape)}, extrinsics {list(extrinsics.shape)}"
                raise DataError(where, shapes, "They must be [T,3,3] and [T,4,4]")
            self.kept[name] = _Cameras(intrinsics, extrinsics)
        return self.kept[name]
