"""SUN RGB-D: 16-bit depth whose bits are rotated by three, in millimetres, 8 m at most.

`clip=invalid` (default) marks what lies beyond 8 m as unknown, `clip=toolbox` sets it to 8 m as the
owner's code does. `depth=refined` reads depth_bfx, `depth=raw` the sensor's own.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearfar.data.decode import numbers_of, png16_of, rgb_of, same_size
from nearfar.data.lists import natural_key, read_list
from nearfar.data.record import DepthRecord
from nearfar.data.store import Store, clean_name
from nearfar.errors import DataError
from nearfar.extras import load_extra

from .entries import Entry, EntryDataset, first_existing, known_metres, pinhole

FARTHEST = 8.0  # metres
SPLIT_FILE = "traintestSUNRGBD/allsplit.mat"
FOLDERS = {"refined": "depth_bfx", "raw": "depth"}
_TREE = "SUNRGBD/"


def open_sunrgbd(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> EntryDataset:
    """The frames of a split by allsplit.mat, of a list of frame folders, or all of them."""
    base = _TREE if store.has_folder(_TREE) else ""
    if list_file is not None:
        lines = read_list(list_file, columns=(1, 3), store=store)
        frames = [(_frame_key(line.path(0)), line.where) for line in lines]
    elif split == "all":
        found = {_frame_key(n) for n in store.names() if "/image/" in n}
        frames = [(key, "") for key in sorted(found, key=natural_key)]
    else:
        places = (f"SUNRGBDtoolbox/{SPLIT_FILE}", SPLIT_FILE, "allsplit.mat")
        name = first_existing(store, places)
        if name is None:
            raise store.nothing_found(f"SUNRGBDtoolbox/{SPLIT_FILE}")
        frames = [(key, "") for key in _split_keys(store, name, f"all{split}")]
    if not frames:
        raise store.nothing_found("SUNRGBD/SENSOR/.../FRAME/image/*.jpg")
    entries = [
        Entry(
            id=key,
            scene=key.rsplit("/", 1)[0],
            rgb=f"{base}{key}/image",
            depth=f"{base}{key}/{FOLDERS[options.get('depth', 'refined')]}",
            third=f"{base}{key}/intrinsics.txt",
            where=where,
        )
        for key, where in frames
    ]
    return SunRgbd(store, entries, clip=options.get("clip", "invalid"))


class SunRgbd(EntryDataset):
    """Photos of four depth sensors; `rgb` and `depth` of an entry are folders with one file."""

    name = "sunrgbd"

    def __init__(self, store: Store, entries: list[Entry], *, clip: str) -> None:
        self.clip = clip
        super().__init__(store, entries)

    def read_entry(self, entry: Entry) -> DepthRecord:
        """Photo and decoded depth."""
        photo, stored = self._only_file(entry.rgb), self._only_file(entry.depth)
        rgb = rgb_of(*self.content(photo))
        metres = rotated_bits(png16_of(*self.content(stored))).astype(np.float32) / 1000
        same_size(metres, rgb, self.store.where(stored))
        far = metres > FARTHEST
        metres[far] = FARTHEST if self.clip == "toolbox" else 0
        depth, valid = known_metres(metres)
        camera = None
        if self.store.exists(entry.third):
            matrix = numbers_of(*self.content(entry.third), count=9).reshape(3, 3)
            camera = pinhole(matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
        return DepthRecord(
            sample_id=f"sunrgbd/{entry.id}",
            scene=entry.scene,
            rgb_HW3=rgb,
            depth_HW=depth,
            valid_HW=valid,
            intrinsics_33=camera,
            sources=(photo, stored),
            notes={"sensor": entry.id.split("/")[0], "in_nyu": "kv1/NYUdata" in entry.id},
        )

    def _only_file(self, folder: str) -> str:
        """The picture in a folder: its name differs between photo and depth."""
        names = [n for n in self.store.names(under=folder) if n.endswith((".png", ".jpg"))]
        if not names:
            raise DataError(self.store.where(folder), "holds no picture", "Check root and split")
        return names[0]


def rotated_bits(stored_HW: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Millimetres of stored values: (v >> 3) | (v << 13) in 16 bits."""
    return ((stored_HW >> 3) | (stored_HW << 13)).astype(np.uint16)


def _frame_key(path: str) -> str:
    """`SENSOR/.../FRAME` of any path to or into a frame, absolute ones of the owner included."""
    name = clean_name(path)
    if _TREE in name + "/":
        name = name.split(_TREE, 1)[1]
    return name.split("/image/")[0]


def _split_keys(store: Store, name: str, table: str) -> list[str]:
    """Frames of a table of allsplit.mat."""
    scipy_io = load_extra("scipy.io", extra="eval")
    content, where = store.read(name), store.where(name)
    try:
        cells = np.ravel(scipy_io.loadmat(io.BytesIO(content))[table])
    except KeyError as error:
        raise DataError(where, f"has no {table}", "Get allsplit.mat of SUNRGBDtoolbox") from error
    except Exception as error:  # scipy raises nearly anything on damaged bytes
        raise DataError(where, f"is a damaged .mat file ({error})") from error
    return [_frame_key(str(np.ravel(cell)[0])) for cell in cells]
