"""Windows stitched in the model's own space (arXiv 2601.05246; spec ppd.md section 11, stitching).

A window's key slots show frames whose depth R is known already: (s, b) minimizes |s P + b - R|^2
over all their pixels, and the window gives out s P + b. The reference of slot 0 stays that of the
first window, so errors cannot pile up along the clip. Sums in float64 (Released code: float32).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Stitched(NamedTuple):
    """depth_Thw: all slots in the clip's scale; key_depth_Thw: of the next window's key slots."""

    depth_Thw: Tensor
    key_depth_Thw: Tensor
    scale: float
    shift: float


class Line(NamedTuple):
    """target = scale * prediction + shift."""

    scale: float
    shift: float


def fit_scale_shift(prediction: Tensor, target: Tensor, *, usable: Tensor | None = None) -> Line:
    """Least squares over all (usable) pixels by the normal equations; (1, 0) if singular."""
    p_P, r_P = prediction.double().flatten(), target.double().flatten()
    if usable is not None:
        p_P, r_P = p_P[usable.flatten()], r_P[usable.flatten()]
    count = p_P.numel()
    squares, total, product = (p_P * p_P).sum(), p_P.sum(), (p_P * r_P).sum()
    wanted = r_P.sum()
    determinant = squares * count - total * total
    if not torch.isfinite(determinant) or determinant <= 1e-12 * squares * count:
        return Line(1.0, 0.0)
    scale = (count * product - total * wanted) / determinant
    shift = (squares * wanted - total * product) / determinant
    return Line(float(scale), float(shift))


def stitch(
    depth_Thw: Tensor, key_depth_Thw: Tensor | None, *, key_frames: Sequence[int]
) -> Stitched:
    """A window's maps [T,h,w] in the scale of the windows before; as they are for the first."""
    keys = list(key_frames)
    if key_depth_Thw is None:
        return Stitched(depth_Thw, depth_Thw[keys], 1.0, 0.0)
    scale, shift = fit_scale_shift(depth_Thw[: len(keys)], key_depth_Thw)
    depth_Thw = (depth_Thw.double() * scale + shift).float()
    return Stitched(depth_Thw, torch.cat([key_depth_Thw[:1], depth_Thw[keys[1:]]]), scale, shift)
