"""Depth as 16-bit codes: 0 = invalid, 1..65534 = near..far in equal steps, 65535 = sky.

depth = near + (code - 1) / 65533 * (far - near), in the map's own unit. Values beyond the range
become its ends.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError
from nearfar.result import DepthResult

INVALID, SKY = 0, 65535
_STEPS = 65533


class DepthRange(NamedTuple):
    """Depths of the codes 1 and 65534."""

    near: float
    far: float


class DecodedDepth(NamedTuple):
    """depth_HW: float32, NaN where not valid. sky_HW: where the code said sky."""

    depth_HW: NDArray[np.float32]
    valid_HW: NDArray[np.bool_]
    sky_HW: NDArray[np.bool_]


def encode_depth(result: DepthResult, limits: DepthRange) -> NDArray[np.uint16]:
    """The codes [H,W] of a map."""
    near, far = _checked(limits)
    share = (np.where(result.valid, result.depth, near) - np.float32(near)) / np.float32(far - near)
    codes: NDArray[np.uint16] = (1 + np.rint(np.clip(share, 0, 1) * _STEPS)).astype(np.uint16)
    codes[~result.valid] = INVALID
    if result.sky is not None:
        codes[result.sky & ~result.valid] = SKY
    return codes


def decode_depth(codes_HW: NDArray[np.uint16], limits: DepthRange) -> DecodedDepth:
    """The depths of codes."""
    near, far = _checked(limits)
    sky_HW = codes_HW == SKY
    valid_HW = (codes_HW != INVALID) & ~sky_HW
    step = (far - near) / _STEPS
    depth_HW = (near + (codes_HW.astype(np.float64) - 1) * step).astype(np.float32)
    depth_HW[~valid_HW] = np.nan
    return DecodedDepth(depth_HW, valid_HW, sky_HW)


def _checked(limits: DepthRange) -> DepthRange:
    if not (math.isfinite(limits.near) and math.isfinite(limits.far) and limits.near < limits.far):
        raise ConfigError("depth range", f"{limits.near:g} .. {limits.far:g} is not a range")
    return limits
