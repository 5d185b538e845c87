"""One image made ready as its protocol says: photo for the network, truth, scored pixels, camera.

Order of a protocol: crop, warp or resize of photo and truth, then the mask's terms on the truth's
grid (docs/evaluation.md, "Boxes and masks"). A box acts on the mask (`box_mask`) or on image and
truth (`crop`); the protocol says which. Boxes are half open.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.data.record import DepthRecord
from nearfar.errors import ConfigError, DataError

from .protocol import ImagePart, MaskPart, Protocol, TruthPart

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
    """The NYUv2 box on 480x640, the whole image otherwise (SUN RGB-D)."""
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

    File mask set, and |sobel_0| + |sobel_1| <= 0.3 (docs/evaluation.md, "Boxes and masks").
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
        raise ConfigError(name, f"{height}x{width} is too small for this crop")
    return Box(rows, height - rows, columns, width - columns)


def _fixed(box: Box, size_hw: tuple[int, int], wanted: tuple[int, int], name: str) -> Box:
    if tuple(size_hw) != wanted:
        raise ConfigError(
            name, f"the box is for {wanted[0]}x{wanted[1]}, not {size_hw[0]}x{size_hw[1]}"
        )
    return box


class PreparedSample(NamedTuple):
    """rgb_HW3: what the network sees. truth_HW: metres, 0 unknown; known_HW: where it is known.

    scored_HW: known pixels that the protocol scores. intrinsics_33: of the truth's grid.
    """

    record: DepthRecord
    rgb_HW3: NDArray[np.uint8]
    truth_HW: NDArray[np.float32]
    known_HW: NDArray[np.bool_]
    scored_HW: NDArray[np.bool_]
    intrinsics_33: NDArray[np.float64] | None


class _Views(NamedTuple):
    rgb_HW3: NDArray[np.uint8]
    truth_HW: NDArray[np.float32]
    known_HW: NDArray[np.bool_]
    intrinsics_33: NDArray[np.float64] | None


def prepare(record: DepthRecord, protocol: Protocol) -> PreparedSample:
    """The record under the protocol's preprocessing; DataError where they do not fit."""
    truth_HW = _truth_map(record, protocol.truth.map)
    views = _Views(record.rgb_HW3, truth_HW, truth_HW > 0, record.intrinsics_33)
    if protocol.image.warp == "moge":
        views = _warped(views, record.sample_id, protocol.image)
    else:
        views = _cut_and_resized(views, protocol.image, protocol.truth)
    scored_HW = _scored(views, record, protocol.mask)
    return PreparedSample(
        record,
        views.rgb_HW3,
        views.truth_HW,
        views.known_HW,
        scored_HW,
        views.intrinsics_33,
    )


def data_hash(record: DepthRecord) -> str:
    """First 16 digits of SHA-256 over photo, depth and mask as decoded."""
    digest = hashlib.sha256()
    for array in (record.rgb_HW3, record.depth_HW, record.valid_HW):
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def _truth_map(record: DepthRecord, which: str) -> NDArray[np.float32]:
    if record.depth_kind not in ("metric", "ordinal", "scale"):
        raise DataError(
            record.sample_id, f"truth is {record.depth_kind}; protocols need metric depth"
        )
    if which == "filled":
        if record.filled_HW is None:
            raise DataError(record.sample_id, "has no filled depth", "Use truth.map = depth")
        return record.filled_HW
    return np.where(record.valid_HW, record.depth_HW, np.float32(0))


def _cut_and_resized(views: _Views, image: ImagePart, truth: TruthPart) -> _Views:
    rgb_HW3 = crop(views.rgb_HW3, _box(image.crop, views.rgb_HW3.shape))
    rgb_HW3 = resize_photo(rgb_HW3, image)
    box = _box(truth.crop, views.truth_HW.shape)
    truth_HW, known_HW = crop(views.truth_HW, box), crop(views.known_HW, box)
    intrinsics_33 = views.intrinsics_33
    if intrinsics_33 is not None:
        intrinsics_33 = intrinsics_33.copy()
        intrinsics_33[:2, 2] -= (box.left, box.top)
    if truth.resize == "nearest":
        height, width = truth.size
        scale = np.diag([width / truth_HW.shape[1], height / truth_HW.shape[0], 1.0])
        truth_HW, known_HW = (nearest(a, (height, width)) for a in (truth_HW, known_HW))
        intrinsics_33 = None if intrinsics_33 is None else scale @ intrinsics_33
    elif truth.resize != "none":
        raise ConfigError("truth.resize", f"unknown: {truth.resize!r}", "Use none or nearest")
    return _Views(rgb_HW3, truth_HW, known_HW, intrinsics_33)


