"""IRS: rendered indoor stereo pairs; depth comes from disparity.

Spec datasets 1.6. z = 480 * 0.1 / d metres; d <= 0 and depth beyond 200 m are invalid. The official
test set is every 7th frame of a category (frames in order of scene and number); train is the rest,
so both show the same rooms. `_Dark`, `_Night` and so on are other light in the same room.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nearfar.geometry.camera import intrinsics_from_focal

from ..decode import exr_of, rgb_of, same_size
from ..record import DepthRecord
from ..store import Store
from .frames import (
    Frame,
    FrameDataset,
    Layout,
    find_frames,
    known_depth,
    listed_frames,
    require_frames,
)

FOCAL_PX, FOCAL_WIDTH, BASELINE_M, FAR_M, TEST_EVERY = 480.0, 960, 0.1, 200.0, 7
_SCENE = r"(Home|Office|Restaurant|Store)/([\w-]+)"
LAYOUT = Layout(
    "IRS",
    {"rgb": rf"{_SCENE}/l_(\d+)\.(?:png|jpg)", "depth": rf"{_SCENE}/d_(\d+)\.exr"},
    "{}/{}/{}",
)
_LIGHT = re.compile(r"_(?:Dark|Night|LensFlares|BL2)$")


def open_irs(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> FrameDataset:
    """The left frames of a split by rule, or of a list (by scene and number)."""
    frames = find_frames(store, LAYOUT)
    if not frames:
        raise store.nothing_found("Home/SCENE/l_X.png with d_X.exr")
    if list_file is not None:
        frames = listed_frames(store, LAYOUT, frames, list_file)
    elif split != "all":
        frames = of_split(frames, split)
    return FrameDataset("irs", require_frames(store, LAYOUT, frames, split), _Irs(store))


def of_split(frames: Sequence[Frame], split: str) -> list[Frame]:
    """Test: the 1st, 8th, 15th ... frame of each category; train: the others."""
    chosen = []
    for category in sorted({frame.groups[0] for frame in frames}):
        inside = [frame for frame in frames if frame.groups[0] == category]
        inside.sort(key=lambda frame: (frame.groups[1], int(frame.groups[2])))
        chosen += [
            frame
            for place, frame in enumerate(inside)
            if (place % TEST_EVERY == 0) == (split == "test")
        ]
    return chosen


@dataclass(frozen=True, slots=True)
class _Irs:
    store: Store

    def read(self, frame: Frame) -> DepthRecord:
        rgb_name, depth_name = frame.file("rgb", self.store), frame.file("depth", self.store)
        where = self.store.where(depth_name)
        rgb_HW3 = rgb_of(self.store.read(rgb_name), self.store.where(rgb_name))
        disparity_HW = exr_of(self.store.read(depth_name), where).astype(np.float64)
        same_size(disparity_HW, rgb_HW3, where)
        known_HW = np.isfinite(disparity_HW) & (disparity_HW > 0)
        depth_HW = FOCAL_PX * BASELINE_M / np.where(known_HW, disparity_HW, 1)
        depth = known_depth(depth_HW, known_HW=known_HW & (depth_HW <= FAR_M), where=where)
        height, width = disparity_HW.shape
        focal = FOCAL_PX * width / FOCAL_WIDTH
        category, scene, number = frame.groups
        return DepthRecord(
            sample_id=f"irs/{frame.key}",
            scene=f"{category}/{_LIGHT.sub('', scene)}",
            rgb_HW3=rgb_HW3,
            depth_HW=depth.depth_HW,
            valid_HW=depth.valid_HW,
            intrinsics_33=intrinsics_from_focal(focal, (height, width)),
            sequence=f"{category}/{scene}",
            sources=(rgb_name, depth_name),
            notes={"frame": int(number)},
        )
