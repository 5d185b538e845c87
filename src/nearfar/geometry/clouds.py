"""Point clouds of depth maps: back-projection, edge filter, statistical outlier filter.

Axes are OpenCV's (x right, y down, z forward), lengths in the unit of the depth map. The outlier
rule is that of PPD's demo (arXiv 2510.07316, docs/ppd.md section 9): with d_i the mean distance of
point i to its 20 nearest others, keep d_i < mean(d) + 3 * std(d).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError

from .edges import depth_edges
from .neighbors import mean_neighbor_distance

_STRIP_PIXELS = 1 << 14  # rows are worked on in strips that stay in the cache


@dataclass(frozen=True, kw_only=True, slots=True)
class CloudOptions:
    """Which points of a depth map become the cloud.

    relative: jump of depth that makes an edge. neighbors, ratio: the statistical outlier rule.
    max_points: larger maps are thinned by an even stride in rows and columns; None keeps all.
    """

    edge_filter: bool = True
    outlier_filter: bool = True
    relative: float = 0.04
    neighbors: int = 20
    ratio: float = 3.0
    max_points: int | None = 1_000_000

    def __post_init__(self) -> None:
        if not self.relative > 0:
            raise ConfigError("CloudOptions.relative", f"{self.relative} is not above 0")
        if self.neighbors < 1:
            raise ConfigError("CloudOptions.neighbors", f"{self.neighbors} is not at least 1")
        if not self.ratio > 0:
            raise ConfigError("CloudOptions.ratio", f"{self.ratio} is not above 0")
        if self.max_points is not None and self.max_points < 1:
            raise ConfigError("CloudOptions.max_points", f"{self.max_points} is not at least 1")


class PointCloud(NamedTuple):
    """points_P3: float32 metres, OpenCV axes. colors_P3: uint8 RGB, or None."""

    points_P3: NDArray[np.float32]
    colors_P3: NDArray[np.uint8] | None


def backproject(
    depth_HW: NDArray[np.float32], intrinsics_33: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Points [H,W,3] in the unit of depth, OpenCV axes; NaN stays NaN.

    X = (u + 0.5 - cx) / fx * Z, Y = (v + 0.5 - cy) / fy * Z: pixel centers lie at +0.5.
    """
    height, width = depth_HW.shape
    (fx, _, cx), (_, fy, cy) = intrinsics_33[0], intrinsics_33[1]
    points_HW3 = np.empty((height, width, 3), np.float32)
    points_HW3[..., 0] = depth_HW * ((np.arange(width) + 0.5 - cx) / fx).astype(np.float32)
    points_HW3[..., 1] = depth_HW * ((np.arange(height) + 0.5 - cy) / fy)[:, None].astype(
        np.float32
    )
    points_HW3[..., 2] = depth_HW
    return points_HW3


def point_cloud(
    depth_HW: NDArray[np.float32],
    intrinsics_33: NDArray[np.float64],
    *,
    usable_HW: NDArray[np.bool_],
    image_HW3: NDArray[np.uint8] | None = None,
    options: CloudOptions | None = None,
) -> PointCloud:
    """The filtered cloud of a metric map, in image order; only `usable_HW` pixels enter."""
    options = options or CloudOptions()
    keep_HW = usable_HW & np.isfinite(depth_HW)
    if options.edge_filter:
        keep_HW &= ~depth_edges(
            np.where(keep_HW, depth_HW, np.float32(np.nan)), relative=options.relative
        )
    step = even_stride(depth_HW.size, options.max_points)
    points_HW3 = backproject(depth_HW, intrinsics_33)[::step, ::step]
    keep_HW = keep_HW[::step, ::step]
    if options.outlier_filter:
        keep_HW = organized_inliers(
            points_HW3, keep_HW, neighbors=options.neighbors, ratio=options.ratio
        )
    colors_P3 = None if image_HW3 is None else image_HW3[::step, ::step][keep_HW]
    return PointCloud(points_HW3[keep_HW], colors_P3)


