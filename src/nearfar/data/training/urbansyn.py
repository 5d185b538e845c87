"""UrbanSyn: rendered streets with class labels.

Spec datasets 1.3. depth/*.exr times 100,000 is metres. Sky is class 10 of ss/*.png; where these are
missing, what is beyond 200 m. camera_metadata.json gives one camera for all images. Some downloads
call a file `depth_0001.exr.1`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import DataError

from ..decode import exr_of, json_of, picture_of, rgb_of, same_size
from ..record import DepthRecord
from ..store import Store
from .frames import (
    Frame,
    FrameDataset,
    Layout,
    find_frames,
    known_depth,
    listed_frames,
    side_files,
)

METRES_PER_UNIT, SKY_CLASS, FAR_M = 1e5, 10, 200.0
LAYOUT = Layout(
    "UrbanSyn",
    {
        "rgb": r"rgb/rgb_(\d+)\.(?:png|jpg)",
        "depth": r"depth/depth_(\d+)\.exr(?:\.1)?",
        "labels": r"ss/ss_(\d+)\.png",
    },
    "{}",
)
_FIELDS = ("focalLength_mm", "sensorWidth_mm", "sensorHeight_mm")


def open_urbansyn(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> FrameDataset:
    """All images, or those of a list (UrbanSyn has no splits)."""
    frames = find_frames(store, LAYOUT)
    if not frames:
        raise store.nothing_found("rgb/rgb_XXXX.png with depth/depth_XXXX.exr")
    if list_file is not None:
        frames = listed_frames(store, LAYOUT, frames, list_file)
    camera = side_files(store, r"camera_metadata\.json").get(())
    lens = None if camera is None else _lens(store, camera)
    return FrameDataset("urbansyn", frames, _UrbanSyn(store, lens))


@dataclass(frozen=True, slots=True)
class _UrbanSyn:
    """lens: focal length, sensor width and height in mm; None = not known."""

    store: Store
    lens: tuple[float, float, float] | None

    def read(self, frame: Frame) -> DepthRecord:
        rgb_name, depth_name = frame.file("rgb", self.store), frame.file("depth", self.store)
        where = self.store.where(depth_name)
        rgb_HW3 = rgb_of(self.store.read(rgb_name), self.store.where(rgb_name))
        depth_HW = exr_of(self.store.read(depth_name), where).astype(np.float64) * METRES_PER_UNIT
        same_size(depth_HW, rgb_HW3, where)
        labels = frame.files.get("labels")
        if labels is None:
            sky_HW = depth_HW > FAR_M
        else:
            classes = picture_of(self.store.read(labels), self.store.where(labels))
            sky_HW = (classes if classes.ndim == 2 else classes[..., 0]) == SKY_CLASS
        depth = known_depth(depth_HW, sky_HW=sky_HW, where=where)
        return DepthRecord(
            sample_id=f"urbansyn/{frame.key}",
            scene=frame.key,
            rgb_HW3=rgb_HW3,
            depth_HW=depth.depth_HW,
            valid_HW=depth.valid_HW,
            sky_HW=sky_HW,
            intrinsics_33=self._intrinsics(rgb_HW3.shape[0], rgb_HW3.shape[1]),
            sources=(rgb_name, depth_name),
            notes={"sky": "beyond 200 m" if labels is None else "labels"},
        )

    def _intrinsics(self, height: int, width: int) -> NDArray[np.float64] | None:
        """Pixel centers at +0.5: the sensor's middle is (W / 2, H / 2)."""
        if self.lens is None:
            return None
        focal, wide, high = self.lens
        fx, fy = focal / wide * width, focal / high * height
        return np.array([[fx, 0, width / 2], [0, fy, height / 2], [0, 0, 1]])


def _lens(store: Store, name: str) -> tuple[float, float, float]:
    """Focal length, sensor width and height in mm."""
    where = store.where(name)
    table = json_of(store.read(name), where)
    try:
        camera = table["parameters"][0]["Camera"]
        focal, wide, high = (float(camera[name]) for name in _FIELDS)
    except (LookupError, TypeError, ValueError) as error:
        raise DataError(where, f"has no parameters[0].Camera with {', '.join(_FIELDS)}") from error
    if min(focal, wide, high) <= 0:
        raise DataError(where, f"focal length and sensor {focal}, {wide}, {high} mm")
    return focal, wide, high
