"""Records of any dataset as training samples of one size, and several datasets mixed by weight.

A sample is a function of its index alone. A file that cannot be used raises (on_error="raise"), or
the next usable sample of the same dataset stands in for it (on_error="skip"); every such case is
logged with its file and counted in `broken`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from nearfar.errors import ConfigError, DataError

from .folder import fitted
from .record import Dataset, DepthRecord
from .sample import DepthSample

_LOG = logging.getLogger(__name__)
_MOST_IN_A_ROW = 64  # unusable samples, one after the other, that end a run
ON_ERROR = ("raise", "skip")


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptOptions:
    """How records become samples.

    size_hw: of the samples; photos are cut to its aspect (largest centered part), then resized.
    min_valid: share of pixels with depth or sky below which a record is unusable. min_depth,
    max_depth: metres beyond which depth counts as unknown; 0 = no limit.
    """

    size_hw: tuple[int, int]
    on_error: str = "raise"
    min_valid: float = 0.0
    min_depth: float = 0.0
    max_depth: float = 0.0

    def __post_init__(self) -> None:
        if min(self.size_hw) < 8:
            raise ConfigError("AdaptOptions.size_hw", f"{self.size_hw} is below 8 pixels")
        if self.on_error not in ON_ERROR:
            raise ConfigError("on_error", f"{self.on_error!r}", f"Use {' or '.join(ON_ERROR)}")
        if not 0 <= self.min_valid <= 1:
            raise ConfigError("min_valid", f"{self.min_valid} is not in 0..1")
        if self.min_depth < 0 or self.max_depth < 0 or 0 < self.max_depth <= self.min_depth:
            raise ConfigError("depth range", f"{self.min_depth} to {self.max_depth} m is empty")


def whole_sample(record: DepthRecord, options: AdaptOptions) -> DepthSample:
    """The record at its own size; DataError(sample id) if it cannot teach metres."""
    where = record.sample_id
    if record.depth_kind != "metric":
        raise DataError(where, f"its depth is {record.depth_kind}, not metres", "Leave it out")
    depth_HW = record.depth_HW
    if options.min_depth or options.max_depth:
        far = options.max_depth or math.inf
        inside = (depth_HW >= options.min_depth) & (depth_HW <= far)
        depth_HW = np.where(inside, depth_HW, 0)
    sky_HW = np.zeros(depth_HW.shape, bool) if record.sky_HW is None else record.sky_HW
    known = float(np.count_nonzero(depth_HW)) / depth_HW.size
    if known == 0 or known + float(sky_HW.mean()) < options.min_valid:
        finding = f"depth is known in {100 * known:.1f} % of its pixels"
        raise DataError(where, finding, "Lower data.min_valid, or use data.on_error=skip")
    depth = torch.from_numpy(np.ascontiguousarray(depth_HW, np.float32))
    fov_x_deg = math.nan
    if record.intrinsics_33 is not None:
        width, fx = depth_HW.shape[1], float(record.intrinsics_33[0, 0])
        fov_x_deg = 2 * math.degrees(math.atan(width / 2 / fx))
    return DepthSample(
        torch.from_numpy(np.array(record.rgb_HW3)).permute(2, 0, 1).float().div_(255),
        depth,
        depth > 0,
        torch.from_numpy(np.array(sky_HW)),
        fov_x_deg,
    )


class AdaptedDataset:
    """The samples of one dataset at one size. broken: index -> what was wrong with it."""

    def __init__(self, dataset: Dataset, options: AdaptOptions) -> None:
        self.dataset = dataset
        self.options = options
        self.broken: dict[int, str] = {}
        self._length = len(dataset.sample_ids)

    def __len__(self) -> int:
        return self._length

    def sample(self, index: int) -> DepthSample:
        """Sample `index`, or the next usable one if it is broken and on_error is skip."""
        for step in range(min(self._length, _MOST_IN_A_ROW)):
            at = (index + step) % self._length
            if at in self.broken:
                continue
            try:
                full = whole_sample(self.dataset.record(at), self.options)
                return fitted(full, size_hw=self.options.size_hw)
            except DataError as error:
                if self.options.on_error == "raise":
                    raise
                self.broken[at] = str(error)
                _LOG.warning(
                    "%s (skipped, the next sample stands in; %d broken of %d so far)",
                    error, len(self.broken), self._length,
                )  # fmt: skip
        raise DataError(
            self.dataset.sample_ids[index],
            f"it and those after it are unusable, the first: {self.broken[index]}",
            "Run nearfar data check on this dataset",
        )


class Place(NamedTuple):
    """A sample of a mixture: which part, and which sample of it."""

    part: int
    number: int


class Mixture:
    """Several datasets as one: drawn uniformly, every part comes up in proportion to its weight.

    Each sample has at least one index, those of parts with more weight have several. weights: one
    per part, None = every sample of every part is as likely as any other.
    """

    def __init__(
        self, parts: Sequence[AdaptedDataset], weights: Sequence[float] | None = None
    ) -> None:
        if weights is None:
            weights = [float(len(part)) for part in parts]
        if len(weights) != len(parts) or not parts or min(weights) <= 0:
            raise ConfigError("weights", f"{list(weights)}", "Give one above 0 for each dataset")
        total = sum(weights)
        length = max(len(part) * total / weight for part, weight in zip(parts, weights))
        ends = np.cumsum([length * weight / total for weight in weights])
        self.parts = list(parts)
        self._ends = np.rint(ends).astype(np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def place(self, index: int) -> Place:
        """Where a sample comes from."""
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        part = int(np.searchsorted(self._ends, index, side="right"))
        start = int(self._ends[part - 1]) if part else 0
        return Place(part, (index - start) % len(self.parts[part]))

    def sample(self, place: Place) -> DepthSample:
        """The sample at a place."""
        return self.parts[place.part].sample(place.number)
