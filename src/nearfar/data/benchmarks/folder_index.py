"""The samples of an own folder, from its index or from the names of its files.

Columns of `index.csv` and keys of `index.jsonl` (rgb and depth are needed, the others may be left
out or empty; paths are relative to the folder):

    unit          m, cm, mm, or stored units per metre; depth_scale: the same number
    mask, sky     pictures: not 0 = usable depth; not 0 = sky.  alpha: matte of the foreground
    depth_kind    metric, scale, affine, disparity, ordinal
    invalid       a stored value that means unknown
    intrinsics    "fx,fy,cx,cy" in pixels of the photo, pixel centers at +0.5
    fx, fy, cx, cy, or K (4 or 9 numbers)   the same with the first pixel's center at (0, 0)
    pose          16 numbers, camera to world, OpenCV axes, metres
    scene, frame, time, sequence

`index.json` is a kit: {"pairs": [...]} with rgb and npz (arrays depth in metres, mask, K) and name,
scene_id, kind; other keys are left alone. Without an index, `rgb/` and `depth/` go by stem.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nearfar.data.decode import json_of, text_of
from nearfar.data.lists import json_object, natural_key, right_ones, table_rows
from nearfar.data.record import DEPTH_KINDS
from nearfar.data.store import Store, clean_name
from nearfar.errors import DataError

from .depth_files import DEPTH_SUFFIXES, units_of

CENTERS = ("auto", "half", "integer")
FILE_COLUMNS = ("rgb", "depth", "npz", "mask", "sky", "alpha")
COLUMNS = (
    *FILE_COLUMNS,
    *("unit", "depth_scale", "depth_kind", "invalid"),
    *("intrinsics", "fx", "fy", "cx", "cy", "K", "pose"),
    *("scene", "frame", "time", "sequence"),
)
KIT_COLUMNS = {"name": "frame", "scene_id": "scene", "kind": "depth_kind"}
PHOTO_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
_CAMERA = ("fx", "fy", "cx", "cy")


class FolderEntry(NamedTuple):
    """One sample. where: file and line. files: column -> name. unit: as stated. camera: fx, fy, cx,
    cy with pixel centers at +0.5; archive_shift: what to add to cx, cy of a K inside an npz."""

    sample_id: str
    photo: str
    where: str
    scene: str
    files: Mapping[str, str]
    kind: str
    unit: Any
    units_per_metre: float | None
    invalid: float | None
    camera: tuple[float, ...] | None
    archive_shift: float
    pose: tuple[float, ...] | None
    time_s: float | None
    sequence: str | None


class Row(NamedTuple):
    """One line of an index: where it stands, and what it states."""

    where: str
    values: Mapping[str, Any]


class Defaults(NamedTuple):
    """What the options say where the index says nothing."""

    unit: str = ""
    kind: str = ""
    center: str = "auto"


def rows_of(content: bytes, name: str, where: str, root: Path | None = None) -> list[Row]:
    """The lines of a CSV, JSONL or JSON index; root: the folder that absolute paths may lie in.

    A wrong line is logged with its number and left out; DataError if none is right.
    """
    text = text_of(content, where)
    if name.endswith(".json"):
        return _kit_rows(json_of(content, where), text, where, root)
    if name.endswith(".jsonl"):
        lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]

        def row(numbered: tuple[int, str]) -> Row:
            place = f"{where}:{numbered[0]}"
            return _checked(place, json_object(numbered[1], place), root)

        rows = right_ones(lines, row, None)
    else:
        table = table_rows(text, where, columns=COLUMNS)
        rows = right_ones(table, lambda row: _checked(f"{where}:{row[0]}", row[1], root), None)
    if not rows:
        raise DataError(where, "lists no samples", f"Columns are {', '.join(COLUMNS)}")
    return rows


def stem_rows(store: Store) -> list[Row]:
    """Photos below `rgb/` with the depth below `depth/` that has the same stem, natural order."""
    depths: dict[str, str] = {}
    for name in store.names("depth"):
        if name.lower().endswith(DEPTH_SUFFIXES):
            stem = _stem(name).partition("/")[2]
            if stem in depths:
                raise DataError(store.where(name), f"has the stem of {depths[stem]}", "Keep one")
            depths[stem] = name
    rows: dict[str, Row] = {}
    for name in sorted(store.names("rgb"), key=natural_key):
        if name.lower().endswith(PHOTO_SUFFIXES):
            stem = _stem(name).partition("/")[2]
            where = store.where(name)
            if stem not in depths:
                remedy = "To leave it out, list the pairs in index.csv"
                raise DataError(where, f"there is no depth/{stem} of any format", remedy)
            if stem in rows:
                raise DataError(where, f"has the stem of {rows[stem].values['rgb']}", "Keep one")
            rows[stem] = Row(where, {"rgb": name, "depth": depths[stem]})
    return list(rows.values())


def entries_of(rows: Sequence[Row], defaults: Defaults) -> list[FolderEntry]:
    """The samples of an index; a line that contradicts itself or another is logged and left out.

    Without a scene, it is the sub-folder below what all photos share, else each photo is its own.
    DataError if no line is right.
    """
    shared = _shared_folder([row.values.get("rgb", "") for row in rows])
    seen: dict[str, str] = {}

    def entry(row: Row) -> FolderEntry:
        made = _entry(row, shared, defaults)
        if made.sample_id in seen:
            finding = f"{made.sample_id} is also {seen[made.sample_id]}"
            raise DataError(row.where, finding, "Give each sample its own frame")
        seen[made.sample_id] = row.where
        return made

    return right_ones(rows, entry, None)


def _kit_rows(stated: Any, text: str, where: str, root: Path | None) -> list[Row]:
    """The pairs of a kit; a pair stands on the line of its name."""
    pairs = stated.get("pairs") if isinstance(stated, dict) else None
    if not isinstance(pairs, list):
        raise DataError(where, "has no list `pairs`", "Or write index.csv or index.jsonl")
    if not pairs:
        raise DataError(where, "lists no samples", "Fill its list `pairs`")

    def row(numbered: tuple[int, Any]) -> Row:
        number, pair = numbered
        name = pair.get("name", pair.get("rgb")) if isinstance(pair, dict) else None
        place = text.find(json.dumps(name)) if isinstance(name, str) else -1
        line = 1 + text.count("\n", 0, place) if place >= 0 else f" pair {number}"
        if name is None:
            raise DataError(f"{where}:{line}", "has neither name nor rgb")
        renamed = {KIT_COLUMNS.get(key, key): value for key, value in pair.items()}
        if "scene_id" not in pair:
            renamed.pop("scene", None)  # in kits this is a kind of place
        known = {key: value for key, value in renamed.items() if key in COLUMNS}
        return _checked(f"{where}:{line}", known, root)

    return right_ones(enumerate(pairs, 1), row, None)


def _checked(where: str, stated: Mapping[Any, Any], root: Path | None) -> Row:
    """The row without empty values, its columns known, its paths clean."""
    values = {str(key).strip(): _stripped(value) for key, value in stated.items()}
    if "None" in values:
        raise DataError(where, "has more columns than the first line")
    values = {key: value for key, value in values.items() if value not in (None, "", [])}
    for name in values:
        if name not in COLUMNS:
            raise DataError(where, f"unknown column {name!r}", f"Known: {', '.join(COLUMNS)}")
    for name in FILE_COLUMNS:
        if name in values:
            try:
                values[name] = clean_name(_inside(str(values[name]), root))
            except DataError as error:
                raise DataError(where, f"{name} {values[name]!r} leaves the folder") from error
    if "rgb" not in values:
        raise DataError(where, "rgb is missing", "Every line needs a photo")
    if not {"depth", "npz", "alpha"} & set(values):
        raise DataError(where, "depth is missing", "Every line needs rgb and depth")
    return Row(where, values)


def _inside(name: str, root: Path | None) -> str:
    """A path in the folder as relative to it, any other as it is."""
    if root is not None and Path(name).is_absolute() and Path(name).is_relative_to(root):
        return str(Path(name).relative_to(root))
    return name


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _entry(row: Row, shared: str, defaults: Defaults) -> FolderEntry:
    """One sample, checked."""
    values, where = row.values, row.where
    photo = values["rgb"]
    path = _stem(photo)[len(shared) :]
    scene = values.get("scene")
    frame = values.get("frame")
    if scene is None:
        folder = path.rpartition("/")[0]
        sample_id = f"folder/{folder}/{frame}" if frame and folder else f"folder/{frame or path}"
    else:
        sample_id = f"folder/{scene}/{frame or path}"
    has_depth = "depth" in values or "npz" in values
    kind = values.get("depth_kind") or defaults.kind or ("metric" if has_depth else "ordinal")
    if kind not in DEPTH_KINDS:
        raise DataError(where, f"depth_kind {kind!r} is unknown", f"Use {', '.join(DEPTH_KINDS)}")
    pose = _numbers(values.get("pose"), "pose", where)
    if pose is not None and len(pose) != 16:
        raise DataError(where, f"pose has {len(pose)} numbers, not 16")
    return FolderEntry(
        sample_id=sample_id,
        photo=photo,
        where=where,
        scene=str(scene or path.rpartition("/")[0].partition("/")[0] or path),
        files={name: values[name] for name in FILE_COLUMNS if name in values},
        kind=str(kind),
        unit=values.get("unit", values.get("depth_scale", defaults.unit)),
        units_per_metre=_units(values, defaults, where),
        invalid=_number(values.get("invalid"), "invalid", where),
        camera=_camera(values, defaults.center, where),
        archive_shift=0.0 if defaults.center == "half" else 0.5,
        pose=pose,
        time_s=_number(values.get("time"), "time", where),
        sequence=None if values.get("sequence") is None else str(values["sequence"]),
    )


def _units(values: Mapping[str, Any], defaults: Defaults, where: str) -> float | None:
    """Stored units per metre, None where nothing states them."""
    if "unit" in values and "depth_scale" in values:
        raise DataError(where, "has both unit and depth_scale", "They are the same: keep one")
    stated = values.get("unit", values.get("depth_scale", defaults.unit or None))
    return units_of(stated, where)


def _camera(values: Mapping[str, Any], center: str, where: str) -> tuple[float, ...] | None:
    """fx, fy, cx, cy with pixel centers at +0.5."""
    given = [name for name in ("intrinsics", "K") if name in values]
    given += ["fx"] if any(name in values for name in _CAMERA) else []
    if len(given) > 1:
        raise DataError(where, f"states its camera as {' and as '.join(given)}", "Keep one")
    if not given:
        return None
    if given[0] == "fx":
        missing = [name for name in _CAMERA if name not in values]
        if missing:
            raise DataError(where, f"{missing[0]} is missing", "A camera is fx, fy, cx, cy")
        stated: Any = [values[name] for name in _CAMERA]
    else:
        stated = values[given[0]]
    numbers = _numbers(stated, given[0], where) or ()
    if len(numbers) == 9:
        numbers = (numbers[0], numbers[4], numbers[2], numbers[5])
    if len(numbers) != 4 or min(numbers[:2]) <= 0:
        finding = f"{given[0]} {str(stated)[:60]!r} is not a camera"
        raise DataError(where, finding, 'Write "fx,fy,cx,cy" in pixels')
    is_half = center == "half" or (center == "auto" and given[0] == "intrinsics")
    shift = 0.0 if is_half else 0.5
    return (numbers[0], numbers[1], numbers[2] + shift, numbers[3] + shift)


def _number(stated: Any, name: str, where: str) -> float | None:
    numbers = _numbers(stated, name, where)
    if numbers is None:
        return None
    if len(numbers) != 1:
        raise DataError(where, f"{name} {str(stated)[:40]!r} is not one number")
    return numbers[0]


def _numbers(stated: Any, name: str, where: str) -> tuple[float, ...] | None:
    """The numbers of a text, a number, or a nested list; None where nothing is stated."""
    if stated is None:
        return None
    try:
        if isinstance(stated, str):
            words: Iterable[str] = stated.strip("[]() ").replace(";", " ").replace(",", " ").split()
            numbers = np.array([float(word) for word in words])
        else:
            numbers = np.asarray(stated, np.float64).ravel()
    except (TypeError, ValueError):
        numbers = np.array([np.nan])
    if not len(numbers) or not np.isfinite(numbers).all():
        raise DataError(where, f"{name} {str(stated)[:60]!r} is not a number")
    return tuple(numbers.tolist())


def _stem(name: str) -> str:
    """The path without the last suffix of the file."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + (last.rpartition(".")[0] or last)


def _shared_folder(photos: Sequence[str]) -> str:
    """The folder above all photos, '' or ending in '/'."""
    parts = [photo.split("/")[:-1] for photo in photos]
    shared: list[str] = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return "".join(f"{part}/" for part in shared)
