"""Middlebury 2014, 2021 and MiddEval3: structured-light stereo scenes (docs/datasets.md).

z in metres = baseline_mm * f / (d + doffs) / 1000; forgetting doffs is the classic error. Unknown
disparity is infinite. Occluded pixels have depth; MiddEval3 marks them in `mask0nocc.png`, which
becomes the mask `nonoccluded`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nearfar.errors import DataError

from ..decode import pfm_of, picture_of, rgb_of, same_size, text_of
from ..lists import natural_key
from ..record import DepthRecord
from ..store import Store
from .frames import FrameDataset, centered_at_half, in_list_order, one_plane, where_known

DISPARITIES = ("disp0.pfm", "disp0GT.pfm")
_CAMERA = re.compile(r"\[\s*(\S+)\s+(\S+)\s+(\S+)\s*;\s*(\S+)\s+(\S+)\s+(\S+)\s*;[^\]]*\]")


class MiddleburyFrame(NamedTuple):
    """The left image of a scene; folder ends in '/' or is ''."""

    sample_id: str
    photo: str
    disparity: str
    folder: str
    scene: str


class StereoCalibration(NamedTuple):
    """Left camera in pixels (first pixel at (0, 0)), baseline, and difference of the centers."""

    fx: float
    fy: float
    cx: float
    cy: float
    baseline_mm: float
    doffs_px: float
    size_hw: tuple[int, int] | None


def open_middlebury(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> FrameDataset[MiddleburyFrame]:
    """The left image of every scene with disparity.

    split: `all`; `perfect`, `imperfect` (2014, by the end of the folder's name); `trainingF`,
    `trainingH`, `trainingQ` (MiddEval3, by the folder above).
    """
    frames = []
    for name in store.names():
        folder, _, last = name.rpartition("/")
        if last not in DISPARITIES or not _is_of(split, folder):
            continue
        start = f"{folder}/" if folder else ""
        scene = (folder or store.root.name.partition(".")[0]).rpartition("/")[2]
        frames.append(
            MiddleburyFrame(
                f"middlebury/{folder or scene}",
                f"{start}im0.png",
                name,
                start,
                re.sub(r"-(im)?perfect$", "", scene),
            )
        )
    if not frames:
        raise store.nothing_found(*(f"SCENE/{name} (split {split})" for name in DISPARITIES))
    frames.sort(key=lambda frame: natural_key(frame.sample_id))
    return FrameDataset(store, in_list_order(frames, list_file, store), _read)


def calibration_of(text: str, where: str) -> StereoCalibration:
    """The values of a calib.txt; DataError names the line at fault, or what is missing."""
    values: dict[str, tuple[str, int]] = {}
    for number, content in enumerate(text.splitlines(), 1):
        key, equals, value = content.partition("=")
        if content.strip() and not equals:
            raise DataError(f"{where}:{number}", "is not `name=value`")
        values[key.strip()] = (value.strip(), number)
    for name in ("cam0", "baseline", "doffs"):
        if name not in values:
            raise DataError(where, f"has no {name}", "Depth cannot be computed without it")

    def number_of(name: str) -> float:
        text, place = values[name]
        try:
            found = float(text)
        except ValueError:
            found = float("nan")
        if not np.isfinite(found):
            raise DataError(f"{where}:{place}", f"{name}={text!r} is not a number")
        return found

    stated, line = values["cam0"]
    match = _CAMERA.fullmatch(stated)
    try:
        numbers = [float(part) for part in match.groups()] if match else []
    except ValueError:
        numbers = []
    baseline = number_of("baseline")
    if not numbers or not np.isfinite(numbers).all() or min(numbers[0], numbers[4]) <= 0:
        raise DataError(
            f"{where}:{line}", f"cam0={stated!r} is not a camera [f 0 cx; 0 f cy; 0 0 1]"
        )
    if baseline <= 0:
        raise DataError(f"{where}:{values['baseline'][1]}", f"baseline {baseline} is not positive")
    size_hw = None
    if "width" in values and "height" in values:
        size_hw = (int(number_of("height")), int(number_of("width")))
    fx, _, cx, _, fy, cy = numbers
    return StereoCalibration(fx, fy, cx, cy, baseline, number_of("doffs"), size_hw)


def _is_of(split: str, folder: str) -> bool:
    parts = folder.split("/")
    if split == "all":
        return True
    if split in ("perfect", "imperfect"):
        return parts[-1].endswith(f"-{split}")
    return split in parts[:-1]


def _read(store: Store, frame: MiddleburyFrame) -> DepthRecord:
    """One scene."""
    where, calib_name = store.where(frame.disparity), f"{frame.folder}calib.txt"
    rgb = rgb_of(store.read(frame.photo), store.where(frame.photo))
    disparity = pfm_of(store.read(frame.disparity), where).astype(np.float64)
    calib_where = store.where(calib_name)
    calib = calibration_of(text_of(store.read(calib_name), calib_where), calib_where)
    same_size(disparity, rgb, where)
    if calib.size_hw is not None and calib.size_hw != disparity.shape:
        finding = f"is for images of {list(calib.size_hw)}, these are {list(disparity.shape)}"
        raise DataError(calib_where, finding, "Take the calib.txt of the same resolution")
    apart = disparity + calib.doffs_px
    valid = np.isfinite(disparity) & (apart > 0)
    metres = calib.baseline_mm * calib.fx / np.where(valid, apart, 1) / 1000
    masks, sources = {}, [frame.photo, frame.disparity, calib_name]
    if store.exists(f"{frame.folder}mask0nocc.png"):
        sources.append(f"{frame.folder}mask0nocc.png")
        mask = picture_of(store.read(sources[-1]), store.where(sources[-1]))
        masks["nonoccluded"] = one_plane(mask, disparity, store.where(sources[-1])) == 255
    return DepthRecord(
        sample_id=frame.sample_id,
        scene=frame.scene,
        rgb_HW3=rgb,
        depth_HW=where_known(metres, valid),
        valid_HW=valid,
        intrinsics_33=centered_at_half(calib.fx, calib.fy, calib.cx, calib.cy),
        masks=masks,
        sources=tuple(sources),
        notes={"baseline_mm": calib.baseline_mm, "doffs_px": calib.doffs_px},
    )