def even_stride(pixels: int, limit: int | None) -> int:
    """The smallest step in rows and columns that leaves about `limit` pixels at most."""
    if limit is None or pixels <= limit:
        return 1
    return int(np.ceil(np.sqrt(pixels / limit)))


def statistical_outliers(
    points_P3: NDArray[np.float32], *, neighbors: int = 20, ratio: float = 3.0
) -> NDArray[np.bool_]:
    """Keep mask [P] (False = outlier) of an unordered cloud, with exact nearest neighbors."""
    distance_P = mean_neighbor_distance(points_P3, neighbors=neighbors)
    return distance_P <= _limit(distance_P, ratio)


def organized_inliers(
    points_HW3: NDArray[np.float32],
    usable_HW: NDArray[np.bool_],
    *,
    neighbors: int = 20,
    ratio: float = 3.0,
) -> NDArray[np.bool_]:
    """Keep mask [H,W] of a cloud that still lies in its image grid; several times faster.

    The nearest neighbors are sought only among the pixels of a square window with at least twice
    as many places, so d_i is never below the exact one; a pixel with fewer usable neighbors takes
    the mean over those, and one without any is an outlier.
    """
    radius = 1
    while (2 * radius + 1) ** 2 - 1 < 2 * neighbors:
        radius += 1
    height, width = usable_HW.shape
    distance_HW = np.full((height, width), np.inf, np.float32)
    planes_3HW = np.full((3, height + 2 * radius, width + 2 * radius), np.inf, np.float32)
    inner = planes_3HW[:, radius : radius + height, radius : radius + width]
    np.copyto(inner, np.moveaxis(points_HW3, 2, 0), where=usable_HW)
    strip = max(1, _STRIP_PIXELS // max(width, 1))
    for start in range(0, height, strip):
        rows = planes_3HW[:, start : start + strip + 2 * radius]
        distance_HW[start : start + strip] = _window_distance(rows, radius, neighbors)
    distance_HW[~usable_HW] = np.inf
    known_HW = np.isfinite(distance_HW)
    return known_HW & (distance_HW <= _limit(distance_HW[known_HW], ratio))


def _window_distance(
    planes_3HW: NDArray[np.float32], radius: int, neighbors: int
) -> NDArray[np.float32]:
    """Mean distance to the nearest in the window; inf (or NaN at unusable pixels) if there is none.

    planes_3HW is padded by `radius` on all sides; unusable places are infinite.
    """
    height, width = planes_3HW.shape[1] - 2 * radius, planes_3HW.shape[2] - 2 * radius
    places = [divmod(i, 2 * radius + 1) for i in range((2 * radius + 1) ** 2)]
    places.remove((radius, radius))
    center_3HW = planes_3HW[:, radius : radius + height, radius : radius + width]
    center_3HW = np.where(np.isfinite(center_3HW), center_3HW, np.float32(0))
    squares = np.empty((height, width, len(places)), np.float32)
    for i, (down, right) in enumerate(places):
        other_3HW = planes_3HW[:, down : down + height, right : right + width]
        squares[..., i] = np.square(other_3HW - center_3HW).sum(axis=0)
    nearest = np.partition(squares, neighbors - 1, axis=2)[..., :neighbors]
    there = np.isfinite(nearest)
    total = np.sqrt(nearest, out=np.zeros_like(nearest), where=there).sum(axis=2)
    number = there.sum(axis=2)
    return np.where(number > 0, total / np.maximum(number, 1), np.float32(np.inf))


def _limit(distance_P: NDArray[np.float32], ratio: float) -> float:
    """mean + ratio * sample standard deviation."""
    if len(distance_P) < 2:
        return float("inf")
    mean, spread = distance_P.mean(dtype=np.float64), distance_P.std(dtype=np.float64, ddof=1)
    return float(mean + ratio * spread)
