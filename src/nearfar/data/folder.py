"""Own photos with depth, from a CSV or JSONL list: `rgb, depth, unit, mask, intrinsics`.

Paths are relative to the list. unit: m, cm, mm, or a number of stored units per metre (default m
of floats; integers must state it). mask (optional): picture, non-zero = depth usable. intrinsics
(optional): "fx,fy,cx,cy" in pixels of the photo. Depth that is 0, negative or not finite is
unknown; sparse depth is fine. Where EXIF turns the photo, depth and mask are turned alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nearfar.errors import ConfigError, DataError, InputError

from .augment import whole_view
from .benchmarks.depth_files import (
    StoredDepth,
    require_usual_metres,
    stored_depth,
    units_of,
    upright_like,
)
from .lists import json_object, right_ones, table_rows
from .sample import DepthBatch, DepthSample, stack_samples

COLUMNS = ("rgb", "depth", "unit", "mask", "intrinsics")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One line of a list. unit: as stated, '' if it is not; fx_px is NaN where unknown."""

    where: str  # file:line, for messages
    rgb: Path
    depth: Path
    mask: Path | None
    unit: str
    fx_px: float


def read_list(list_path: Path | str, *, faults: list[DataError] | None = None) -> list[Entry]:
    """The entries of a list; wrong lines, each named with its number, go to `faults` or the log.

    DataError if no line is right.
    """
    list_path = Path(list_path)
    try:
        text = list_path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            list_path, f"cannot be read ({error})", "Give a CSV or JSONL list"
        ) from error
    is_json = list_path.suffix in (".jsonl", ".json")
    rows: list[tuple[int, Any]] = (
        [(line, row) for line, row in enumerate(text.splitlines(), 1) if row.strip()]
        if is_json
        else [*table_rows(text, str(list_path), columns=COLUMNS)]
    )

    def entry(row: tuple[int, Any]) -> Entry:
        where = f"{list_path}:{row[0]}"
        return _entry(json_object(row[1], where) if is_json else row[1], where, list_path.parent)

    if not rows:
        raise DataError(list_path, "lists no samples", f"Columns are {', '.join(COLUMNS)}")
    return right_ones(rows, entry, faults)


def _entry(row: dict[str, Any], where: str, folder: Path) -> Entry:
    """One row, checked."""
    if None in row:
        raise DataError(where, "has more values than columns", "Quote values that hold a comma")
    values = {str(k).strip(): str(v).strip() for k, v in row.items() if v not in (None, "", [])}
    unknown = [name for name in values if name not in COLUMNS]
    if unknown:
        raise DataError(where, f"unknown column {unknown[0]!r}", f"Known: {', '.join(COLUMNS)}")
    for name in ("rgb", "depth"):
        if name not in values:
            raise DataError(where, f"{name} is missing", "Every line needs rgb and depth")
    unit = values.get("unit", "")
    units_of(unit, where)
    return Entry(
        where=where,
        rgb=_file(values["rgb"], folder, where),
        depth=_file(values["depth"], folder, where),
        mask=_file(values["mask"], folder, where) if "mask" in values else None,
        unit=unit,
        fx_px=_focal(values.get("intrinsics"), where),
    )


def _file(name: str, folder: Path, where: str) -> Path:
    """The file of a line, also if it is written with backslashes; DataError if there is none."""
    path = folder / name
    if not path.exists():
        path = folder / name.replace("\\", "/")
    if not path.exists():
        raise DataError(where, f"{folder / name}: no such file", "Correct the line")
    return path


def _focal(text: str | None, where: str) -> float:
    """fx of "fx,fy,cx,cy" (brackets and spaces allowed), NaN without."""
    if text is None:
        return math.nan
    parts = text.strip("[]()").replace(";", ",").replace(" ", ",").split(",")
    try:
        numbers = [float(part) for part in parts if part]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not all(math.isfinite(n) for n in numbers) or min(numbers[:2]) <= 0:
        raise DataError(where, f"intrinsics {text!r}", 'Write "fx,fy,cx,cy" in pixels')
    return numbers[0]


class FolderDataset:
    """Photos with depth from a list, cut to the aspect of `size_hw` and resized to it."""

    def __init__(
        self,
        list_path: Path | str,
        size_hw: tuple[int, int],
        *,
        faults: list[DataError] | None = None,
    ) -> None:
        if min(size_hw) < 8:
            raise ConfigError("FolderDataset", f"size_hw {size_hw} is below 8 pixels")
        self.entries = read_list(list_path, faults=faults)
        self.size_hw = size_hw

    def __len__(self) -> int:
        return len(self.entries)

    def sample(self, index: int) -> DepthSample:
        """Entry `index` at `size_hw`; DataError if its files are missing, damaged or empty."""
        return fitted(read_entry(self.entries[index]), size_hw=self.size_hw)

    def batch(self, indices: Tensor) -> DepthBatch:
        """The entries with these indices."""
        return stack_samples([self.sample(int(i)) for i in indices])


