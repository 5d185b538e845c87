"""KITTI raw photos with the improved (annotated) ground truth: Eigen lists, drives, selection.

Stored depth is 1/256 m, 0 = unknown. Lists are those of the papers: `rgb depth [focal]` where the
depth may be `None` (no ground truth: left out), or monodepth2's `DATE/DRIVE FRAME l|r`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearfar.data.decode import numbers_of, png16_of, rgb_of, same_size, text_of
from nearfar.data.lists import ListLine, natural_key, read_list
from nearfar.data.record import DepthRecord
from nearfar.data.store import Store
from nearfar.errors import DataError

from .entries import Entry, EntryDataset, first_existing, known_metres, pinhole

_LOG = logging.getLogger(__name__)

UNITS_PER_METRE = 256
FRAMES_PER_SECOND = 10
PHOTO_FOLDERS = ("", "raw/", "raw_data/", "kitti_raw/", "data/")
DEPTH_FOLDERS = (
    "",
    "train/",
    "val/",
    "data_depth_annotated/train/",
    "data_depth_annotated/val/",
    "kitti_gt/{date}/",
    "depth/",
)
LISTS = {
    "eigen-test": ("eigen_test_files_with_gt.txt", "kitti_eigen_test.txt", "eigen_test.txt"),
    "eigen-train": ("eigen_train_files_with_gt.txt", "kitti_eigen_train.txt", "eigen_train.txt"),
}
_PHOTO = re.compile(r"(?:^|.*/)(\d{4}_\d\d_\d\d)/([^/]+_sync)/image_(0[23])/data/(\d{10})\.\w+$")
_DEPTH = re.compile(r"(?:^|.*/)([^/]+_sync)/proj_depth/groundtruth/image_(0[23])/(\d{10})\.png$")
_SELECTED = re.compile(r"(?:^|.*/)image/([^/]+_sync)_image_(\d{10})_image_(0[23])\.png$")


def open_kitti(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> EntryDataset:
    """The frames of a list (Eigen splits), of the annotated val drives, or of the selection."""
    if list_file is None and split == "selection":
        return KittiSelection(store, _selection(store))
    if list_file is None and split == "val-drives":
        return Kitti(store, _val_drives(store))
    if list_file is None:
        list_file = first_existing(store, LISTS[split])
    if list_file is None:
        raise store.nothing_found(f"list {LISTS[split][0]} (the paper's list: give it)")
    lines = read_list(list_file, columns=(2, 3), store=store)
    entries = [entry for line in lines if (entry := _entry_of_line(store, line)) is not None]
    if len(entries) < len(lines):
        _LOG.info("%s: %d lines have no ground truth", list_file, len(lines) - len(entries))
    if not entries:
        raise store.nothing_found(f"ground truth for any line of {list_file}")
    return Kitti(store, entries)


class Kitti(EntryDataset):
    """Frames of raw drives; the camera is that of the day's calibration."""

    name = "kitti"

    def read_entry(self, entry: Entry) -> DepthRecord:
        """Photo and sparse depth at the photo's own size."""
        photo = _located_photo(self.store, entry.rgb)
        depth_file = _located_depth(self.store, entry.depth, entry.rgb) or entry.depth
        rgb = rgb_of(*self.content(photo))
        stored = png16_of(*self.content(depth_file))
        same_size(stored, rgb, self.store.where(depth_file))
        depth, valid = known_metres(stored / UNITS_PER_METRE)
        camera, is_exact = self._camera(entry, photo), True
        if camera is None and entry.focal_px is not None:
            height, width = depth.shape
            camera = pinhole(entry.focal_px, entry.focal_px, (width - 1) / 2, (height - 1) / 2)
            is_exact = False
        return DepthRecord(
            sample_id=f"kitti/{entry.id}",
            scene=entry.scene,
            rgb_HW3=rgb,
            depth_HW=depth,
            valid_HW=valid,
            intrinsics_33=camera,
            camera_exact=is_exact,
            time_s=entry.number / FRAMES_PER_SECOND,
            sequence=entry.id.rsplit("/", 1)[0] + ("-right" if "image_03" in photo else ""),
            sources=(photo, depth_file),
        )

    def _camera(self, entry: Entry, photo: str) -> NDArray[np.float64] | None:
        """Intrinsics of the rectified color camera, None without calibration."""
        match = _PHOTO.match(photo)
        if match is None:
            return None
        base = photo[: match.start(1)] + match[1]
        name = first_existing(self.store, [f"{base}/calib_cam_to_cam.txt"])
        if name is None:
            return None
        key = f"P_rect_{match[3]}"
        where = self.store.where(name)
        for number, line in enumerate(text_of(*self.content(name)).splitlines(), 1):
            label, _, values = line.partition(":")
            if label.strip() == key:
                matrix = numbers_of(values.encode(), f"{where}:{number}", count=12).reshape(3, 4)
                return pinhole(matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
        raise DataError(where, f"has no {key}", "Get calib_cam_to_cam.txt of this day")


class KittiSelection(EntryDataset):
    """The official val_selection_cropped: 1,000 photos of 352 x 1216 with their cameras."""

    name = "kitti"

    def read_entry(self, entry: Entry) -> DepthRecord:
        """Photo, depth and camera as the selection has them (it is cropped on disk)."""
        rgb = rgb_of(*self.content(entry.rgb))
        stored = png16_of(*self.content(entry.depth))
        same_size(stored, rgb, self.store.where(entry.depth))
        depth, valid = known_metres(stored / UNITS_PER_METRE)
        camera = None
        if self.store.exists(entry.third):
            matrix = numbers_of(*self.content(entry.third), count=9).reshape(3, 3)
            camera = pinhole(matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
        return DepthRecord(
            sample_id=f"kitti/{entry.id}",
            scene=entry.scene,
            rgb_HW3=rgb,
            depth_HW=depth,
            valid_HW=valid,
            intrinsics_33=camera,
            sources=(entry.rgb, entry.depth),
        )


def _entry_of_line(store: Store, line: ListLine) -> Entry | None:
    """The entry of a list line; None if it has no ground truth."""
    second = line.columns[1]
    if second is None:
        return None
    if second.isdigit():
        return _entry_of_frame(store, line)
    rgb, depth = line.path(0), line.path(1)
    match = _PHOTO.match(rgb)
    if match is None:
        raise DataError(
            line.where, f"{rgb} is not a photo of KITTI", "DATE/DRIVE_sync/image_02/data/N.png"
        )
    return _entry(rgb, depth, match, where=line.where, focal_px=line.number(2))


def _entry_of_frame(store: Store, line: ListLine) -> Entry | None:
    """The entry of monodepth2's `DATE/DRIVE FRAME l|r`; None if the frame is not annotated."""
    drive, frame, side = line.path(0), line.columns[1], (*line.columns, "l")[2]
    if side not in ("l", "r") or drive.count("/") != 1:
        raise DataError(line.where, "is not a line of an Eigen list", "Write DATE/DRIVE FRAME l|r")
    camera, number = {"l": "02", "r": "03"}[side], int(frame or 0)
    rgb = f"{drive}/image_{camera}/data/{number:010d}.png"
    match = _PHOTO.match(rgb)
    if match is None:
        raise DataError(line.where, f"{drive} is not a drive", "Write DATE/DRIVE_sync FRAME l|r")
    depth = f"{match[2]}/proj_depth/groundtruth/image_{camera}/{number:010d}.png"
    if _located_depth(store, depth, rgb) is None:
        return None
    return _entry(rgb, depth, match, where=line.where)


def _entry(
    rgb: str, depth: str, match: re.Match[str], *, where: str, focal_px: float | None = None
) -> Entry:
    drive, camera, frame = match[2], match[3], match[4]
    key = f"{drive}/{frame}"
    return Entry(
        id=key if camera == "02" else f"{key}-right",
        scene=drive,
        rgb=rgb,
        depth=depth,
        key=key if camera == "02" else f"{key}-right",
        where=where,
        focal_px=focal_px,
        number=int(frame),
    )


def _located_photo(store: Store, name: str) -> str:
    """Where a photo lies: below one of the folders, as PNG or as the JPEG others made of it."""
    stem = name.rsplit(".", 1)[0]
    names = (folder + stem + end for folder in PHOTO_FOLDERS for end in (".png", ".jpg"))
    return first_existing(store, names) or name


def _located_depth(store: Store, name: str, photo: str) -> str | None:
    """Where a depth map lies, by the search order of the official loaders."""
    match = _PHOTO.match(photo)
    date = match[1] if match else ""
    return first_existing(store, (folder.format(date=date) + name for folder in DEPTH_FOLDERS))


def _val_drives(store: Store) -> list[Entry]:
    """Every annotated frame of the left camera of the val drives."""
    entries = []
    for folder in ("val", "data_depth_annotated/val"):
        for name in sorted(store.names(under=folder), key=natural_key):
            match = _DEPTH.match(name)
            if match is None or match[2] != "02":
                continue
            drive, frame = match[1], match[3]
            rgb = f"{drive[:10]}/{drive}/image_02/data/{frame}.png"
            photo = _PHOTO.match(rgb)
            if photo is not None:
                entries.append(_entry(rgb, name, photo, where=""))
        if entries:
            return entries
    raise store.nothing_found("val/*_sync/proj_depth/groundtruth/image_02/*.png")


def _selection(store: Store) -> list[Entry]:
    """Every photo of depth_selection/val_selection_cropped."""
    entries = []
    for name in sorted(store.names(), key=natural_key):
        match = _SELECTED.match(name)
        if match is None:
            continue
        base = name[: name.rindex("image/", 0, name.rindex("/") + 1)]
        drive, frame, camera = match.groups()
        file = f"{drive}_groundtruth_depth_{frame}_image_{camera}.png"
        entries.append(
            Entry(
                id=f"{drive}/{frame}" + ("" if camera == "02" else "-right"),
                scene=drive,
                rgb=name,
                depth=f"{base}groundtruth_depth/{file}",
                third=f"{base}intrinsics/{Path(name).stem}.txt",
                number=int(frame),
            )
        )
    if not entries:
        raise store.nothing_found("val_selection_cropped/image/*_sync_image_*_image_02.png")
    return entries
