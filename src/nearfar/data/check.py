"""What a dataset on disk really holds: counts, whose list it is, ranges, and what looks wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError, DataError, NearfarError

from .cards import DatasetCard
from .catalog import DATASETS, ListIdentity, list_identity, open_dataset
from .record import Dataset, DepthRecord

PERCENTILES = (1, 5, 50, 95, 99)
LAST_CHOICE = "folder"  # its layout (photos beside depth) also fits many other datasets
_STORED_UNITS = (1000.0, 100.0, 256.0, 5000.0, 6000.0, 4000.0)  # values per metre of 16-bit files
_SIGNS = {"tum": "rgbd_dataset", "bonn": "rgbd_bonn"}  # sequences that share one layout
_TILE = 256  # long side of the pictures kept for a contact sheet
_PER_RECORD = 4096  # depths kept of each record for the percentiles


class Tile(NamedTuple):
    """A record made small: photo and depth (0 = unknown)."""

    rgb_HW3: NDArray[np.uint8]
    depth_HW: NDArray[np.float32]


class Located(NamedTuple):
    """A dataset that was found at a path."""

    card: DatasetCard
    split: str
    dataset: Dataset


@dataclass(kw_only=True, slots=True)
class Examination:
    """Findings about one dataset: `count` samples, `repeated` of them with an id that came before.

    expected: official count of the split, None = not known.
    shares: of pixels, over the records read. depths: values kept for the percentiles.
    """

    card: DatasetCard
    split: str
    count: int
    repeated: int
    identity: ListIdentity
    expected: int | None
    read: int = 0
    broken: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    sizes_hw: Counter[tuple[int, ...]] = field(default_factory=Counter)
    has: Counter[str] = field(default_factory=Counter)
    valid: list[float] = field(default_factory=list)
    sky: list[float] = field(default_factory=list)
    outside: list[float] = field(default_factory=list)
    saturated: list[float] = field(default_factory=list)
    flat: int = 0
    black: int = 0
    depths: list[NDArray[np.float32]] = field(default_factory=list)
    tiles: list[Tile] = field(default_factory=list)

    def percentiles(self) -> dict[int, float]:
        """Depth at each of `PERCENTILES`, over all records read; empty without any depth."""
        known = np.concatenate(self.depths) if self.depths else np.zeros(0)
        if not len(known):
            return {}
        return dict(zip(PERCENTILES, np.percentile(known, PERCENTILES).tolist()))


def locate(
    root: str | Path, *, split: str | None = None, list_file: str | Path | None = None
) -> Located:
    """The dataset whose layout lies at `root`; DataError if there is none or several fit.

    Every reader is asked. One that can read samples comes before one that only lists them, the
    generic folder of photos and depth counts only if no other can read, and twins are told apart
    by their official list or by names of files.
    """
    for path in (root, list_file):
        if path is not None and not Path(path).exists():
            raise DataError(path, "no such folder or file", "Check the path")
    opened: list[Located] = []
    for card in DATASETS.values():
        if card.needs_files and (split in (None, *card.splits)):
            opened += _first_split(card, root, split, list_file)
    known = [one for one in opened if one.card.name != LAST_CHOICE]
    found = (
        [one for one in known if _is_readable(one.dataset)]
        or [one for one in opened if one not in known and _is_readable(one.dataset)]
        or known
        or opened
    )
    for told_by in (_has_official_list, _has_its_names):
        if len(found) > 1:
            found = [one for one in found if told_by(one)] or found
    if len(found) == 1:
        return found[0]
    if not found:
        raise DataError(root, "fits no layout of a known dataset", "Give --dataset to see why")
    names = ", ".join(one.card.name for one in found)
    raise DataError(root, f"fits several datasets: {names}", "Choose with --dataset")


def examine(
    located: Located, *, samples: int = 20, progress: Callable[[int, int], None] | None = None
) -> Examination:
    """Read up to `samples` records spread evenly over the set; broken ones are listed."""
    card, split, dataset = located
    if samples < 1:
        raise ConfigError("samples", f"{samples}: read at least one")
    count = len(dataset.sample_ids)
    found = Examination(
        card=card,
        split=split,
        count=count,
        repeated=count - len(set(dataset.sample_ids)),
        identity=list_identity(card, dataset),
        expected=card.expected_counts.get(split),
    )
    chosen = sorted({round(i) for i in np.linspace(0, count - 1, min(samples, count)).tolist()})
    for done, index in enumerate(chosen):
        if progress is not None:
            progress(done, len(chosen))
        try:
            record = dataset.record(index)
        except NearfarError as error:
            found.broken.append(str(error))
            continue
        _note(found, record)
    return found


def warnings_of(found: Examination) -> list[str]:
    """What looks wrong or surprising, one line each."""
    out: list[str] = []
    count, expected = found.count, found.expected
    if found.repeated:
        out.append(f"{found.repeated} samples have the id of another one")
    if expected is not None and count != expected:
        out.append(f"{count} samples, the official split {found.split} has {expected}")
    if count == expected and not found.identity.official:
        out.append("the count is official, but the fingerprint is not: other samples are listed")
    out += _unit_warnings(found)
    for values, limit, text in (
        (found.valid, 0.05, "hardly any pixel has depth"),
        (found.outside, None, f"depth outside {found.card.range_m} m"),
        (found.saturated, None, "the largest 16-bit value is used as depth"),
    ):
        mean = float(np.mean(values)) if values else None
        if mean is None:
            continue
        if limit is not None and mean < limit and not found.has["pairs"]:
            out.append(f"{text} ({100 * mean:.1f} %)")
        elif limit is None and mean > 0.02:
            out.append(f"{text} in {100 * mean:.1f} % of the known pixels")
    if found.flat:
        out.append(f"{found.flat} of {found.read} depth maps have only one value")
    if found.black:
        out.append(f"{found.black} of {found.read} photos are of one color")
    for name, promised in (("pose", found.card.has_pose), ("sky", found.card.has_sky)):
        if promised and found.read and not found.has[name]:
            out.append(f"no record has a {name}, though the dataset ships it")
    return out


def _first_split(
    card: DatasetCard, root: str | Path, split: str | None, list_file: str | Path | None
) -> list[Located]:
    """The first split of a dataset that opens at `root` and is not empty."""
    for name in card.splits if split is None else (split,):
        try:
            dataset = open_dataset(card.name, root, split=name, list_file=list_file)
            if len(dataset.sample_ids):
                return [Located(card, name, dataset)]
        except (NearfarError, OSError):
            continue
    return []


def _is_readable(dataset: Dataset) -> bool:
    """Whether the first, middle or last sample can be read."""
    count = len(dataset.sample_ids)
    for index in dict.fromkeys((0, count // 2, count - 1)):
        try:
            dataset.record(index)
        except (NearfarError, OSError):
            continue
        return True
    return False


def _has_official_list(located: Located) -> bool:
    return list_identity(located.card, located.dataset).official is not None


def _has_its_names(located: Located) -> bool:
    """Whether the files of the first sample are called as this dataset calls them."""
    try:
        sources = located.dataset.record(0).sources
    except (NearfarError, OSError):
        return False
    return any(_SIGNS.get(located.card.name, located.card.name) in name for name in sources)


def _note(found: Examination, record: DepthRecord) -> None:
    """Add what one record tells."""
    depth, valid = record.depth_HW, record.valid_HW
    known = depth[valid]
    found.read += 1
    found.kinds[record.depth_kind] += 1
    found.sizes_hw[depth.shape] += 1
    parts: dict[str, Any] = {
        "camera": record.intrinsics_33,
        "pose": record.pose_44,
        "sky": record.sky_HW,
        "planes": record.planes or None,
        "pairs": record.pairs or None,
        "edges": record.edges_HW,
    }
    found.has.update(name for name, part in parts.items() if part is not None)
    found.valid.append(float(valid.mean()))
    if record.sky_HW is not None:
        found.sky.append(float(record.sky_HW.mean()))
    if known.size:
        found.flat += bool(known.size > 1 and known.min() == known.max())
        found.saturated.append(_saturated(known))
        if found.card.range_m is not None and record.depth_kind == "metric":
            low, high = found.card.range_m
            found.outside.append(float(((known < low) | (known > high)).mean()))
        found.depths.append(known[:: max(1, known.size // _PER_RECORD)])
    found.black += bool(record.rgb_HW3.min() == record.rgb_HW3.max())
    step = max(1, -(-max(depth.shape) // _TILE))
    found.tiles.append(Tile(record.rgb_HW3[::step, ::step].copy(), depth[::step, ::step].copy()))


def _saturated(known: NDArray[np.float32]) -> float:
    """The share of depths that are 65535 stored units, in any usual unit of 16-bit files."""
    top = float(known.max())
    if not any(abs(top - 65535 / unit) < 1e-3 * top / 65.535 for unit in _STORED_UNITS):
        return 0.0
    return float((known == top).mean())


def _unit_warnings(found: Examination) -> Sequence[str]:
    """Wrong units, told by the median of metric depth."""
    median = found.percentiles().get(50)
    if median is None or set(found.kinds) != {"metric"}:
        return []
    indoor = found.card.place == "indoor"
    if median > (2000 if indoor else 20_000):
        return [f"values look like millimetres (median depth {median:.0f} m)"]
    if median > (50 if indoor else 1000):
        return [f"values look like centimetres (median depth {median:.0f} m)"]
    if median < 0.03:
        return [f"values look too small for metres (median depth {median:.2g} m)"]
    return []
