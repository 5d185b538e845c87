"""Hypersim: the raw HDF5 files with each scene's own camera, or the PNGs as Marigold prepares them.

Spec datasets 1.1. Raw depth is the distance to the optical center in metres, NaN without geometry;
pixels of entity -1 are invalid too. camera=exact (default of the raw files) turns every scene's
tilted image plane into a true pinhole, depth and pose included; camera=marigold takes one plain
camera for all scenes, as most training code does. rgb=hdf5 tone-maps the rendered colors,
rgb=preview takes the lossy JPEG beside them.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError, DataError
from nearfar.extras import load_extra

from ..decode import png16_of, rgb_of, same_size, text_of
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
from .hypersim_camera import (
    FLIP_YZ,
    exact_z,
    nominal_intrinsics,
    nominal_z,
    tilted_camera,
)

CAMERAS, SPLITS = "metadata_camera_parameters.csv", "metadata_images_split_scene_v1.csv"
_SCENE, _CAMERA = r"(ai_\d{3}_\d{3})", r"(cam_\d+)"


def _raw(kind: str, file: str) -> str:
    return rf"{_SCENE}/images/scene_{_CAMERA}_{kind}/frame\.(\d+)\.{file}"


RAW = {
    "depth": _raw("geometry_hdf5", r"depth_meters\.hdf5"),
    "entity": _raw("geometry_hdf5", r"render_entity_id\.hdf5"),
    "hdf5": _raw("final_hdf5", r"color\.hdf5"),
    "preview": _raw("final_preview", r"tonemap\.jpg"),
}
PROCESSED = Layout(
    "Hypersim",
    {
        "rgb": rf"{_SCENE}/rgb_{_CAMERA}_fr(\d+)\.png",
        "depth": rf"{_SCENE}/depth_plane_{_CAMERA}_fr(\d+)\.png",
    },
    "{}/{}/{}",
)
KNOWN_BAD = ("ai_004_009/cam_01/", "ai_038_007/cam_00/", "ai_006_001/cam_00/0053",
             "ai_038_006/cam_00/0004", "ai_026_013/cam_00/0091")  # fmt: skip


def open_hypersim(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> FrameDataset:
    """Hypersim's frames of a split or list; the layout is found by the names of the files."""
    parts = {"rgb" if part == options["rgb"] else part: text for part, text in RAW.items()}
    layout = Layout("Hypersim", parts, "{}/{}/{}")
    frames: Sequence[Frame] = find_frames(store, layout)
    reader: _Raw | _Processed
    if frames:
        reader = _raw_reader(store, options)
        if list_file is not None:
            photos = (PROCESSED.parts["rgb"], parts["rgb"])
            frames = listed_frames(store, layout, frames, list_file, photos=photos)
        else:
            frames = _of_split(frames, store, split)
    else:
        if options["camera"] == "exact" and find_frames(store, PROCESSED):
            finding = "has Marigold's PNGs, whose depth is that of the plain camera"
            raise ConfigError(store.root, finding, "Use the raw files, or camera=marigold")
        if list_file is None and split != "all":
            store = _processed_part(store, split)
        reader, frames = _Processed(store), find_frames(store, PROCESSED)
        if not frames:
            raise store.nothing_found(
                "scene_cam_XX_geometry_hdf5/frame.IIII.depth_meters.hdf5 with photos "
                f"for rgb={options['rgb']}",
                "depth_plane_cam_XX_frIIII.png",
            )
        if list_file is not None:
            frames = listed_frames(store, PROCESSED, frames, list_file)
    drop = options["known_bad"]
    if drop == "drop" or (drop == "auto" and split == "train" and list_file is None):
        frames = [frame for frame in frames if not frame.key.startswith(KNOWN_BAD)]
    return FrameDataset("hypersim", require_frames(store, layout, frames, split), reader)


