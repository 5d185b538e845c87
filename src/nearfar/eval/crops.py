"""Boxes and masks of the evaluation protocols: which pixels count.

Spec evaluation.md section 1.1. A box acts on the mask (`box_mask`) or on image and truth
(`crop`); the protocol says which. Boxes are half open.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError

KB_HEIGHT, KB_WIDTH = 352, 1216
_DIODE_RANGE_M = (0.6, 350.0)
_DIODE_GRADIENT = 0.3


class Box(NamedTuple):
    """Rows top:bottom and columns left:right."""

    top: int
    bottom: int
    left: int
    right: int


def full_box(size_hw: tuple[int, int]) -> Box:
    """The whole image."""
    return Box(0, size_hw[0], 0, size_hw[1])


def eigen_box_nyu(size_hw: tuple[int, int]) -> Box:
    """[45:471, 41:601] of 480x640 (NYUv2)."""
    return _fixed(Box(45, 471, 41, 601), size_hw, (480, 640), "eigen_nyu")


def eigen_box_nyu_like(size_hw: tuple[int, int]) -> Box:
    """The NYUv2 box on 480x640, the whole image otherwise (SUN RGB-D, dar.md section 8)."""
    return eigen_box_nyu(size_hw) if tuple(size_hw) == (480, 640) else full_box(size_hw)


def kb_crop_box(size_hw: tuple[int, int]) -> Box:
    """KITTI benchmark crop 352x1216: bottom, centered, left = int((W - 1216) / 2)."""
    height, width = size_hw
    if height < KB_HEIGHT or width < KB_WIDTH:
        raise ConfigError("kb_crop", f"{height}x{width} is smaller than {KB_HEIGHT}x{KB_WIDTH}")
    left = (width - KB_WIDTH) // 2
    return Box(height - KB_HEIGHT, height, left, left + KB_WIDTH)


def garg_box(size_hw: tuple[int, int]) -> Box:
    """Garg's fractions of the given size, truncated (KITTI)."""
    return _fractions(size_hw, (0.40810811, 0.99189189), (0.03594771, 0.96405229))


def eigen_box_kitti(size_hw: tuple[int, int]) -> Box:
    """Eigen's fractions of the given size, truncated (KITTI)."""
    return _fractions(size_hw, (0.3324324, 0.91351351), (0.0359477, 0.96405229))


def border_box_8(size_hw: tuple[int, int]) -> Box:
    """All but 8 pixels on each side (NYUv2 of DepthART)."""
    return _inset(size_hw, 8, 8, "border_8")


def scannet_box(size_hw: tuple[int, int]) -> Box:
    """[8:-8, 11:-11], 464x618 of 480x640 (ScanNet clips)."""
    return _inset(size_hw, 8, 11, "scannet")


def kitti_video_box(size_hw: tuple[int, int]) -> Box:
    """[0:374, 0:1242] cut to the image (KITTI clips of Video Depth Anything)."""
    return Box(0, min(374, size_hw[0]), 0, min(1242, size_hw[1]))


BOXES: MappingProxyType[str, Callable[[tuple[int, int]], Box]] = MappingProxyType(
    {
        "full": full_box,
        "eigen_nyu": eigen_box_nyu,
        "eigen_nyu_like": eigen_box_nyu_like,
        "kb_crop": kb_crop_box,
        "garg": garg_box,
        "eigen_kitti": eigen_box_kitti,
        "border_8": border_box_8,
        "scannet": scannet_box,
        "kitti_video": kitti_video_box,
    }
)


def find_box(name: str, size_hw: tuple[int, int]) -> Box:
    """The box of this name for an image of this size."""
    if name not in BOXES:
        raise ConfigError("box", f"unknown box {name!r}", f"Use one of {', '.join(BOXES)}")
    return BOXES[name](size_hw)


def crop(values_HW: NDArray, box: Box) -> NDArray:
    """The part of [H,W,...] inside the box (a view)."""
    return values_HW[box.top : box.bottom, box.left : box.right]


def box_mask(size_hw: tuple[int, int], box: Box) -> NDArray[np.bool_]:
    """[H,W], True inside the box."""
    inside_HW = np.zeros(size_hw, np.bool_)
    crop(inside_HW, box)[:] = True
    return inside_HW


def range_mask(
    truth: NDArray,
    low: float,
    high: float,
    *,
    low_inclusive: bool = False,
    high_inclusive: bool = False,
) -> NDArray[np.bool_]:
    """Where low < truth < high (strict unless stated); NaN and infinity are never inside.

    Compared in the truth's own dtype: float32 0.001 is not above the limit 1e-3.
    """
    above = truth >= low if low_inclusive else truth > low
    below = truth <= high if high_inclusive else truth < high
    inside: NDArray[np.bool_] = above & below & np.isfinite(truth)
    return inside


def ppd_diode_mask(
    truth_HW: NDArray[np.float32], file_mask_HW: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """DIODE pixels that Pixel-Perfect Depth scores: 0.6 <= g <= 350 m away from depth edges.

    File mask set, and |sobel_0| + |sobel_1| <= 0.3 (ppd.md section 8).
    """
    low, high = _DIODE_RANGE_M
    inside_HW = range_mask(truth_HW, low, high, low_inclusive=True, high_inclusive=True)
    gentle_HW = sobel_magnitude(truth_HW) <= np.float32(_DIODE_GRADIENT)
    usable: NDArray[np.bool_] = file_mask_HW & inside_HW & gentle_HW
    return usable


def sobel_magnitude(depth_HW: NDArray[np.float32]) -> NDArray[np.float32]:
    """|sobel_0| + |sobel_1|, unnormalized 3x3, mirrored at the border (scipy.ndimage.sobel)."""
    padded = np.pad(depth_HW.astype(np.float64), 1, mode="symmetric")
    total_HW = np.zeros(depth_HW.shape, np.float32)
    for values in (padded, padded.T):
        step = (values[2:] - values[:-2]).astype(np.float32).astype(np.float64)
        smooth = (step[:, :-2] + 2 * step[:, 1:-1] + step[:, 2:]).astype(np.float32)
        total_HW += np.abs(smooth if values is padded else smooth.T)
    return total_HW


def _fractions(
    size_hw: tuple[int, int], rows: tuple[float, float], columns: tuple[float, float]
) -> Box:
    height, width = size_hw
    return Box(
        int(rows[0] * height),
        int(rows[1] * height),
        int(columns[0] * width),
        int(columns[1] * width),
    )


def _inset(size_hw: tuple[int, int], rows: int, columns: int, name: str) -> Box:
    height, width = size_hw
    if height <= 2 * rows or width <= 2 * columns:
        raise ConfigError(name, f"{height}x{width} is too small to lose its border")
    return Box(rows, height - rows, columns, width - columns)


def _fixed(box: Box, size_hw: tuple[int, int], wanted: tuple[int, int], name: str) -> Box:
    if tuple(size_hw) != wanted:
        raise ConfigError(
            name, f"the box is for {wanted[0]}x{wanted[1]}, not {size_hw[0]}x{size_hw[1]}"
        )
    return box