def fitted(full: DepthSample, *, size_hw: tuple[int, int]) -> DepthSample:
    """The sample cut to the aspect of `size_hw` (largest centered part) and resized to it."""
    image, depth, valid, sky, fov_x_deg = full
    one = DepthBatch(image[None], depth[None], valid[None], sky[None], torch.tensor([fov_x_deg]))
    view = whole_view(one, size_hw=size_hw)
    depth = _gathered(full.depth_HW.numpy(), view.depth_BHW[0].numpy())
    depth = depth.masked_fill(view.sky_BHW[0], 0)
    fov_x_deg = float(view.fov_x_deg_B[0])
    return DepthSample(view.image_B3HW[0], depth, depth > 0, view.sky_BHW[0], fov_x_deg)


def read_entry(entry: Entry) -> DepthSample:
    """The photo at full size with depth in metres (0 unknown) at the same size."""
    from nearfar.io.exif import orientation_of
    from nearfar.io.fetch import fetch_bytes
    from nearfar.io.images import decode_photo, read_image

    try:
        content = fetch_bytes(entry.rgb)
        rgb = decode_photo(content, str(entry.rgb)).rgb_HW3
        orientation = orientation_of(content)
        stored = stored_depth(fetch_bytes(entry.depth), entry.depth.name, str(entry.depth))
        mask = None if entry.mask is None else read_image(entry.mask).rgb_HW3.max(-1) > 0
    except (InputError, DataError) as error:
        raise DataError(entry.where, f"{error.where}: {error.finding}", error.remedy) from error
    height, width = rgb.shape[:2]
    metres = upright_like(_metres(stored, entry), orientation, (height, width))
    if mask is not None:
        mask = upright_like(mask, orientation, (height, width))
    for name, array in (("depth", metres), ("mask", mask)):
        if array is not None and abs(array.shape[1] * height / (array.shape[0] * width) - 1) > 0.02:
            sizes = f"{name} {list(array.shape)} and photo {[height, width]}"
            raise DataError(entry.where, f"{sizes} differ in aspect", "Crop them alike")
    metres = _nearest(metres, (height, width))
    if mask is not None:
        metres = np.where(_nearest(mask, (height, width)), metres, 0)
    if not metres.any():
        raise DataError(entry.where, f"{entry.depth}: no known depth", "Check unit and mask")
    depth = torch.from_numpy(metres.astype(np.float32))
    fov = 2 * math.degrees(math.atan(width / 2 / entry.fx_px))
    image = torch.from_numpy(np.array(rgb)).permute(2, 0, 1).float() / 255
    return DepthSample(image, depth, depth > 0, torch.zeros_like(depth, dtype=torch.bool), fov)


def _metres(stored: StoredDepth, entry: Entry) -> NDArray[np.float64]:
    """Stored depth in metres, 0 where unknown; DataError if its unit is not known."""
    units = units_of(entry.unit, entry.where) or stored.units_per_metre
    if units is None and stored.is_integer:
        finding = f"{entry.depth} holds integers and nothing states their unit"
        raise DataError(entry.where, finding, "Give the column unit: mm, or units per metre")
    known_HW = stored.known_HW & (stored.values_HW > 0)
    metres_HW = np.where(known_HW, stored.values_HW, 0) / (units or 1.0)
    require_usual_metres(metres_HW[known_HW], entry.unit, entry.where, str(entry.depth))
    return metres_HW


def _nearest(array: NDArray[Any], size_hw: tuple[int, int]) -> NDArray[Any]:
    """The array at another size, by nearest pixel."""
    if array.shape == size_hw:
        return array
    rows = ((np.arange(size_hw[0]) + 0.5) * array.shape[0] / size_hw[0]).astype(int)
    cols = ((np.arange(size_hw[1]) + 0.5) * array.shape[1] / size_hw[1]).astype(int)
    return array[rows][:, cols]


def _gathered(full_hw: NDArray[np.float32], picked_HW: NDArray[np.float32]) -> Tensor:
    """`picked_HW`, its unknown pixels filled with the nearest depth among those they cover.

    Picking one source pixel for each output pixel would drop most of a sparse depth map.
    """
    if picked_HW.all():
        return torch.from_numpy(picked_HW)
    height, width = full_hw.shape
    out_height, out_width = picked_HW.shape
    wide = min(width, height * out_width / out_height)
    high = wide * out_height / out_width
    rows = np.floor((np.arange(height) + 0.5 - (height - high) / 2) / high * out_height).astype(int)
    cols = np.floor((np.arange(width) + 0.5 - (width - wide) / 2) / wide * out_width).astype(int)
    top, bottom = np.searchsorted(rows, (0, out_height))
    left, right = np.searchsorted(cols, (0, out_width))
    part_hw = full_hw[top:bottom, left:right]
    rows, cols = rows[top:bottom], cols[left:right]
    y, x = np.nonzero((part_hw > 0) & (picked_HW == 0)[rows][:, cols])
    nearest = np.full(picked_HW.size, np.inf, np.float32)
    np.minimum.at(nearest, rows[y] * out_width + cols[x], part_hw[y, x])
    filling_HW = np.where(np.isfinite(nearest), nearest, 0).reshape(out_height, out_width)
    return torch.from_numpy(np.where(picked_HW > 0, picked_HW, filling_HW).astype(np.float32))
