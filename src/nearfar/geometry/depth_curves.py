"""Depth maps as images in -1..1 and back, by four curves (docs/nextscale.md section 1).

-1 is near, +1 far; unknown pixels and sky are +1. q(s): quantile over valid pixels, per image.

curve           image                                            without stats, decoded is
linear_q98      2 d / (q98(d) + 1e-7) - 1, DepthART: no shift    scale_invariant
linear          2 (d - q2) / (q98 - q2) - 1, as in Marigold      affine_depth
log             the same of ln(d + 1)                            affine_log_depth
sqrt_disparity  1 - 2 sqrt(q2(d) / d): +1 is infinitely far      scale_invariant

Clipped to -1..1: 2 % of the pixels saturate at every quantile that is used. sqrt_disparity has one
quantile where the others have two, because a map affine in sqrt(1/d) has no `DepthKind`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nearfar.errors import ConfigError

from .depth_space import HIGH_QUANTILE, LOW_QUANTILE, masked_quantile
from .resize import resize

KIND_OF_CURVE = {
    "linear_q98": "scale_invariant",
    "linear": "affine_depth",
    "log": "affine_log_depth",
    "sqrt_disparity": "scale_invariant",
}
CURVES = tuple(KIND_OF_CURVE)
_TINY = 1e-7
_SMALLEST_SPREAD = 1e-6
_FARTHEST = 1e4  # sqrt_disparity: the farthest that can come out, as a multiple of the nearest


class CurveStats(NamedTuple):
    """What ties an image to metres: value in the curve's space at -1 (low_B) and at +1 (high_B).

    Both are in metres for linear_q98 and linear, ln(metres + 1) for log; for sqrt_disparity they
    are 1/sqrt(metres), and high_B is 0.
    """

    low_B: Tensor
    high_B: Tensor


class DepthImage(NamedTuple):
    """image_B1HW: float32 in -1..1; an image without valid pixels is +1 everywhere."""

    image_B1HW: Tensor
    stats: CurveStats


class DecodedDepth(NamedTuple):
    """depth_BHW: larger = farther, float32; kind: a value of `DepthKind`."""

    depth_BHW: Tensor
    kind: str


def encode_depth(depth_BHW: Tensor, valid_BHW: Tensor, *, curve: str) -> DepthImage:
    """The image of maps in metres (positive where valid) and its stats."""
    _require(curve)
    depth_BHW = torch.where(valid_BHW, depth_BHW.float(), 1.0)
    space_BHW = _to_space(depth_BHW, curve)
    stats = _stats(space_BHW, valid_BHW, curve)
    low_B11, high_B11 = (value_B[:, None, None] for value_B in stats)
    image_BHW = 2 * (space_BHW - low_B11) / (high_B11 - low_B11) - 1
    image_BHW = torch.where(valid_BHW, image_BHW.clamp(-1, 1), 1.0)
    return DepthImage(image_BHW[:, None], stats)


def depth_image(depth_BHW: Tensor, valid_BHW: Tensor, *, curve: str) -> Tensor:
    """The image [B,1,H,W] of `encode_depth` alone."""
    return encode_depth(depth_BHW, valid_BHW, curve=curve).image_B1HW


def decode_depth(image_B1HW: Tensor, *, curve: str) -> DecodedDepth:
    """The map of an image whose stats are not known, as every prediction's: of the kind it states.

    (x + 1) / 2, clamped to 0..1; for sqrt_disparity (2 / (1 - x))^2, multiples of the near depth.
    """
    _require(curve)
    share_BHW = (image_B1HW[:, 0].float().clamp(-1, 1) + 1) / 2
    if curve == "sqrt_disparity":
        share_BHW = (1 - share_BHW).clamp_min(_FARTHEST**-0.5) ** -2
    return DecodedDepth(share_BHW, KIND_OF_CURVE[curve])


def decode_metres(image_B1HW: Tensor, stats: CurveStats, *, curve: str) -> Tensor:
    """Metres [B,H,W] of an image and the stats it was made with: the inverse of `encode_depth`."""
    _require(curve)
    share_BHW = (image_B1HW[:, 0].float().clamp(-1, 1) + 1) / 2
    low_B11, high_B11 = (value_B[:, None, None] for value_B in stats)
    if curve == "sqrt_disparity":
        share_BHW = share_BHW.clamp_max(1 - _FARTHEST**-0.5)
    return metres_of_space(low_B11 + (high_B11 - low_B11) * share_BHW, curve=curve)


def curve_space(depth: Tensor, *, curve: str) -> Tensor:
    """Metres (positive) in the space where the image is affine: d, ln(d + 1) or d^-1/2."""
    _require(curve)
    return _to_space(depth, curve)


def metres_of_space(value: Tensor, *, curve: str) -> Tensor:
    """Metres of a value in the curve's space; sqrt_disparity below 1e-4 counts as 1e-4."""
    if curve == "log":
        return torch.expm1(value)
    if curve == "sqrt_disparity":
        return value.clamp_min(1e-4) ** -2
    return value


def _to_space(depth: Tensor, curve: str) -> Tensor:
    if curve == "log":
        return torch.log1p(depth)
    if curve == "sqrt_disparity":
        return depth.clamp_min(_TINY).rsqrt()
    return depth


def _stats(space_BHW: Tensor, valid_BHW: Tensor, curve: str) -> CurveStats:
    value_BL, chosen_BL = space_BHW.flatten(1), valid_BHW.flatten(1)
    quantiles = (
        masked_quantile(value_BL, chosen_BL, share=share).nan_to_num(0.0)
        for share in (LOW_QUANTILE, HIGH_QUANTILE)
    )
    low_B, high_B = quantiles
    if curve == "sqrt_disparity":  # the nearest 2 % have the largest disparities
        return CurveStats(high_B.clamp_min(_SMALLEST_SPREAD), torch.zeros_like(high_B))
    if curve == "linear_q98":
        return CurveStats(torch.zeros_like(high_B), high_B + _TINY)
    return CurveStats(low_B, torch.maximum(high_B, low_B + _SMALLEST_SPREAD))


def _require(curve: str) -> None:
    if curve not in KIND_OF_CURVE:
        raise ConfigError("curve", f"unknown {curve!r}", f"Use one of {', '.join(CURVES)}")


def preview_depth(image_BCHW: Tensor, *, curve: str, size_hw: tuple[int, int]) -> Tensor:
    """ln(metres + 1) [B,H,W], up to scale and shift, of depth images, at another size."""
    depth_BHW, kind = decode_depth(image_BCHW.mean(dim=1, keepdim=True), curve=curve)
    depth_BHW = resize(depth_BHW, size_hw, method="bilinear")
    # the other kinds know no metres: as if the far end were at 10 m
    return depth_BHW if kind == "affine_log_depth" else torch.log1p(10 * depth_BHW)
