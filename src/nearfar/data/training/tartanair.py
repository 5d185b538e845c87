"""TartanAir v1 and v2: flights through rendered places, left (v2: left front) camera.

Spec datasets 1.5. v1 depth is .npy in metres, v2 depth a PNG whose four bytes (blue, green, red,
alpha) are one float32. Depth beyond `sky_beyond_m` is sky. Poses are camera to world with x
forward, y right, z down; they become OpenCV axes. The view is 90 degrees wide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import DataError
from nearfar.geometry.camera import intrinsics_from_fov

from ..decode import npy_of, numbers_of, picture_of, rgb_of, same_size, text_of
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
    side_files,
)

_FLIGHT = r"([\w-]+)/(?:Data_)?([Ee]asy|[Hh]ard)/(P\d+)"
LAYOUT = Layout(
    "TartanAir",
    {
        "rgb": rf"{_FLIGHT}/image_(?:left|lcam_front)/(\d+)_(?:left|lcam_front)\.(?:png|jpg)",
        "depth": rf"{_FLIGHT}/depth_(?:left|lcam_front)/(\d+)_(?:left|lcam_front)_depth"
        r"\.(?:npy|png)",
    },
    "{}/{}/{}/{}",
)
# (x forward, y right, z down) -> (x right, y down, z forward)
OPENCV_FROM_NED = np.array([[0.0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


def open_tartanair(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> FrameDataset:
    """The frames of the easy or hard flights, of both, or of a list."""
    frames = find_frames(store, LAYOUT)
    if not frames:
        raise store.nothing_found(
            "ENV/Easy/P000/image_left/XXXXXX_left.png with depth_left/XXXXXX_left_depth.npy"
        )
    if list_file is not None:
        frames = listed_frames(store, LAYOUT, frames, list_file)
    elif split != "all":
        frames = [frame for frame in frames if frame.groups[1].lower() == split]
    poses = side_files(store, rf"{_FLIGHT}/pose_(?:left|lcam_front)\.txt")
    reader = _TartanAir(store, float(options["sky_beyond_m"]), poses)
    return FrameDataset("tartanair", require_frames(store, LAYOUT, frames, split), reader)


@dataclass(frozen=True, slots=True)
class _TartanAir:
    """poses: (environment, difficulty, flight) -> file. kept: their lines."""

    store: Store
    sky_beyond_m: float
    poses: Mapping[tuple[str, ...], str]
    kept: dict[str, list[str]] = field(default_factory=dict)

    def read(self, frame: Frame) -> DepthRecord:
        environment, difficulty, flight, number = frame.groups
        rgb_name, depth_name = frame.file("rgb", self.store), frame.file("depth", self.store)
        where = self.store.where(depth_name)
        rgb_HW3 = rgb_of(self.store.read(rgb_name), self.store.where(rgb_name))
        content = self.store.read(depth_name)
        if depth_name.endswith(".png"):
            depth_HW = _float_picture(picture_of(content, where), where)
        else:
            depth_HW = npy_of(content, where)
        if depth_HW.ndim != 2 or depth_HW.dtype.kind != "f":
            raise DataError(where, f"holds {depth_HW.dtype} {list(depth_HW.shape)}, not depth")
        same_size(depth_HW, rgb_HW3, where)
        sky_HW = depth_HW >= self.sky_beyond_m
        depth = known_depth(depth_HW, sky_HW=sky_HW, where=where)
        height, width = depth_HW.shape
        return DepthRecord(
            sample_id=f"tartanair/{frame.key}",
            scene=environment,
            rgb_HW3=rgb_HW3,
            depth_HW=depth.depth_HW,
            valid_HW=depth.valid_HW,
            sky_HW=sky_HW,
            intrinsics_33=intrinsics_from_fov(90, (height, width)),
            pose_44=self._pose((environment, difficulty, flight), int(number)),
            sequence=f"{environment}/{difficulty}/{flight}",
            sources=(rgb_name, depth_name),
            notes={"frame": int(number), "sky_beyond_m": self.sky_beyond_m},
        )

    def _pose(self, flight: tuple[str, ...], number: int) -> NDArray[np.float64] | None:
        """Camera to world in OpenCV axes; None without the flight's file."""
        name = self.poses.get(flight)
        if name is None:
            return None
        where = self.store.where(name)
        if name not in self.kept:
            self.kept[name] = text_of(self.store.read(name), where).splitlines()
        if number >= len(self.kept[name]):
            raise DataError(where, f"has {len(self.kept[name])} lines, none for frame {number}")
        place = f"{where}:{number + 1}"
        return opencv_pose(numbers_of(self.kept[name][number].encode(), place, count=7), place)


def opencv_pose(numbers: NDArray[np.float64], where: str) -> NDArray[np.float64]:
    """Camera to world [4,4] in OpenCV axes of `tx ty tz qx qy qz qw` in x forward, z down."""
    length = float(np.linalg.norm(numbers[3:]))
    if not (np.isfinite(numbers).all() and length > 0.5):
        raise DataError(where, "holds no pose", "A line is tx ty tz qx qy qz qw")
    x, y, z, w = numbers[3:] / length
    pose_44 = np.eye(4)
    pose_44[:3, 3] = numbers[:3]
    pose_44[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return OPENCV_FROM_NED @ pose_44 @ OPENCV_FROM_NED.T


def _float_picture(rgba: NDArray[np.generic], where: str) -> NDArray[np.float32]:
    """The float32 whose bytes are blue, green, red, alpha of each pixel."""
    if rgba.dtype != np.uint8 or rgba.shape[2:] != (4,):
        raise DataError(where, f"holds {rgba.dtype} {list(rgba.shape)}, not 4 bytes per pixel")
    return np.ascontiguousarray(rgba[..., [2, 1, 0, 3]]).view("<f4")[..., 0].astype(np.float32)
