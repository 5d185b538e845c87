"""Depth edges: where neighboring pixels lie on different surfaces, or fly between two."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError


def depth_edges(depth_HW: NDArray[np.float32], *, relative: float = 0.04) -> NDArray[np.bool_]:
    """Mask [H,W] of the pixels on both sides of a relative jump; False beside invalid pixels.

    Pixels p, q that touch (8 directions) form a jump when max(z_p, z_q) > (1 + relative) *
    min(z_p, z_q). Invalid is NaN, infinite, or not positive; a border to invalid is no jump.
    """
    if not relative > 0:
        raise ConfigError("relative", f"{relative} is not above 0", "0.03 to 0.04 suits most maps")
    with np.errstate(divide="ignore", invalid="ignore"):
        log_HW = np.log(depth_HW.astype(np.float32))
    log_HW = np.where(np.isfinite(log_HW), log_HW, np.float32(np.nan))
    limit = np.float32(math.log1p(relative))
    mask_HW = np.zeros(depth_HW.shape, np.bool_)
    height, width = depth_HW.shape
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        left, stop = max(0, -right), width - max(0, right)
        here = (slice(0, height - down), slice(left, stop))
        there = (slice(down, height), slice(left + right, stop + right))
        jump = np.abs(log_HW[here] - log_HW[there]) > limit  # NaN compares False
        mask_HW[here] |= jump
        mask_HW[there] |= jump
    return mask_HW
