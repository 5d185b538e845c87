"""UnrealStereo4K: rendered stereo pairs of 2160x3840; depth comes from disparity.

Spec datasets 1.4. z = f B / d with B = |t_x| of E1 inv(E0); d of 0 or NaN is invalid; what is
beyond 200 m is sky. Photos have an alpha channel, which is dropped; headerless `.raw` photos of
some copies are read with the size of their disparity. The world's axes are not OpenCV's, so only
poses relative to each other mean something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import DataError

from ..decode import npy_of, numbers_of, rgb_of, same_size
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
)

FAR_M, OUT_TEST = 200.0, "00008"
LAYOUT = Layout(
    "UnrealStereo4K",
    {
        "rgb": r"(\d{5})/Image0/(\d+)\.(?:png|jpg|raw)",
        "depth": r"(\d{5})/Disp0/(\d+)\.npy",
        "left": r"(\d{5})/Extrinsics0/(\d+)\.txt",
        "right": r"(\d{5})/Extrinsics1/(\d+)\.txt",
    },
    "{}/{}",
)


def open_unrealstereo4k(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> FrameDataset:
    """The left frames of a split (by scene) or of a list."""
    frames = find_frames(store, LAYOUT)
    if not frames:
        raise store.nothing_found("0000X/Image0/XXXXX.png with 0000X/Disp0/XXXXX.npy")
    if list_file is not None:
        frames = listed_frames(store, LAYOUT, frames, list_file)
    elif split != "all":
        frames = [f for f in frames if (f.groups[0] == OUT_TEST) == (split == "out_test")]
    reader = _UnrealStereo(store)
    return FrameDataset("unrealstereo4k", require_frames(store, LAYOUT, frames, split), reader)


class _Camera(NamedTuple):
    intrinsics_33: NDArray[np.float64]
    world_to_camera_44: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _UnrealStereo:
    store: Store

    def read(self, frame: Frame) -> DepthRecord:
        rgb_name, depth_name = frame.file("rgb", self.store), frame.file("depth", self.store)
        where = self.store.where(depth_name)
        disparity_HW = npy_of(self.store.read(depth_name), where)
        if disparity_HW.ndim != 2:
            raise DataError(where, f"holds {list(disparity_HW.shape)}, not a disparity map")
        left, right = self._camera(frame, "left"), self._camera(frame, "right")
        rgb_HW3 = self._photo(rgb_name, disparity_HW.shape)
        same_size(disparity_HW, rgb_HW3, where)
        pose_44 = inverse_pose(left.world_to_camera_44, where)
        baseline = abs(float((right.world_to_camera_44 @ pose_44)[0, 3]))
        if baseline == 0:
            raise DataError(where, "both cameras are at one place", "Check Extrinsics0 and 1")
        intrinsics_33 = _scaled(left.intrinsics_33, disparity_HW.shape[1])
        focal = (intrinsics_33[0, 0] + intrinsics_33[1, 1]) / 2
        known_HW = np.isfinite(disparity_HW) & (disparity_HW > 0)
        depth_HW = focal * baseline / np.where(known_HW, disparity_HW, 1).astype(np.float64)
        sky_HW = known_HW & (depth_HW > FAR_M)
        depth = known_depth(depth_HW, known_HW=known_HW, sky_HW=sky_HW, where=where)
        return DepthRecord(
            sample_id=f"unrealstereo4k/{frame.key}",
            scene=frame.groups[0],
            rgb_HW3=rgb_HW3,
            depth_HW=depth.depth_HW,
            valid_HW=depth.valid_HW,
            sky_HW=sky_HW,
            intrinsics_33=intrinsics_33,
            pose_44=pose_44,
            sources=(rgb_name, depth_name),
            notes={"frame": int(frame.groups[1]), "baseline_m": baseline},
        )

    def _camera(self, frame: Frame, side: str) -> _Camera:
        """The 9 numbers of the intrinsics and the 12 of world to camera."""
        name = frame.file(side, self.store)
        where = self.store.where(name)
        numbers = numbers_of(self.store.read(name), where, count=21)
        if not (np.isfinite(numbers).all() and numbers[0] > 0 and numbers[4] > 0):
            raise DataError(where, "holds no camera", "Line 1 is K, line 2 world to camera")
        bottom = np.array([[0.0, 0, 0, 1]])
        return _Camera(numbers[:9].reshape(3, 3), np.vstack([numbers[9:].reshape(3, 4), bottom]))

    def _photo(self, name: str, size_hw: tuple[int, ...]) -> NDArray[np.uint8]:
        content, where = self.store.read(name), self.store.where(name)
        if not name.endswith(".raw"):
            return rgb_of(content, where)
        if len(content) != size_hw[0] * size_hw[1] * 3:
            raise DataError(where, f"has {len(content)} bytes, its disparity {list(size_hw)}")
        return np.frombuffer(content, np.uint8).reshape(*size_hw, 3)


def _scaled(intrinsics_33: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """The intrinsics for a smaller copy: the principal point is in the middle of the original."""
    scale = width / (2 * intrinsics_33[0, 2]) if intrinsics_33[0, 2] > 0 else 1.0
    if abs(scale - 1) < 0.01:
        return intrinsics_33
    return np.diag([scale, scale, 1.0]) @ intrinsics_33
