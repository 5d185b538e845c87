"""ETH3D high-resolution photos with raw float depth (named .JPG, but no JPEG), +inf = unknown.

The owner's tree and Marigold's. Photos are distorted: the camera of the COLMAP files is good for a
field of view only; the pose is exact. COLMAP counts pixel centers from 0.5, as Nearfar does.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.data.decode import rgb_of, text_of
from nearfar.data.lists import natural_key, read_list
from nearfar.data.record import DepthRecord
from nearfar.data.store import Store
from nearfar.errors import DataError

from .entries import Entry, EntryDataset, known_metres

_LOG = logging.getLogger(__name__)

_PHOTO = re.compile(r"(?:^|.*/)([^/]+)/images/dslr_images/([^/]+\.JPG)$", re.IGNORECASE)
_DEPTH = re.compile(r"(?:^|.*/)([^/]+)/ground_truth_depth/dslr_images/([^/]+\.JPG)$", re.IGNORECASE)
_CALIBRATION = re.compile(r"(?:^|.*/)([^/]+)/dslr_calibration_jpg/(cameras|images)\.txt$")
_ONE_FOCAL = ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "SIMPLE_RADIAL_FISHEYE")
_WITHOUT_DISTORTION = ("SIMPLE_PINHOLE", "PINHOLE")


class Colmap(NamedTuple):
    """camera id -> (model, size_hw, intrinsics); photo name -> (camera id, camera to world)."""

    cameras: dict[str, tuple[str, tuple[int, int], NDArray[np.float64]]]
    photos: dict[str, tuple[str, NDArray[np.float64]]]


def open_eth3d(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> EntryDataset:
    """The photos of a list (`rgb depth`), or all that have depth."""
    if list_file is not None:
        entries = []
        for line in read_list(list_file, columns=(2, 3), store=store):
            rgb, depth = line.path(0), line.path(1)
            match = _PHOTO.match(rgb)
            if match is None:
                raise DataError(line.where, f"{rgb} is not a photo of ETH3D")
            entries.append(_entry(match[1], match[2], rgb, depth, line.where))
        return Eth3d(store, entries)
    photos: dict[tuple[str, str], str] = {}
    depths: dict[tuple[str, str], str] = {}
    for name in sorted(store.names(), key=natural_key):
        for pattern, found in ((_PHOTO, photos), (_DEPTH, depths)):
            if (match := pattern.match(name)) is not None:
                found.setdefault((match[1], match[2]), name)
    both = [pair for pair in photos if pair in depths]
    if len(both) < len(photos):
        _LOG.warning("%s: %d photos have no depth", store.root, len(photos) - len(both))
    if not both:
        raise store.nothing_found(
            "SCENE/images/dslr_images/*.JPG with SCENE/ground_truth_depth/dslr_images/*.JPG"
        )
    return Eth3d(store, [_entry(*pair, photos[pair], depths[pair], "") for pair in both])


class Eth3d(EntryDataset):
    """Photos with laser depth, full size."""

    name = "eth3d"

    def __init__(self, store: Store, entries: list[Entry]) -> None:
        super().__init__(store, entries)
        self._colmap: dict[str, Colmap | None] = {}
        self._files: dict[str, dict[str, str]] | None = None

    def read_entry(self, entry: Entry) -> DepthRecord:
        """Photo as stored (depth is that of the stored rows) and depth where it is finite."""
        rgb = rgb_of(*self.content(entry.rgb), upright=False)
        content, where = self.content(entry.depth)
        height, width = rgb.shape[:2]
        if len(content) != 4 * height * width:
            finding = f"{len(content)} bytes are not 4 x {height} x {width}"
            raise DataError(where, finding, "Unpack SCENE_dslr_depth.7z again")
        depth, valid = known_metres(np.frombuffer(content, "<f4").reshape(height, width))
        colmap = self._calibration(entry.scene)
        camera, pose, is_exact = None, None, True
        placed = colmap.photos.get(Path(entry.rgb).name) if colmap else None
        if colmap is not None and placed is not None:
            pose = placed[1]
            model, size_hw, matrix = colmap.cameras.get(placed[0], ("", (0, 0), np.eye(3)))
            if size_hw == (height, width):
                camera, is_exact = matrix.copy(), model in _WITHOUT_DISTORTION
        return DepthRecord(
            sample_id=f"eth3d/{entry.id}",
            scene=entry.scene,
            rgb_HW3=rgb,
            depth_HW=depth,
            valid_HW=valid,
            intrinsics_33=camera,
            camera_exact=is_exact,
            pose_44=None if pose is None else pose.copy(),
            sources=(entry.rgb, entry.depth),
        )

    def _calibration(self, scene: str) -> Colmap | None:
        """Cameras and poses of a scene, None if its calibration is not there."""
        if self._files is None:
            self._files = {}
            for name in self.store.names():
                if (match := _CALIBRATION.match(name)) is not None:
                    self._files.setdefault(match[1], {})[match[2]] = name
        if scene not in self._colmap:
            files = self._files.get(scene, {})
            self._colmap[scene] = (
                Colmap(
                    _cameras(*self._text(files["cameras"])), _photos(*self._text(files["images"]))
                )
                if len(files) == 2
                else None
            )
        return self._colmap[scene]

    def _text(self, name: str) -> tuple[str, str]:
        content = self.content(name)
        return text_of(*content), content.where


def _entry(scene: str, photo: str, rgb: str, depth: str, where: str) -> Entry:
    return Entry(
        f"{scene}/{Path(photo).stem}", scene, rgb, depth, key=f"{scene}/{photo}", where=where
    )


def _cameras(text: str, where: str) -> dict[str, tuple[str, tuple[int, int], NDArray[np.float64]]]:
    """Cameras of cameras.txt: `ID MODEL WIDTH HEIGHT PARAMETERS`."""
    cameras = {}
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.split()
        if not parts or parts[0].startswith("#"):
            continue
        try:
            width, height, *values = (float(part) for part in parts[2:])
            f = [values[0], values[0], *values[1:3]] if parts[1] in _ONE_FOCAL else values[:4]
            matrix = np.array([[f[0], 0, f[2]], [0, f[1], f[3]], [0, 0, 1]], np.float64)
        except (ValueError, IndexError) as error:
            raise DataError(f"{where}:{number}", "is not a COLMAP camera") from error
        cameras[parts[0]] = (parts[1], (int(height), int(width)), matrix)
    return cameras


def _photos(text: str, where: str) -> dict[str, tuple[str, NDArray[np.float64]]]:
    """Photos of images.txt: `ID QW QX QY QZ TX TY TZ CAMERA NAME` is world to camera."""
    photos = {}
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.split()
        if len(parts) != 10 or parts[0].startswith("#"):  # lines of points have triples
            continue
        try:
            numbers = np.array([float(part) for part in parts[1:8]])
        except ValueError as error:
            raise DataError(f"{where}:{number}", "is not a COLMAP photo") from error
        to_camera = _rotation(numbers[:4])
        pose = np.eye(4)
        pose[:3, :3] = to_camera.T
        pose[:3, 3] = -to_camera.T @ numbers[4:]
        photos[Path(parts[9]).name] = (parts[8], pose)
    return photos


def _rotation(quaternion_4: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation [3,3] of a quaternion (w, x, y, z) of any length."""
    w, x, y, z = quaternion_4 / np.linalg.norm(quaternion_4)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