def _warped(views: _Views, sample_id: str, image: ImagePart) -> _Views:
    from .warp import moge_warp

    if views.intrinsics_33 is None:
        raise DataError(sample_id, "has no camera; the warp of MoGe's protocols needs one")
    height, width = image.size
    warped = moge_warp(
        views.rgb_HW3, views.truth_HW, views.known_HW, views.intrinsics_33, size_hw=(height, width)
    )
    return _Views(
        warped.rgb_HW3,
        np.where(warped.valid_HW, warped.depth_HW, 0).astype(np.float32),
        warped.valid_HW,
        warped.intrinsics_33,
    )


def resize_photo(rgb_HW3: NDArray[np.uint8], image: ImagePart) -> NDArray[np.uint8]:
    """The photo at the size the protocol gives the network, rounded to 8 bits."""
    if image.resize == "none":
        return np.ascontiguousarray(rgb_HW3)
    height, width = rgb_HW3.shape[:2]
    if image.resize == "size":
        size_hw = (image.size[0], image.size[1])
    elif image.resize == "long_side":
        shrink = image.size[0] / max(height, width)
        size_hw = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    else:
        raise ConfigError("image.resize", f"unknown: {image.resize!r}", "Use none, size, long_side")
    if size_hw == (height, width):
        return np.ascontiguousarray(rgb_HW3)
    planes = rgb_HW3.astype(np.float64).transpose(2, 0, 1)
    out = interpolate(planes, size_hw, image.interpolation, antialias=image.antialias)
    return np.ascontiguousarray(out.round().clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


def interpolate(
    maps: NDArray[np.float64],
    size_hw: tuple[int, int],
    method: str,
    *,
    antialias: bool = False,
    align_corners: bool = False,
) -> NDArray[np.float64]:
    """Map(s) [..., H, W] at another size: nearest, bilinear, bicubic or area."""
    import torch

    from nearfar.geometry.resize import resize

    if method not in ("nearest", "bilinear", "bicubic", "area"):
        raise ConfigError("interpolation", f"unknown: {method!r}")
    if tuple(maps.shape[-2:]) == tuple(size_hw):
        return maps
    if method == "nearest":
        return nearest(maps, size_hw)
    tensor = torch.from_numpy(np.ascontiguousarray(maps))
    if method == "area":
        return resize(tensor, size_hw, method="area").double().numpy()
    flat = tensor.reshape(1, -1, *tensor.shape[-2:])
    out = torch.nn.functional.interpolate(
        flat, size=size_hw, mode=method, antialias=antialias, align_corners=align_corners
    )
    return out.reshape(*maps.shape[:-2], *size_hw).numpy()


def nearest(maps: NDArray, size_hw: tuple[int, int]) -> NDArray:
    """Map(s) [..., H, W] at another size: row floor(i * in / out), as OpenCV's nearest."""
    rows, columns = (
        np.arange(out) * size // out for size, out in zip(maps.shape[-2:], size_hw, strict=True)
    )
    return maps[..., rows[:, None], columns]


def _scored(views: _Views, record: DepthRecord, mask: MaskPart) -> NDArray[np.bool_]:
    """Pixels that pass every term of the protocol's mask."""
    truth_HW = views.truth_HW
    scored_HW = np.ones(truth_HW.shape, np.bool_)
    for term in mask.terms:
        name, _, value = term.partition(":")
        if name == "file":
            scored_HW &= views.known_HW
        elif name == "range":
            low = -np.inf if isinstance(mask.min, str) else mask.min
            high = np.inf if isinstance(mask.max, str) else mask.max
            scored_HW &= range_mask(
                truth_HW,
                low,
                high,
                low_inclusive=not mask.is_min_open,
                high_inclusive=not mask.is_max_open,
            )
        elif name == "box":
            scored_HW &= box_mask(truth_HW.shape, _box(value, truth_HW.shape))
        elif name == "sobel":
            scored_HW &= sobel_magnitude(truth_HW) <= np.float32(float(value))
        elif name == "mask" and value in record.masks:
            scored_HW &= record.masks[value]
        elif name == "mask":
            raise DataError(record.sample_id, f"has no mask {value!r}")
        else:
            raise ConfigError("mask.terms", f"unknown: {term!r}")
    return scored_HW


def _box(name: str, size_hw: tuple[int, ...]) -> Box:
    """The box of a name for this size; `none` is everything."""
    size = (size_hw[0], size_hw[1])
    return full_box(size) if name == "none" else find_box(name, size)
