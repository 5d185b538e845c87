"""MPI Sintel: an animated film with exact depth and cameras (docs/datasets.md).

`.dpt`: float32 tag 202021.25, int32 width and height, float32 z-depth; 10,000 and more is the
painted sky. `.cam`: the same tag, float64 intrinsics 3x3 and world-to-camera 3x4. Images, depth
and cameras come in separate archives that may lie beside each other unopened.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import DataError

from ..decode import rgb_of, same_size
from ..lists import natural_key
from ..record import DepthRecord
from ..store import Store
from .frames import FrameDataset, centered_at_half, in_list_order, names_of, span_of, where_known

PASSES = ("final", "clean")
SKY_FROM = 10_000.0
FRAMES_PER_SECOND = 24
_TAG = 202021.25
_CAMERA_BYTES = 4 + 8 * (9 + 12)


class SintelFrame(NamedTuple):
    """One frame in one pass."""

    sample_id: str
    photo: str
    depth: str
    camera: str
    scene: str
    number: int


class Camera(NamedTuple):
    """intrinsics_33: pixel centers at +0.5. pose_44: camera to world."""

    intrinsics_33: NDArray[np.float64]
    pose_44: NDArray[np.float64]


def open_sintel(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> FrameDataset[SintelFrame]:
    """The frames of the training scenes.

    Options: pass final (with motion blur and fog) or clean, scenes (names with commas), frames
    (`first:end:step` of each scene).
    """
    render = options.get("pass") or PASSES[0]
    pattern = re.compile(rf"((?:.*/)?){re.escape(render)}/([^/]+)/(frame_(\d+))\.png")
    scenes: dict[str, list[SintelFrame]] = {}
    for match in filter(None, map(pattern.fullmatch, store.names())):
        base, scene, stem, number = match.groups()
        if base.endswith("test/"):
            continue  # no depth is published for these
        frame = SintelFrame(
            f"sintel/{scene}/{stem}",
            match[0],
            f"{base}depth/{scene}/{stem}.dpt",
            f"{base}camdata_left/{scene}/{stem}.cam",
            scene,
            int(number),
        )
        scenes.setdefault(scene, []).append(frame)
    if not scenes:
        raise store.nothing_found(f"training/{render}/SCENE/frame_0001.png")
    span = span_of(options.get("frames", ""), "sintel: frames")
    frames: list[SintelFrame] = []
    chosen = names_of(options.get("scenes", ""), sorted(scenes, key=natural_key), "sintel: scenes")
    for scene in chosen:
        frames += sorted(scenes[scene], key=lambda frame: frame.number)[span]
    return FrameDataset(store, in_list_order(frames, list_file, store), _read)


def dpt_of(content: bytes, where: str) -> NDArray[np.float32]:
    """The values [H,W] of a .dpt file, as stored."""
    if len(content) < 12 or struct.unpack("<f", content[:4])[0] != _TAG:
        raise DataError(where, "is not a .dpt file (its tag is wrong)", "Get a complete copy")
    width, height = struct.unpack("<ii", content[4:12])
    if min(width, height) < 1 or len(content) != 12 + 4 * width * height:
        finding = f"has {len(content)} bytes, {width} x {height} pixels need other ones"
        raise DataError(where, finding, "Get a complete copy")
    return np.frombuffer(content, "<f4", offset=12).reshape(height, width).astype(np.float32)


def cam_of(content: bytes, where: str) -> Camera:
    """The camera of a .cam file; the pose is the inverse of what it states."""
    if len(content) != _CAMERA_BYTES or struct.unpack("<f", content[:4])[0] != _TAG:
        finding = f"is not a .cam file ({len(content)} bytes, {_CAMERA_BYTES} and a tag expected)"
        raise DataError(where, finding, "Get a complete copy")
    numbers = np.frombuffer(content, "<f8", offset=4)
    matrix, outer = numbers[:9].reshape(3, 3), numbers[9:].reshape(3, 4)
    pose = np.eye(4)
    pose[:3, :3] = outer[:, :3].T
    pose[:3, 3] = -outer[:, :3].T @ outer[:, 3]
    intrinsics = centered_at_half(matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
    return Camera(intrinsics, pose)


def _read(store: Store, frame: SintelFrame) -> DepthRecord:
    """One frame; without the archive of cameras it has none."""
    where = store.where(frame.depth)
    rgb = rgb_of(store.read(frame.photo), store.where(frame.photo))
    depth = dpt_of(store.read(frame.depth), where)
    same_size(depth, rgb, where)
    sky = np.nan_to_num(depth, nan=0, posinf=np.inf) >= SKY_FROM
    valid = np.isfinite(depth) & (depth > 0) & ~sky
    camera, sources = None, [frame.photo, frame.depth]
    if store.exists(frame.camera):
        camera = cam_of(store.read(frame.camera), store.where(frame.camera))
        sources.append(frame.camera)
    return DepthRecord(
        sample_id=frame.sample_id,
        scene=frame.scene,
        rgb_HW3=rgb,
        depth_HW=where_known(depth, valid),
        valid_HW=valid,
        sky_HW=sky,
        intrinsics_33=None if camera is None else camera.intrinsics_33,
        pose_44=None if camera is None else camera.pose_44,
        time_s=(frame.number - 1) / FRAMES_PER_SECOND,
        sequence=frame.scene,
        sources=tuple(sources),
    )
