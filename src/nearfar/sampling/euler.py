"""Euler step of a straight-line flow (rectified flow; PPD arXiv 2510.07316, docs/ppd.md section 2).

Time: t = 1 is noise, t = 0 is clean; velocity = noise - clean.
Shapes: B batch, C channels, H W pixels.
"""

from __future__ import annotations

from torch import Tensor


def euler_step(x_BCHW: Tensor, velocity_BCHW: Tensor, *, t: float, t_next: float) -> Tensor:
    """The sample at t_next: x + (t_next - t) * velocity."""
    return x_BCHW + (t_next - t) * velocity_BCHW
