"""From an affine point map to metres and a field of view (MoGe, arXiv 2410.19115, section 3.2).

The network gives points (x, y, z) that are right up to a scale and a shift of z. For a pinhole
with square pixels and a centered axis, a pixel at view-plane place (u, v) satisfies
    u = f * x / (z + s),   v = f * y / (z + s)
so focal f and shift s follow by least squares over all pixels. View-plane unit: half the image
diagonal is 1, hence tan(fov_x / 2) = u_edge / f with u_edge = a / sqrt(1 + a^2), a = W / H.

Shapes: B batch, H W pixels, P points.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .base import MetricGuess

_SAMPLES = 64  # rows and columns of pixels that take part in the fit
_ITERATIONS = 40


class FocalShift(NamedTuple):
    """focal: in half image diagonals, positive. shift: to add to z, in the point map's unit."""

    focal: float
    shift: float


def view_plane(
    height: int, width: int, *, aspect: float | None = None, device: torch.device | None = None
) -> Tensor:
    """View-plane places [H,W,2] (u right, v down) of pixel centers; `aspect` defaults to W/H."""
    aspect = width / height if aspect is None else aspect
    diagonal = math.hypot(1.0, aspect)
    u_W = (torch.arange(width, device=device) + 0.5) * (2 / width) - 1
    v_H = (torch.arange(height, device=device) + 0.5) * (2 / height) - 1
    v_HW, u_HW = torch.meshgrid(v_H / diagonal, u_W * (aspect / diagonal), indexing="ij")
    return torch.stack([u_HW, v_HW], dim=-1)


def recover_focal_shift(points_HW3: Tensor, *, usable_HW: Tensor) -> FocalShift | None:
    """Least-squares focal and shift of one affine point map; None if no pinhole fits it.

    min over f, s of sum |f * xy / (z + s) - uv|^2, started at the solution of the linear problem
    f * xy - s * uv = z * uv, which is exact for exact data; Levenberg-Marquardt in float64.
    None: under 3 usable points, or the best focal is not positive. Released code: the pixels are
    those of a nearest resize to 64x64, so small maps give some of theirs more than once.
    """
    H, W, _ = points_HW3.shape
    rows, columns = (torch.arange(_SAMPLES) * side // _SAMPLES for side in (H, W))
    usable_hw = usable_HW.cpu()[rows][:, columns]
    points_P3 = points_HW3.cpu()[rows][:, columns][usable_hw].double()
    uv_P2 = view_plane(H, W)[rows][:, columns][usable_hw].double()
    finite_P = points_P3.isfinite().all(dim=1)
    points_P3, uv_P2 = points_P3[finite_P], uv_P2[finite_P]
    if len(points_P3) < 3:
        return None
    xy_P2, z_P = points_P3[:, :2], points_P3[:, 2]
    lowest = float(-z_P.min() + 1e-6 * (1 + z_P.abs().median()))
    starts = [s for s in (_linear_shift(xy_P2, z_P=z_P, uv_P2=uv_P2), 0.0) if s > lowest] or [
        lowest + float(z_P.abs().median())
    ]
    fits = [_refine(xy_P2, z_P=z_P, uv_P2=uv_P2, shift=shift, lowest=lowest) for shift in starts]
    _, focal, shift = min(fits)
    if not (math.isfinite(focal) and focal > 0):
        return None
    return FocalShift(focal, shift)


def metric_from_affine(points_BHW3: Tensor, *, mask_BHW: Tensor, scale_B: Tensor) -> MetricGuess:
    """Depth in metres (0 where invalid), validity, and field of view of affine point maps.

    Points that no pinhole camera sees give a map without a valid pixel and NaN as field of view.
    """
    H, W = points_BHW3.shape[1:3]
    fits = [recover_focal_shift(p, usable_HW=m) for p, m in zip(points_BHW3, mask_BHW)]
    none = FocalShift(math.nan, math.nan)
    focal_B, shift_B = points_BHW3.new_tensor([fit or none for fit in fits]).unbind(1)
    depth_BHW = points_BHW3[..., 2] + shift_B[:, None, None]
    valid_BHW = mask_BHW & (depth_BHW > 0) & depth_BHW.isfinite()
    depth_BHW = torch.where(valid_BHW, depth_BHW * scale_B[:, None, None], 0.0)
    edge = (W / H) / math.hypot(1.0, W / H)
    return MetricGuess(depth_BHW, valid_BHW, torch.rad2deg(2 * torch.atan(edge / focal_B)))


def _linear_shift(xy_P2: Tensor, *, z_P: Tensor, uv_P2: Tensor) -> float:
    """The shift of the linear problem f * xy - s * uv = z * uv; NaN if it has no solution."""
    a = float((xy_P2 * xy_P2).sum())
    b = float((xy_P2 * uv_P2).sum())
    c = float((uv_P2 * uv_P2).sum())
    d = float((xy_P2 * uv_P2 * z_P[:, None]).sum())
    e = float((uv_P2 * uv_P2 * z_P[:, None]).sum())
    determinant = a * c - b * b
    if determinant <= 1e-12 * a * c:
        return math.nan
    return (b * d - a * e) / determinant


def _refine(
    xy_P2: Tensor, *, z_P: Tensor, uv_P2: Tensor, shift: float, lowest: float
) -> tuple[float, float, float]:
    """(cost, focal, shift) after Levenberg-Marquardt over both, z + shift kept positive."""

    def project(s: float) -> tuple[Tensor, float, float]:
        p_P2 = xy_P2 / (z_P[:, None] + s)
        square = float((p_P2 * p_P2).sum())
        focal = float((p_P2 * uv_P2).sum()) / square if square > 0 else math.nan
        return p_P2, focal, float(((focal * p_P2 - uv_P2) ** 2).sum())

    p_P2, focal, cost = project(shift)
    damping = 1e-4
    for _ in range(_ITERATIONS):
        slope_P2 = -focal * p_P2 / (z_P[:, None] + shift)  # of the residual, by the shift
        residual_P2 = focal * p_P2 - uv_P2
        pp, ps = float((p_P2 * p_P2).sum()), float((p_P2 * slope_P2).sum())
        ss = float((slope_P2 * slope_P2).sum()) - (ps * ps / pp if pp > 0 else 0.0)
        gradient = float((slope_P2 * residual_P2).sum())
        if not ss > 0 or not math.isfinite(ss):
            break
        step = -gradient / (ss * (1 + damping))
        if abs(step) < 1e-12 * (1 + abs(shift)):
            break
        trial = max(shift + step, 0.5 * (shift + lowest))  # half way to the wall at most
        trial_p_P2, trial_focal, trial_cost = project(trial)
        if trial_cost < cost:
            p_P2, focal, cost, shift = trial_p_P2, trial_focal, trial_cost, trial
            damping *= 0.3
        else:
            damping = 4 * damping + 1e-3
            if damping > 1e8:
                break
    return (cost if math.isfinite(cost) else math.inf), focal, shift
