"""One image of a dataset as its files state it: photo, depth, masks, camera, origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import DataError

DEPTH_KINDS = ("metric", "scale", "affine", "disparity", "ordinal")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plane:
    """A flat part of a scene: its pixels and its plane n.x = offset (camera axes, metres)."""

    name: str
    mask_HW: NDArray[np.bool_]
    normal_3: NDArray[np.float64]
    offset: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two pixels (row, col) of the photo; the first is the closer one (DA-2K)."""

    closer: tuple[int, int]
    farther: tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class DepthRecord:
    """What a reader returns for one image, at the size the files have, nothing cropped or resized.

    sample_id: stable and unique, `dataset/scene/frame`. scene: images of one place (statistics).
    rgb_HW3: uint8. depth_HW: float32 z-depth, metres unless `depth_kind` says otherwise, 0 where
    invalid or sky, never NaN. valid_HW: depth is known; never on sky. sky_HW: None = not labeled.
    filled_HW: the dataset's own dense in-painted depth. intrinsics_33: pixel centers at +0.5 as
    everywhere in Nearfar (readers of files with integer centers add 0.5). pose_44: camera to world,
    OpenCV axes, metres. time_s with `sequence`: place in a video. sources: files read.
    """

    sample_id: str
    scene: str
    rgb_HW3: NDArray[np.uint8]
    depth_HW: NDArray[np.float32]
    valid_HW: NDArray[np.bool_]
    sky_HW: NDArray[np.bool_] | None = None
    filled_HW: NDArray[np.float32] | None = None
    intrinsics_33: NDArray[np.float64] | None = None
    camera_exact: bool = True  # False: nominal or distorted, good enough for a field of view
    pose_44: NDArray[np.float64] | None = None
    time_s: float | None = None
    sequence: str | None = None
    depth_kind: str = "metric"
    edges_HW: NDArray[np.bool_] | None = None
    planes: Sequence[Plane] = ()
    pairs: Sequence[Pair] = ()
    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Every rule of this contract that numbers can show; DataError names the sample."""
        size_hw = self.depth_HW.shape
        parts: dict[str, NDArray[Any] | None] = {
            "photo": self.rgb_HW3[..., 0],
            "valid": self.valid_HW,
            "sky": self.sky_HW,
            "filled": self.filled_HW,
            "edges": self.edges_HW,
        }
        for name, part in (parts | self.masks).items():
            if part is not None and part.shape != size_hw:
                raise DataError(
                    self.sample_id, f"{name} is {list(part.shape)}, depth {list(size_hw)}"
                )
        if self.rgb_HW3.dtype != np.uint8 or self.rgb_HW3.shape[2:] != (3,):
            raise DataError(
                self.sample_id, f"photo is {self.rgb_HW3.dtype} {list(self.rgb_HW3.shape)}"
            )
        if self.depth_kind not in DEPTH_KINDS:
            raise DataError(self.sample_id, f"depth kind {self.depth_kind!r} is unknown")
        depth, valid = self.depth_HW, self.valid_HW
        if depth.dtype != np.float32 or not np.isfinite(depth).all():
            raise DataError(self.sample_id, "depth is not finite float32")
        if (depth[~valid] != 0).any() or (
            self.depth_kind != "affine" and (depth[valid] <= 0).any()
        ):
            raise DataError(self.sample_id, "depth and its mask contradict each other")
        if self.sky_HW is not None and (self.sky_HW & valid).any():
            raise DataError(self.sample_id, "a pixel is sky and has depth")


class Dataset(Protocol):
    """A split of a dataset on disk; opening is cheap, records are read one at a time.

    Objects can be pickled (worker processes) and hold no open file across a fork.
    """

    @property
    def sample_ids(self) -> Sequence[str]:
        """The ids of all samples, in the order of the list; known without reading any image."""
        ...

    def record(self, index: int) -> DepthRecord:
        """Sample `index` as its files state it; DataError names the file (and line) at fault."""
        ...
