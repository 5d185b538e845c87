"""DIODE: depth as float .npy with a mask beside it; the mask decides what is valid.

Official camera (886.81, 927.06, 512, 384) for every photo of 768 x 1024.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nearfar.data.decode import npy_of, rgb_of, same_size
from nearfar.data.lists import natural_key, read_list
from nearfar.data.record import DepthRecord
from nearfar.data.store import Store
from nearfar.errors import DataError

from .entries import Entry, EntryDataset, known_metres, pinhole

SIZE_HW = (768, 1024)
CAMERA = (886.81, 927.06, 512.0, 384.0)
_PHOTO = re.compile(
    r"(?:^|(.*)/)(indoors|outdoor)/(scene_\d+)/(scan_\d+)/([^/]+_(?:indoors|outdoor)_[^/]+)\.png$"
)
_PLACES = {"val-indoor": ("indoors",), "val-outdoor": ("outdoor",)}


def open_diode(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> EntryDataset:
    """The photos of a list (`rgb depth mask`), or all of a split by their names."""
    if list_file is not None:
        entries = []
        for line in read_list(list_file, columns=(3, 3), store=store):
            rgb, depth, mask = (line.path(column) for column in range(3))
            match = _PHOTO.match(rgb)
            if match is None:
                raise DataError(line.where, f"{rgb} is not a photo of DIODE")
            base = next((b for b in ("", "val/", "train/") if store.exists(b + rgb)), "")
            entries.append(_entry(match, base + rgb, base + depth, base + mask, line.where))
    else:
        entries = _found(store, split)
    if not entries:
        wanted = "|".join(_PLACES.get(split, ("indoors", "outdoor")))
        raise store.nothing_found(f"{split.split('-')[0]}/{wanted}/scene_*/scan_*/*.png")
    return Diode(store, entries)


class Diode(EntryDataset):
    """Photos with laser depth."""

    name = "diode"

    def read_entry(self, entry: Entry) -> DepthRecord:
        """Photo, and depth where the mask is 1; no range is applied."""
        rgb = rgb_of(*self.content(entry.rgb))
        metres = npy_of(*self.content(entry.depth))
        mask = npy_of(*self.content(entry.third))
        where = self.store.where(entry.depth)
        if metres.ndim == 3 and metres.shape[2] == 1:
            metres = metres[..., 0]
        if metres.ndim != 2 or metres.dtype.kind != "f":
            raise DataError(where, f"holds {metres.dtype} {list(metres.shape)}, not float [H,W,1]")
        same_size(metres, rgb, where)
        if mask.shape[:2] != metres.shape:
            raise DataError(self.store.where(entry.third), f"mask is {list(mask.shape)}")
        depth, valid = known_metres(
            np.where(mask.reshape(metres.shape) > 0.5, metres, np.float32(0))
        )
        return DepthRecord(
            sample_id=f"diode/{entry.id}",
            scene=entry.scene,
            rgb_HW3=rgb,
            depth_HW=depth,
            valid_HW=valid,
            intrinsics_33=pinhole(*CAMERA) if depth.shape == SIZE_HW else None,
            sources=(entry.rgb, entry.depth, entry.third),
            notes={"place": "indoor" if "_indoors_" in entry.rgb else "outdoor"},
        )


def _found(store: Store, split: str) -> list[Entry]:
    """Entries of a split by file names; a root inside `val` or `train` is taken as that split."""
    part = split.split("-")[0]
    places = _PLACES.get(split, ("indoors", "outdoor"))
    entries = []
    for name in sorted(store.names(), key=natural_key):
        match = _PHOTO.match(name)
        if match is None or match[2] not in places:
            continue
        above = (match[1] or "").rsplit("/", 1)[-1]
        if above == part or above not in ("val", "train"):
            stem = name.removesuffix(".png")
            entries.append(_entry(match, name, f"{stem}_depth.npy", f"{stem}_depth_mask.npy", ""))
    return entries


def _entry(match: re.Match[str], rgb: str, depth: str, mask: str, where: str) -> Entry:
    scene, stem = match[3], match[5]
    return Entry(f"{scene}/{stem}", scene, rgb, depth, key=stem, third=mask, where=where)
