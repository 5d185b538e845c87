"""Resizing of tensors as OpenCV does it, and the size a photo gets inside a network.

Every method is separable: output row i is a weighted sum of a few input rows (its taps). Pixel
centers are at +0.5 (OpenCV's and torch's align_corners=False convention); rows beyond the border
repeat the last one. Released PPD code (docs/ppd.md section 3) uses these cv2 methods on 8-bit
photos; here values stay float32, so they differ from it by rounding only (half a grey level).
`bicubic_antialias` is Pillow's bicubic instead (a = -0.5, wider where it shrinks).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.errors import ConfigError

ResizeMethod = Literal["nearest", "bilinear", "bicubic", "area", "bicubic_antialias"]
CUBIC_A = -0.75


class Taps(NamedTuple):
    """index_LK: the input rows of each output row; weight_LK float32: their weights, sum 1."""

    index_LK: Tensor
    weight_LK: Tensor


def network_size(height: int, width: int, *, area: int, multiple: int = 16) -> tuple[int, int]:
    """(height, width) near `area` pixels with the photo's aspect, in multiples (docs/ppd.md 3).

    new side = max(multiple, multiple * round(side * s / multiple)), s = sqrt(area / (h0 * w0)).
    Beyond the released code: the longer side is cut so that the product stays within twice the
    area, which only bites for photos more elongated than about 190:1.
    """
    if min(height, width, area, multiple) < 1:
        raise ConfigError("network_size", f"{height}x{width}, area {area}, multiple {multiple}")
    scale = math.sqrt(area / (height * width))
    sides = [max(multiple, multiple * round(n * scale / multiple)) for n in (height, width)]
    longest = max(multiple, 2 * area // min(sides) // multiple * multiple)
    return min(sides[0], longest), min(sides[1], longest)


def resize(x: Tensor, size_hw: tuple[int, int], *, method: ResizeMethod) -> Tensor:
    """The map(s) [..., H, W] at another size, float32 (nearest keeps the dtype).

    area = mean over the exact box of each output pixel when both sides shrink; as in OpenCV, a
    side that grows makes it a bilinear blend confined to the pixel's box. bicubic_antialias takes
    [B,C,H,W] only.
    """
    if method not in get_args(ResizeMethod):
        raise ConfigError("resize", f"unknown method {method!r}", f"Use {get_args(ResizeMethod)}")
    if method == "nearest":
        rows, columns = (_nearest_index(n, m, x) for n, m in zip(x.shape[-2:], size_hw))
        return x[..., rows[:, None], columns]
    if method == "bicubic_antialias":
        return F.interpolate(x.float(), size=size_hw, mode="bicubic", antialias=True)
    maker = _TAPS[method]
    if method == "area" and (size_hw[0] > x.shape[-2] or size_hw[1] > x.shape[-1]):
        maker = _box_blend_taps
    x = x.float()
    for axis, size in ((-2, size_hw[0]), (-1, size_hw[1])):
        if size != x.shape[axis]:
            x = _apply(x, maker(x.shape[axis], size), axis)
    return x


def photo_to_network(image_3HW: Tensor, *, area: int, multiple: int) -> Tensor:
    """The photo at its network size, float32 0..1: area when it shrinks, bicubic when it grows."""
    height, width = image_3HW.shape[-2:]
    size_hw = network_size(height, width, area=area, multiple=multiple)
    method: ResizeMethod = "area" if area < height * width else "bicubic"
    return resize(image_3HW, size_hw, method=method).clamp(0, 1)


def _apply(x: Tensor, taps: Taps, axis: int) -> Tensor:
    """Weighted sum of index-selected slices along the axis, one tap at a time (bounded memory)."""
    shape = [1] * x.ndim
    shape[axis] = -1
    out: Tensor | None = None
    for index_L, weight_L in zip(taps.index_LK.unbind(1), taps.weight_LK.unbind(1)):
        part = x.index_select(axis, index_L.to(x.device))
        weight = weight_L.to(x.device).view(shape)
        out = part.mul_(weight) if out is None else out.addcmul_(part, weight)
    assert out is not None
    return out


def _nearest_index(size_in: int, size_out: int, like: Tensor) -> Tensor:
    """floor(i * in / out), exact in integers."""
    return torch.arange(size_out, device=like.device) * size_in // size_out


def _centers(size_in: int, size_out: int) -> Tensor:
    """Position of every output center on the input's index axis, float64."""
    return (torch.arange(size_out, dtype=torch.float64) + 0.5) * (size_in / size_out) - 0.5


def _linear_taps(size_in: int, size_out: int) -> Taps:
    center_L = _centers(size_in, size_out)
    share_L = center_L - center_L.floor()
    index_LK = center_L.floor().long()[:, None] + torch.arange(2)
    weight_LK = torch.stack([1 - share_L, share_L], dim=1)
    return Taps(index_LK.clamp(0, size_in - 1), weight_LK.float())


def _cubic_taps(size_in: int, size_out: int) -> Taps:
    """Keys' cubic convolution with a = -0.75."""
    center_L = _centers(size_in, size_out)
    index_LK = center_L.floor().long()[:, None] + torch.arange(-1, 3)
    distance_LK = (center_L[:, None] - index_LK).abs()
    near_LK = ((CUBIC_A + 2) * distance_LK - (CUBIC_A + 3)) * distance_LK**2 + 1
    far_LK = CUBIC_A * (((distance_LK - 5) * distance_LK + 8) * distance_LK - 4)
    weight_LK = torch.where(distance_LK <= 1, near_LK, far_LK)
    return Taps(index_LK.clamp(0, size_in - 1), weight_LK.float())


def _area_taps(size_in: int, size_out: int) -> Taps:
    """Overlap of every output box with the input pixels, divided by the box."""
    ratio = size_in / size_out
    start_L = torch.arange(size_out, dtype=torch.float64) * ratio
    count = math.ceil(ratio) + 1
    index_LK = start_L.floor().long()[:, None] + torch.arange(count)
    left_LK = torch.maximum(index_LK.double(), start_L[:, None])
    right_LK = torch.minimum(index_LK.double() + 1, start_L[:, None] + ratio)
    weight_LK = (right_LK - left_LK).clamp_min(0) / ratio
    weight_LK /= weight_LK.sum(dim=1, keepdim=True)
    return Taps(index_LK.clamp(0, size_in - 1), weight_LK.float())


def _box_blend_taps(size_in: int, size_out: int) -> Taps:
    """OpenCV's area method when a side grows: blend only where a box crosses a pixel border."""
    position_L = torch.arange(size_out, dtype=torch.float64)
    first_L = (position_L * (size_in / size_out)).floor()
    share_L = (position_L + 1) - (first_L + 1) * (size_out / size_in)
    share_L = torch.where(share_L <= 0, 0.0, share_L - share_L.floor())
    index_LK = first_L.long()[:, None] + torch.arange(2)
    weight_LK = torch.stack([1 - share_L, share_L], dim=1)
    return Taps(index_LK.clamp(0, size_in - 1), weight_LK.float())


_TAPS: dict[str, Callable[[int, int], Taps]] = {
    "bilinear": _linear_taps,
    "bicubic": _cubic_taps,
    "area": _area_taps,
}
