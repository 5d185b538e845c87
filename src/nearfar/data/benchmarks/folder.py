"""Own photos with depth as a dataset: CSV, JSONL or JSON index, or `rgb/` beside `depth/`.

What an index may state is in folder_index.py, the formats of depth in depth_files.py. Depth keeps
its size. A larger photo of the same aspect is averaged down to it; masks go by nearest pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.data.decode import npz_of, picture_of, rgb_of
from nearfar.data.record import DepthRecord
from nearfar.data.store import Store
from nearfar.errors import DataError
from nearfar.io.exif import orientation_of

from .depth_files import StoredDepth, require_usual_metres, stored_depth, upright_like
from .folder_index import Defaults, FolderEntry, Row, entries_of, rows_of, stem_rows
from .frames import FrameDataset, in_list_order, where_known

INDEXES = ("index.csv", "index.jsonl", "index.json")
_INDEX_SUFFIXES = (".csv", ".jsonl", ".json")
_ALPHA_FOREGROUND = 0.1  # of a matte, as the boundary metrics take it
_ASPECT = 0.02  # relative difference of aspects that rounding of sizes can make


def open_folder(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> FrameDataset[FolderEntry]:
    """The samples of the index (the first of index.csv, .jsonl, .json), or of `rgb/` + `depth/`.

    list_file: an index of its own (.csv, .jsonl, .json; paths relative to the folder), or a plain
    list of photos. Options: unit (m, cm, mm or units per metre) and kind where the index says
    nothing; center of the first pixel in intrinsics: auto, half or integer.
    """
    defaults = Defaults(
        options.get("unit", ""), options.get("kind", ""), options.get("center") or "auto"
    )
    own = list_file is not None and Path(list_file).suffix in _INDEX_SUFFIXES
    rows = _own_rows(store, str(list_file)) if own else _found_rows(store)
    entries = entries_of(rows, defaults)
    chosen = in_list_order(entries, None if own else list_file, store)
    return FrameDataset(store, chosen, _read)


def _own_rows(store: Store, list_file: str) -> list[Row]:
    """The rows of an index that the user names, on disk or in the store."""
    path, root = Path(list_file), store.root.resolve()
    try:
        if path.is_file() or not store.exists(list_file):
            return rows_of(path.read_bytes(), list_file, list_file, root)
    except OSError as error:
        raise DataError(list_file, f"cannot be read ({error.strerror})") from error
    return rows_of(store.read(list_file), list_file, store.where(list_file), root)


def _found_rows(store: Store) -> list[Row]:
    """The rows of the first index in the folder, or of its files."""
    for name in INDEXES:
        if store.exists(name):
            return rows_of(store.read(name), name, store.where(name), store.root.resolve())
    rows = stem_rows(store)
    if not rows:
        raise store.nothing_found(*INDEXES, "rgb/ with depth/")
    return rows


class _Found(NamedTuple):
    """The depth of a sample in its own units, and what an archive holds beside it."""

    stored: StoredDepth
    where: str
    usable_HW: NDArray[np.bool_] | None
    camera: tuple[float, ...] | None


def _read(store: Store, entry: FolderEntry) -> DepthRecord:
    """One sample."""
    content = store.read(entry.photo)
    rgb, orientation = rgb_of(content, store.where(entry.photo)), orientation_of(content)
    found = _depth(store, entry)
    masks: dict[str, NDArray[np.bool_]] = {}
    for name in ("mask", "sky", "alpha"):
        if name in entry.files:
            values = picture_of(store.read(entry.files[name]), store.where(entry.files[name]))
            masks[name] = _mask(values, is_matte=name == "alpha")
    if found is None:  # only a matte
        size_hw = (rgb.shape[0], rgb.shape[1])
        nothing = np.zeros(size_hw)
        found = _Found(StoredDepth(nothing, nothing > 0), entry.where, None, None)
    photo_hw = (rgb.shape[0], rgb.shape[1])
    found = _upright(found, orientation, photo_hw)
    masks = {name: upright_like(mask, orientation, photo_hw) for name, mask in masks.items()}
    values_HW, where = found.stored.values_HW, found.where
    size_hw = (values_HW.shape[0], values_HW.shape[1])
    rgb = _photo_at(rgb, size_hw, where)
    masks = {
        name: _nearest(mask, size_hw, store.where(entry.files[name]))
        for name, mask in masks.items()
    }
    valid = found.stored.known_HW & (values_HW != entry.invalid)
    if entry.kind != "affine":
        valid &= values_HW > 0
    for usable in (found.usable_HW, masks.get("mask")):
        if usable is not None:
            valid &= usable
    sky = masks.get("sky", found.stored.sky_HW)
    if sky is not None:
        valid &= ~sky
    camera = entry.camera or found.camera
    metres_HW = values_HW / _units(entry, found)
    if entry.kind == "metric":
        require_usual_metres(metres_HW[valid], entry.unit, entry.where, where)
    return DepthRecord(
        sample_id=entry.sample_id,
        scene=entry.scene,
        rgb_HW3=rgb,
        depth_HW=where_known(metres_HW, valid),
        valid_HW=valid,
        sky_HW=sky,
        intrinsics_33=None if camera is None else _matrix(camera, photo_hw, size_hw),
        pose_44=None if entry.pose is None else np.array(entry.pose).reshape(4, 4),
        time_s=entry.time_s,
        sequence=entry.sequence,
        depth_kind=entry.kind,
        masks={"alpha": masks["alpha"]} if "alpha" in masks else {},
        sources=tuple(entry.files.values()),
        notes={"listed_at": entry.where},
    )


def _upright(found: _Found, orientation: int, photo_hw: tuple[int, int]) -> _Found:
    """The depth turned as its photo was."""
    turn = partial(upright_like, orientation=orientation, photo_hw=photo_hw)
    stored, usable = found.stored, found.usable_HW
    stored = stored._replace(
        values_HW=turn(stored.values_HW),
        known_HW=turn(stored.known_HW),
        sky_HW=None if stored.sky_HW is None else turn(stored.sky_HW),
    )
    return found._replace(stored=stored, usable_HW=None if usable is None else turn(usable))


def _depth(store: Store, entry: FolderEntry) -> _Found | None:
    """The depth file of a sample, or the archive of a kit; None where only a matte is given."""
    if "depth" in entry.files:
        name = entry.files["depth"]
        where = store.where(name)
        return _Found(stored_depth(store.read(name), name, where), where, None, None)
    if "npz" not in entry.files:
        return None
    name = entry.files["npz"]
    where = store.where(name)
    content = store.read(name)
    stored = stored_depth(content, name, where)
    arrays = npz_of(content, where)
    if "depth" not in arrays:
        raise DataError(where, f"has no array depth, only {', '.join(arrays)}")
    usable, camera = arrays.get("mask"), None
    if usable is not None:
        if usable.shape != stored.values_HW.shape:
            sizes = f"mask is {list(usable.shape)}, depth {list(stored.values_HW.shape)}"
            raise DataError(where, sizes)
        usable = usable.astype(np.bool_)
    if "K" in arrays:
        matrix = np.asarray(arrays["K"], np.float64)
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or matrix[0, 0] <= 0:
            raise DataError(where, "its K is not a 3x3 camera matrix")
        shift = entry.archive_shift
        center = (matrix[0, 2] + shift, matrix[1, 2] + shift)
        camera = (float(matrix[0, 0]), float(matrix[1, 1]), float(center[0]), float(center[1]))
    return _Found(stored, where, usable, camera)


def _units(entry: FolderEntry, found: _Found) -> float:
    """What to divide stored values by; integers in metres must say so."""
    stored = found.stored
    if entry.kind in ("disparity", "affine", "ordinal"):
        return 1.0
    units = entry.units_per_metre or stored.units_per_metre
    if units is not None:
        return units
    if stored.is_integer and entry.kind == "metric":
        finding = f"{found.where} holds integers and nothing states their unit"
        raise DataError(entry.where, finding, "Give depth_scale (units per metre), or option unit")
    return 1.0


def _photo_at(
    rgb_HW3: NDArray[np.uint8], size_hw: tuple[int, int], where: str
) -> NDArray[np.uint8]:
    """The photo at the size of the depth; DataError if it is smaller or of another aspect."""
    height, width = rgb_HW3.shape[:2]
    if (height, width) == size_hw:
        return rgb_HW3
    sizes = f"depth is {list(size_hw)}, its photo {[height, width]}"
    if abs(size_hw[1] * height / (size_hw[0] * width) - 1) > _ASPECT:
        raise DataError(where, f"{sizes}: they differ in aspect", "Crop them alike")
    if height < size_hw[0] or width < size_hw[1]:
        raise DataError(where, sizes, "Give a photo that is not smaller than its depth")
    import torch

    from nearfar.geometry.resize import resize

    image = torch.from_numpy(np.array(rgb_HW3)).permute(2, 0, 1).float()
    small = resize(image, size_hw, method="area").round().clamp(0, 255).byte()
    return np.ascontiguousarray(small.permute(1, 2, 0).numpy())


def _mask(values: NDArray[Any], *, is_matte: bool) -> NDArray[np.bool_]:
    """Not 0 in any color (alpha left out); of a matte, more than a tenth."""
    if values.ndim == 3:
        values = values[..., :3].max(-1)
    if not is_matte:
        return values > 0
    full = np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 1.0
    return values > _ALPHA_FOREGROUND * full


def _nearest(mask_HW: NDArray[np.bool_], size_hw: tuple[int, int], where: str) -> NDArray[np.bool_]:
    """The mask at the size of the depth, by nearest pixel."""
    height, width = mask_HW.shape
    if (height, width) == size_hw:
        return mask_HW
    if abs(size_hw[1] * height / (size_hw[0] * width) - 1) > _ASPECT:
        finding = f"mask is {[height, width]}, depth {list(size_hw)}: they differ in aspect"
        raise DataError(where, finding, "Crop them alike")
    rows = ((np.arange(size_hw[0]) + 0.5) * height / size_hw[0]).astype(int)
    cols = ((np.arange(size_hw[1]) + 0.5) * width / size_hw[1]).astype(int)
    return mask_HW[rows][:, cols]


def _matrix(
    camera: tuple[float, ...], photo_hw: tuple[int, int], size_hw: tuple[int, int]
) -> NDArray[np.float64]:
    """Intrinsics of the photo as it was, at the size of the depth."""
    fx, fy, cx, cy = camera
    down, across = size_hw[0] / photo_hw[0], size_hw[1] / photo_hw[1]
    return np.array([[fx * across, 0, cx * across], [0, fy * down, cy * down], [0, 0, 1]])
