"""NYU Depth V2: the labeled .mat with splits.mat, the folders of BTS, the folders of Marigold.

The .mat and Marigold count images from 1, the official_splits of BTS from 0; official keys count
from 1. Depth with holes (`gt=raw`) is what papers evaluate, `gt=filled` is the in-painted map.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.data.decode import png16_of, rgb_of, same_size
from nearfar.data.lists import ListLine, natural_key, read_list
from nearfar.data.record import DepthRecord
from nearfar.data.store import Store
from nearfar.errors import ConfigError, DataError
from nearfar.extras import load_extra

from .entries import Entry, EntryDataset, first_existing, known_metres, pinhole

SIZE_HW = (480, 640)
CAMERA = (518.8579, 519.4696, 325.5824, 253.7362)  # of every photo, integer pixel centers
_MAT = "nyu_depth_v2_labeled.mat"
_LISTS = {"test": "filename_list_test.txt", "train": "filename_list_train.txt"}
_MARIGOLD = re.compile(r"(?:^|.*/)(train|test)/([^/]+)/rgb_(\d{4})\.png$")
_BTS = re.compile(r"(?:^|.*/)official_splits/(train|test)/([^/]+)/rgb_(\d{5})\.jpg$")


def open_nyu(
    store: Store, *, split: str, list_file: str | Path | None, options: Mapping[str, str]
) -> EntryDataset:
    """The photos of a split, or of a list; layout and list are looked for in this order.

    A list given, the .mat with splits.mat, Marigold's list, Marigold's or BTS's folders.
    """
    filled = options.get("gt", "raw") == "filled"
    if list_file is None:
        names = (_MAT, f"nyu/{_MAT}")
        mat = first_existing(store, names)
        if mat is not None:
            return NyuMat(store, mat, split=split, filled=filled)
        list_file = first_existing(store, [_LISTS[split]])
    if list_file is not None:
        lines = read_list(list_file, columns=(2, 3), store=store)
        entries = [_entry_of_line(store, line, split) for line in lines]
    else:
        entries = _entries_of_folders(store, split)
    if not entries:
        raise store.nothing_found(
            _MAT, f"official_splits/{split}/*/rgb_*.jpg", f"{split}/*/rgb_*.png", "list given"
        )
    return NyuFiles(store, entries, filled=filled)


class NyuMat(EntryDataset):
    """The labeled images inside nyu_depth_v2_labeled.mat (HDF5)."""

    name = "nyu"

    def __init__(self, store: Store, mat: str, *, split: str, filled: bool) -> None:
        self.mat, self.filled = mat, filled
        numbers = _split_numbers(store, mat.replace(_MAT, "splits.mat"), split)
        where = store.where(mat)
        with _open_mat(store, mat) as file:
            scenes = [_text(file, "scenes", number - 1, where) for number in numbers]
        super().__init__(
            store,
            [
                Entry(f"{scene}/{number:04d}", scene, mat, mat, key=str(number), number=number)
                for number, scene in zip(numbers, scenes)
            ],
        )

    def read_entry(self, entry: Entry) -> DepthRecord:
        """Image `number` of the file; both depth maps are kept unless the filled one is asked."""
        where = f"{self.store.where(self.mat)}: image {entry.number}"
        with _open_mat(self.store, self.mat) as file:
            try:
                rgb = file["images"][entry.number - 1].transpose(2, 1, 0)
                raw, dense = (file[n][entry.number - 1].T for n in ("rawDepths", "depths"))
            except Exception as error:  # HDF5 raises nearly anything on damaged bytes
                raise DataError(
                    where, f"cannot be decoded ({error})", "Get a fresh copy"
                ) from error
        return _record(entry, rgb, dense if self.filled else raw, where, dense=dense)


class NyuFiles(EntryDataset):
    """Photos and 16-bit depth in millimetres as BTS or Marigold wrote them."""

    name = "nyu"

    def __init__(self, store: Store, entries: list[Entry], *, filled: bool) -> None:
        self.filled = filled
        super().__init__(store, entries)

    def read_entry(self, entry: Entry) -> DepthRecord:
        """Photo and depth; the filled map too if the layout has one."""
        rgb = rgb_of(*self.content(entry.rgb))
        dense = png16_of(*self.content(entry.third)) / 1000 if entry.third else None
        if self.filled and dense is None:
            raise DataError(self.store.where(entry.depth), "this layout has no filled depth")
        name = entry.third if self.filled else entry.depth
        metres = dense if self.filled else png16_of(*self.content(name)) / 1000
        return _record(entry, rgb, metres, self.store.where(name), dense=dense)


def _record(
    entry: Entry,
    rgb_HW3: NDArray[np.uint8],
    metres_HW: Any,
    where: str,
    *,
    dense: NDArray[Any] | None,
) -> DepthRecord:
    same_size(metres_HW, rgb_HW3, where)
    depth, valid = known_metres(metres_HW)
    return DepthRecord(
        sample_id=f"nyu/{entry.id}",
        scene=entry.scene,
        rgb_HW3=np.ascontiguousarray(rgb_HW3),
        depth_HW=depth,
        valid_HW=valid,
        filled_HW=None if dense is None else np.ascontiguousarray(dense, np.float32),
        intrinsics_33=pinhole(*CAMERA) if depth.shape == SIZE_HW else None,
        sources=tuple(dict.fromkeys(n for n in (entry.rgb, entry.depth, entry.third) if n)),
    )


def _entry_of_line(store: Store, line: ListLine, split: str) -> Entry:
    """The entry of `rgb depth [filled depth or focal length]`, wherever the files lie."""
    focal = line.number(2)
    rgb, depth = line.path(0), line.path(1)
    third = line.path(2) if len(line.columns) > 2 and focal is None else ""
    folders = ("", "sync/", f"official_splits/{split}/", f"{split}/", "nyu/")
    base = next((folder for folder in folders if store.exists(folder + rgb)), "")
    full = base + rgb
    scene, stem = Path(rgb).parent.name, Path(rgb).stem
    number = int(re.sub(r"\D", "", stem) or 0)
    is_marigold = re.fullmatch(r"rgb_\d{4}", stem) is not None
    if is_marigold or "official_splits/" in full:
        number += 0 if is_marigold else 1
        id_, key = f"{scene}/{number:04d}", str(number)
    else:
        id_ = key = f"{scene}/{stem}"
    third = base + third if third else ""
    return Entry(id_, scene, full, base + depth, key, third, line.where, focal, number)


def _entries_of_folders(store: Store, split: str) -> list[Entry]:
    """Entries by the file names of Marigold's or BTS's folders."""
    entries = []
    for name in sorted(store.names(), key=natural_key):
        for pattern, is_marigold in ((_MARIGOLD, True), (_BTS, False)):
            match = pattern.match(name)
            if match is None or match[1] != split:
                continue
            folder = name[: name.rindex("/") + 1]
            number = int(match[3]) + (0 if is_marigold else 1)
            depth = folder + ("depth_" if is_marigold else "sync_depth_") + match[3] + ".png"
            filled = f"{folder}filled_{match[3]}.png"
            third = filled if is_marigold and store.exists(filled) else ""
            id_ = f"{match[2]}/{number:04d}"
            entries.append(Entry(id_, match[2], name, depth, str(number), third, number=number))
    return sorted(entries, key=lambda entry: entry.number)


def _split_numbers(store: Store, name: str, split: str) -> list[int]:
    """Numbers of a split, counted from 1, out of splits.mat."""
    scipy_io = load_extra("scipy.io", extra="eval")
    content, where = store.read(name), store.where(name)
    try:
        column = scipy_io.loadmat(io.BytesIO(content))[f"{split}Ndxs"]
    except KeyError as error:
        raise DataError(where, f"has no {split}Ndxs", "Get splits.mat of the toolbox") from error
    except Exception as error:  # scipy raises nearly anything on damaged bytes
        raise DataError(where, f"is a damaged .mat file ({error})") from error
    numbers = [int(number) for number in np.ravel(column)]
    if not numbers or min(numbers) < 1:
        raise ConfigError(where, f"numbers of {split} begin at {min(numbers, default=0)}, not 1")
    return numbers


def _open_mat(store: Store, name: str) -> AbstractContextManager[Any]:
    """The opened HDF5 file."""
    h5py = load_extra("h5py", extra="eval")
    path = store.path(name)
    try:
        return h5py.File(store.open(name) if path is None else path, "r")  # type: ignore[no-any-return]
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(store.where(name), f"is a damaged .mat file ({error})") from error


def _text(file: Any, name: str, index: int, where: str) -> str:
    """The text that entry `index` of a table of references points to."""
    try:
        return "".join(chr(int(code)) for code in np.ravel(file[file[name][0, index]][()]))
    except Exception as error:  # HDF5 raises nearly anything on damaged bytes
        raise DataError(where, f"{name} has no text for image {index + 1} ({error})") from error
