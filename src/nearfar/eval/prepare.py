"""One image made ready as its protocol says: photo for the network, truth, scored pixels, camera.

Order of a protocol: crop, warp or resize of photo and truth, then the mask's terms on the truth's
grid (spec evaluation.md sections 1.1 and 2).
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.data.record import DepthRecord
from nearfar.errors import ConfigError, DataError

from .crops import Box, box_mask, crop, find_box, full_box, range_mask, sobel_magnitude
from .parts import ImagePart, MaskPart, TruthPart
from .protocol import Protocol


class Case(NamedTuple):
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


def prepare(record: DepthRecord, protocol: Protocol) -> Case:
    """The record under the protocol's preprocessing; DataError where they do not fit."""
    truth_HW = _truth_map(record, protocol.truth.map)
    views = _Views(record.rgb_HW3, truth_HW, truth_HW > 0, record.intrinsics_33)
    if protocol.image.warp == "moge":
        views = _warped(views, record.sample_id, protocol.image)
    else:
        views = _cut_and_resized(views, protocol.image, protocol.truth)
    scored_HW = _scored(views, record, protocol.mask)
    return Case(
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
        raise DataError(record.sample_id, f"truth is {record.depth_kind}, protocols need metres")
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
