"""Virtual KITTI 2: driven streets in ten kinds of weather and view, two cameras.

Spec datasets 1.2. Depth is in centimetres; 65535 is the sky. The files may lie over each other
(`Scene01/clone/frames/rgb/...` beside `.../depth/...`), in folders `rgb/` and `depth/`, or in the
tars as downloaded. intrinsic.txt counts pixels from their middle, so 0.5 is added; extrinsic.txt
is world to camera. Splits are by rule: Marigold's train and val, PPD's union of both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import DataError

from ..decode import numbers_of, png16_of, rgb_of, same_size, text_of
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

FRAMES = {"Scene01": 447, "Scene02": 233, "Scene06": 270, "Scene18": 339, "Scene20": 837}
VARIANTS = ("15-deg-left", "15-deg-right", "30-deg-left", "30-deg-right", "clone", "fog", "morning",
            "overcast", "rain", "sunset")  # fmt: skip
_CLEAR = ("clone", "morning", "overcast", "sunset", "15-deg-left", "15-deg-right")
_VAL_SCENE = "Scene01"
SKY, UNITS_PER_METRE = 65535, 100
NOMINAL = (725.0087, 725.0087, 620.5, 187.0)  # every intrinsic.txt says this, for 375x1242

_PLACE = r"(Scene\d\d)/([\w-]+)"
LAYOUT = Layout(
    "Virtual KITTI 2",
    {
        "rgb": rf"{_PLACE}/frames/rgb/(Camera_\d)/rgb_(\d{{5}})\.(?:jpg|png)",
        "depth": rf"{_PLACE}/frames/depth/(Camera_\d)/depth_(\d{{5}})\.png",
    },
    "{}/{}/{}/rgb_{}",
)


def in_split(split: str) -> Callable[[str, str], bool]:
    """Whether a (scene, variant) belongs to a split."""
    scenes = {"train": set(FRAMES) - {_VAL_SCENE}, "val": {_VAL_SCENE}}.get(split, set(FRAMES))
    variants = VARIANTS if split == "all" else _CLEAR
    return lambda scene, variant: scene in scenes and variant in variants


def split_keys(split: str) -> Iterator[str]:
    """The key of every frame of a split, by rule (both cameras), without looking at any file."""
    belongs = in_split(split)
    for scene, count in FRAMES.items():
        for variant in VARIANTS:
            if belongs(scene, variant):
                for camera in ("Camera_0", "Camera_1"):
                    for number in range(count):
                        yield LAYOUT.key.format(scene, variant, camera, f"{number:05d}")


def open_vkitti2(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> FrameDataset:
    """The frames of a split by rule, or of a list, as far as they are in the store."""
    frames = find_frames(store, LAYOUT)
    if not frames:
        raise store.nothing_found(
            "SceneXX/VARIANT/frames/rgb/Camera_X/rgb_XXXXX.jpg with frames/depth/..."
        )
    if list_file is not None:
        frames = listed_frames(store, LAYOUT, frames, list_file)
    else:
        belongs = in_split(split)
        frames = [frame for frame in frames if belongs(frame.groups[0], frame.groups[1])]
    reader = _VirtualKitti(store, side_files(store, rf"{_PLACE}/(intrinsic|extrinsic)\.txt"))
    return FrameDataset("vkitti2", require_frames(store, LAYOUT, frames, split), reader)


@dataclass(frozen=True, slots=True)
class _VirtualKitti:
    """tables: (scene, variant, table) -> file. kept: their rows by (frame, camera)."""

    store: Store
    tables: Mapping[tuple[str, ...], str]
    kept: dict[str, dict[tuple[int, int], NDArray[np.float64]]] = field(default_factory=dict)

    def read(self, frame: Frame) -> DepthRecord:
        scene, variant, camera, number = frame.groups
        rgb_name, depth_name = frame.file("rgb", self.store), frame.file("depth", self.store)
        where = self.store.where(depth_name)
        rgb_HW3 = rgb_of(self.store.read(rgb_name), self.store.where(rgb_name))
        stored_HW = png16_of(self.store.read(depth_name), where)
        same_size(stored_HW, rgb_HW3, where)
        sky_HW = stored_HW == SKY
        depth = known_depth(stored_HW / np.float64(UNITS_PER_METRE), sky_HW=sky_HW, where=where)
        row = (int(number), int(camera.removeprefix("Camera_")))
        intrinsics = self._row((scene, variant, "intrinsic"), row, 4)
        world_to_camera = self._row((scene, variant, "extrinsic"), row, 16)
        if intrinsics is None and stored_HW.shape == (375, 1242):
            intrinsics = np.array(NOMINAL)
        return DepthRecord(
            sample_id=f"vkitti2/{frame.key}",
            scene=scene,
            rgb_HW3=rgb_HW3,
            depth_HW=depth.depth_HW,
            valid_HW=depth.valid_HW,
            sky_HW=sky_HW,
            intrinsics_33=None if intrinsics is None else _intrinsics(intrinsics),
            pose_44=None if world_to_camera is None else inverse_pose(world_to_camera, where),
            sequence=f"{scene}/{variant}/{camera}",
            sources=(rgb_name, depth_name),
            notes={"frame": int(number)},
        )

    def _row(
        self, table: tuple[str, ...], row: tuple[int, int], count: int
    ) -> NDArray[np.float64] | None:
        """A row of a table without its two indices; None where the file is missing."""
        name = self.tables.get(table)
        if name is None:
            return None
        if name not in self.kept:
            self.kept[name] = _table(self.store, name, 2 + count)
        if row not in self.kept[name]:
            raise DataError(self.store.where(name), f"has no line for frame and camera {row}")
        return self.kept[name][row]


def _table(store: Store, name: str, count: int) -> dict[tuple[int, int], NDArray[np.float64]]:
    """The lines below the header, by their first two numbers (frame, camera)."""
    where = store.where(name)
    rows = {}
    for line, content in enumerate(text_of(store.read(name), where).splitlines(), 1):
        if line > 1 and re.search(r"\S", content):
            numbers = numbers_of(content.encode(), f"{where}:{line}", count=count)
            rows[int(numbers[0]), int(numbers[1])] = numbers[2:]
    return rows


def _intrinsics(fx_fy_cx_cy: NDArray[np.float64]) -> NDArray[np.float64]:
    """From pixels counted at their middle to pixel centers at +0.5."""
    fx, fy, cx, cy = fx_fy_cx_cy
    return np.array([[fx, 0, cx + 0.5], [0, fy, cy + 0.5], [0, 0, 1]])
