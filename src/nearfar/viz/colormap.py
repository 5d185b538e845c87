"""Color pictures of depth: near is warm (or bright), far is cold (or dark), invalid is black."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError
from nearfar.result import DepthKind, DepthResult

COLORMAPS = ("gray", "inferno", "magma", "spectral", "turbo", "viridis")
_NEAREST = 1e-3  # metres: where logarithms of a range begin
_WARM_FIRST = ("spectral",)  # tables that begin at their warm end; the others end there


class ColorRange(NamedTuple):
    """The values painted in the nearest and in the farthest color, in the space of `painted`."""

    near: float
    far: float


def color_depth(
    result: DepthResult, colormap: str = "spectral", *, limits: ColorRange | None = None
) -> NDArray[np.uint8]:
    """RGB picture [H,W,3]: near warm, far cold, sky as the farthest, invalid black.

    Metric and scale-invariant maps are painted by the logarithm of depth, the affine kinds by
    their own values, so that all kinds look alike. `limits` keeps the colors of a series (a video)
    equal; by default they are `color_range(result)`.
    """
    values, valid = _painted(result)
    if limits is None:
        limits = color_range(result)
    span = limits.far - limits.near
    share = (values - limits.near) / span if span > 0 else np.full_like(values, 0.5)
    share = np.clip(np.where(valid, share, 0), 0, 1)
    if result.sky is not None:
        share = np.where(result.sky, np.float32(1), share)
        valid = valid | result.sky
    picture = apply_colormap(share if colormap in _WARM_FIRST else 1 - share, colormap)
    picture[~valid] = 0
    return picture


def color_range(*results: DepthResult) -> ColorRange:
    """2nd and 98th percentile of the valid, non-sky values of all results together."""
    parts = []
    for result in results:
        values, valid = _painted(result)
        parts.append(values[valid] if result.sky is None else values[valid & ~result.sky])
    known = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    if not len(known):
        return ColorRange(0.0, 1.0)
    near, far = np.percentile(known, [2, 98])
    return ColorRange(float(near), float(far))


def range_of_depths(kind: DepthKind, near: float, far: float) -> ColorRange:
    """The color range from `near` to `far`, given in the unit of maps of this kind."""
    if kind not in (DepthKind.METRIC, DepthKind.SCALE_INVARIANT):
        return ColorRange(near, far)
    near = max(near, _NEAREST)
    return ColorRange(math.log(near), math.log(max(far, near)))


def apply_colormap(x_01: NDArray[np.floating], name: str) -> NDArray[np.uint8]:
    """RGB of values 0..1 (clipped; NaN becomes 0) by linear steps of the named table of 256."""
    if name not in COLORMAPS:
        raise ConfigError(
            "colormap", f"unknown color map {name!r}", f"Use one of {', '.join(COLORMAPS)}"
        )
    step = np.clip(np.nan_to_num(np.asarray(x_01, np.float32)), 0, 1) * 255
    return np.take(_tables()[name], np.rint(step).astype(np.intp), axis=0)


def _painted(result: DepthResult) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Values to paint and where they are usable."""
    if result.kind not in (DepthKind.METRIC, DepthKind.SCALE_INVARIANT):
        return result.depth, result.valid
    valid = result.valid & (result.depth > 0)
    return np.log(result.depth, out=np.zeros_like(result.depth), where=valid), valid


@lru_cache(maxsize=1)
def _tables() -> dict[str, NDArray[np.uint8]]:
    with np.load(Path(__file__).with_name("luts.npz"), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