class _Scene(NamedTuple):
    """A row of the camera table; metres per unit of the scene's own coordinates."""

    camera_from_uv_33: NDArray[np.float64]
    metres: float


class _Path(NamedTuple):
    """The keyframes of one camera, in units of the scene: frame number -> row of the others."""

    rows: dict[int, int]
    positions_P3: NDArray[np.float64]
    orientations_P33: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Raw:
    """Reads raw frames. cameras: empty when every scene gets the plain camera."""

    store: Store
    is_exact: bool
    is_preview: bool
    cameras: Mapping[str, _Scene]
    paths: Mapping[tuple[str, ...], str]  # (scene, camera, kind of keyframes) -> file
    scales: Mapping[tuple[str, ...], str]  # (scene,) -> table
    kept: dict[tuple[str, str], _Path | None] = field(default_factory=dict)

    def read(self, frame: Frame) -> DepthRecord:
        scene, camera, number = frame.groups
        depth_name, rgb_name = frame.file("depth", self.store), frame.file("rgb", self.store)
        where = self.store.where(depth_name)
        distance_HW = _hdf5(self.store, depth_name, 2).astype(np.float64)
        size_hw = (distance_HW.shape[0], distance_HW.shape[1])
        known_HW = None
        if "entity" in frame.files or not self.is_preview:  # tone mapping cannot do without
            known_HW = _hdf5(self.store, frame.file("entity", self.store), 2) != -1
        if self.is_preview:
            rgb_HW3 = rgb_of(self.store.read(rgb_name), self.store.where(rgb_name))
        else:
            color_HW3 = _hdf5(self.store, rgb_name, 3)
            rgb_HW3 = tone_map(color_HW3, known_HW, where=self.store.where(rgb_name))
        same_size(distance_HW, rgb_HW3, where)
        rotation_33 = np.eye(3)
        if self.is_exact:
            if scene not in self.cameras:
                raise DataError(where, f"{CAMERAS} has no row {scene}", "Use camera=marigold")
            tilted = tilted_camera(self.cameras[scene].camera_from_uv_33, size_hw, where=where)
            z_HW, intrinsics_33 = exact_z(distance_HW, tilted), tilted.intrinsics_33
            rotation_33 = tilted.rotation_33
        else:
            z_HW, intrinsics_33 = nominal_z(distance_HW), nominal_intrinsics(size_hw)
        depth = known_depth(z_HW, known_HW=known_HW, where=where)
        return DepthRecord(
            sample_id=f"hypersim/{frame.key}",
            scene=scene,
            rgb_HW3=rgb_HW3,
            depth_HW=depth.depth_HW,
            valid_HW=depth.valid_HW,
            intrinsics_33=intrinsics_33,
            camera_exact=self.is_exact,
            pose_44=self._pose(scene, camera, int(number), rotation_33),
            sequence=f"{scene}/{camera}",
            sources=(rgb_name, depth_name),
            notes={"frame": int(number), "camera": "exact" if self.is_exact else "marigold"},
        )

    def _pose(
        self, scene: str, camera: str, number: int, rotation_33: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        """Camera to world in metres, for the pinhole turned by `rotation_33`; None = not known."""
        path, metres = self._path(scene, camera), self._metres(scene)
        if path is None or metres is None or number not in path.rows:
            return None
        row, pose_44 = path.rows[number], np.eye(4)
        pose_44[:3, :3] = path.orientations_P33[row] @ FLIP_YZ @ rotation_33.T
        pose_44[:3, 3] = path.positions_P3[row] * metres
        return pose_44

    def _path(self, scene: str, camera: str) -> _Path | None:
        key = (scene, camera)
        if key not in self.kept:
            kinds = ("frame_indices", "positions", "orientations")
            names = [self.paths.get((scene, camera, kind)) for kind in kinds]
            found = [_hdf5(self.store, name) for name in names if name is not None]
            if len(found) == len(kinds):
                numbers, positions_P3, orientations_P33 = found
                rows = {int(number): row for row, number in enumerate(numbers)}
                if len(positions_P3) != len(rows) or orientations_P33.shape != (len(rows), 3, 3):
                    where = self.store.where(str(names[1]))
                    raise DataError(
                        where, "keyframe files have different lengths", "Get fresh copies"
                    )
                self.kept[key] = _Path(rows, positions_P3, orientations_P33)
            else:
                self.kept[key] = None
        return self.kept[key]

    def _metres(self, scene: str) -> float | None:
        """Metres per unit of the scene's coordinates."""
        name = self.scales.get((scene,))
        if name is None:
            return self.cameras[scene].metres if scene in self.cameras else None
        for row in _table(self.store, name, ("parameter_name", "parameter_value")):
            if row["parameter_name"] == "meters_per_asset_unit":
                return _number(row, "parameter_value")
        raise DataError(self.store.where(name), "has no meters_per_asset_unit")


@dataclass(frozen=True, slots=True)
class _Processed:
    """Reads the PNGs of Marigold's preparation: millimetres along the axis of the plain camera."""

    store: Store

    def read(self, frame: Frame) -> DepthRecord:
        rgb_name, depth_name = frame.file("rgb", self.store), frame.file("depth", self.store)
        where = self.store.where(depth_name)
        rgb_HW3 = rgb_of(self.store.read(rgb_name), self.store.where(rgb_name))
        millimetres_HW = png16_of(self.store.read(depth_name), where)
        same_size(millimetres_HW, rgb_HW3, where)
        depth = known_depth(millimetres_HW / np.float64(1000), where=where)
        scene, camera, number = frame.groups
        return DepthRecord(
            sample_id=f"hypersim/{frame.key}",
            scene=scene,
            rgb_HW3=rgb_HW3,
            depth_HW=depth.depth_HW,
            valid_HW=depth.valid_HW,
            intrinsics_33=nominal_intrinsics((rgb_HW3.shape[0], rgb_HW3.shape[1])),
            camera_exact=False,
            sequence=f"{scene}/{camera}",
            sources=(rgb_name, depth_name),
            notes={"frame": int(number), "camera": "marigold"},
        )


def tone_map(
    color_HW3: NDArray[np.floating], known_HW: NDArray[np.bool_] | None, *, where: str
) -> NDArray[np.uint8]:
    """The photo [H,W,3] of rendered colors: the 90th percentile of brightness becomes 0.8.

    Brightness is .3 R + .59 G + .11 B over known pixels; gamma 1/2.2; values are cut, not rounded.
    """
    if known_HW is None or known_HW.shape != color_HW3.shape[:2]:
        raise DataError(where, f"colors {list(color_HW3.shape)} and entities differ in size")
    brightness_P = _finite(color_HW3[known_HW]) @ np.array([0.3, 0.59, 0.11])
    scale = 1.0
    if brightness_P.size:
        bright = float(np.percentile(brightness_P, 90))
        scale = 0.0 if bright < 1e-4 else 0.8**2.2 / bright
    if color_HW3.dtype == np.float16:  # a table of all its values, instead of a power per pixel
        table = _mapped(np.arange(65536, dtype=np.uint16).view(np.float16), scale)
        return table[np.ascontiguousarray(color_HW3).view(np.uint16)]
    return _mapped(color_HW3, scale)


def _finite(color: NDArray[np.floating]) -> NDArray[np.float64]:
    """The colors, NaN as 0."""
    return np.nan_to_num(color.astype(np.float64), posinf=65504.0, neginf=0.0)


def _mapped(color: NDArray[np.floating], scale: float) -> NDArray[np.uint8]:
    mapped = np.clip(np.clip(scale * _finite(color), 0, None) ** (1 / 2.2), 0, 1)
    return (mapped * 255 + 1e-9).astype(np.uint8)


def _raw_reader(store: Store, options: Mapping[str, str]) -> _Raw:
    """The reader of raw frames; DataError if camera=exact lacks the table of cameras."""
    is_exact = options["camera"] != "marigold"
    table = side_files(store, CAMERAS).get(())
    if table is None and is_exact:
        remedy = "Put that file of ml-hypersim into the root, or take camera=marigold"
        raise DataError(store.root, f"no {CAMERAS}, which camera=exact needs", remedy)
    keyframes = r"camera_keyframe_(positions|orientations|frame_indices)\.hdf5"
    return _Raw(
        store=store,
        is_exact=is_exact,
        is_preview=options["rgb"] == "preview",
        cameras={} if table is None else _scenes(store, table),
        paths=side_files(store, rf"{_SCENE}/_detail/{_CAMERA}/{keyframes}"),
        scales=side_files(store, rf"{_SCENE}/_detail/metadata_scene\.csv"),
    )


def _scenes(store: Store, table: str) -> dict[str, _Scene]:
    """The camera matrix of every scene."""
    names = [f"M_cam_from_uv_{i}{j}" for i in range(3) for j in range(3)]
    scale = "settings_units_info_meters_scale"
    scenes = {}
    for row in _table(store, table, ("scene_name", scale, *names)):
        matrix = np.array([_number(row, name) for name in names]).reshape(3, 3)
        scenes[row["scene_name"]] = _Scene(matrix, _number(row, scale))
    return scenes


def _of_split(frames: Sequence[Frame], store: Store, split: str) -> Sequence[Frame]:
    """The published frames of a split, by the official table."""
    table = side_files(store, SPLITS).get(())
    if table is None:
        if split == "all":
            return frames
        remedy = "Put that file of ml-hypersim into the root, or take split=all"
        raise DataError(store.root, f"no {SPLITS}, which says what {split} is", remedy)
    columns = ("scene_name", "camera_name", "frame_id", "included_in_public_release")
    part = "split_partition_name"
    wanted = set()
    for row in _table(store, table, (*columns, part)):
        if row[columns[3]].lower() == "true" and split in ("all", row[part]):
            wanted.add((row["scene_name"], row["camera_name"], int(_number(row, "frame_id"))))
    return [f for f in frames if (f.groups[0], f.groups[1], int(f.groups[2])) in wanted]


def _processed_part(store: Store, split: str) -> Store:
    """The folder or tar of one split in Marigold's layout."""
    if store.names(split):
        return store.within(split)
    packed = [name for name in store.archives() if split in name]
    if len(packed) == 1:
        return store.nested(packed[0])
    if split in store.root.name:
        return store
    finding = f"no folder {split}/ and no tar named after it"
    raise DataError(store.root, finding, "Give a list (list_file), or split=all")


def _table(store: Store, name: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV, each with its `where`; DataError if a column is missing."""
    where = store.where(name)
    reader = csv.DictReader(io.StringIO(text_of(store.read(name), where)))
    rows = []
    for row in reader:
        lacking = [column for column in columns if row.get(column) is None]
        if lacking:
            raise DataError(f"{where}:{reader.line_num}", f"has no column {lacking[0]}")
        rows.append({**row, "where": f"{where}:{reader.line_num}"})
    return rows


def _number(row: Mapping[str, str], column: str) -> float:
    try:
        number = float(row[column])
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(row["where"], f"{column} is {row[column]!r}, no number")
    return number


def _hdf5(store: Store, name: str, axes: int | None = None) -> NDArray[Any]:
    """The one array of a file; DataError if it is damaged or has other axes."""
    h5py = load_extra("h5py", extra="eval")
    where, content = store.where(name), store.read(name)
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            array = np.array(file["dataset"])
    except Exception as error:  # the library raises nearly anything on damaged bytes
        raise DataError(where, f"is a damaged HDF5 file ({error})", "Get a fresh copy") from error
    if axes is not None and array.ndim != axes:
        raise DataError(where, f"holds {list(array.shape)}, not {axes} axes")
    return array
