"""The .sens file of a ScanNet scan, read frame by frame without loading it."""

from __future__ import annotations

import os
import struct
import zlib
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.data.store import Store
from nearfar.errors import DataError

_VERSION = 4
_COLORS = (1, 2)  # png, jpeg
_RAW, _ZLIB = 0, 1
_LARGEST = 1 << 28  # bytes of a photo or a depth map that can be true
_FRAME = struct.Struct("<64sQQQQ")  # pose, two time stamps, bytes of photo and of depth


class SensHeader(NamedTuple):
    """What stands before the frames. start: byte of the first one."""

    color_intrinsics_44: NDArray[np.float64]
    depth_intrinsics_44: NDArray[np.float64]
    depth_compression: int
    depth_size_hw: tuple[int, int]
    units_per_metre: float
    frames: int
    start: int


class SensFrame(NamedTuple):
    """One frame: an encoded photo, depth as stored [H,W] uint16, camera to world."""

    photo: bytes
    depth_HW: NDArray[np.uint16]
    pose_44: NDArray[np.float64]


def read_header(store: Store, name: str) -> SensHeader:
    """The header; DataError if it is no version 4 file."""
    where = store.where(name)
    with store.open(name) as file:
        version, length = struct.unpack("<IQ", _exactly(file, 12, where))
        if version != _VERSION or length > 4096:
            raise DataError(where, f"is not a .sens file of version {_VERSION}", "Get a fresh copy")
        _exactly(file, length, where)
        matrices = np.frombuffer(_exactly(file, 4 * 64, where), "<f4").reshape(4, 4, 4)
        numbers = struct.unpack("<iiIIIIfQ", _exactly(file, 36, where))
        start = file.tell()
        size = file.seek(0, os.SEEK_END)
    color, depth, _, _, width, height, shift, count = numbers
    if color not in _COLORS or depth not in (_RAW, _ZLIB) or not shift > 0:
        raise DataError(where, f"compression {color}, {depth} or depth unit {shift} is unknown")
    if count * _FRAME.size > size:
        raise DataError(where, f"is too small for {count} frames", "Get a fresh copy of the scan")
    return SensHeader(
        color_intrinsics_44=matrices[0].astype(np.float64),
        depth_intrinsics_44=matrices[2].astype(np.float64),
        depth_compression=depth,
        depth_size_hw=(height, width),
        units_per_metre=shift,
        frames=count,
        start=start,
    )


def frame_offsets(store: Store, name: str, header: SensHeader) -> list[int]:
    """The first byte of every frame, by reading the 96 bytes before each."""
    where, offsets, offset = store.where(name), [], header.start
    with store.open(name) as file:
        for number in range(header.frames):
            file.seek(offset)
            place = f"{where}: frame {number}"
            _, _, _, color, depth = _FRAME.unpack(_exactly(file, _FRAME.size, place))
            if max(color, depth) > _LARGEST:
                raise DataError(place, f"photo of {color} and depth of {depth} bytes")
            offsets.append(offset)
            offset += _FRAME.size + color + depth
    return offsets


def read_frame(store: Store, name: str, header: SensHeader, offset: int) -> SensFrame:
    """The frame that begins at a byte."""
    where = f"{store.where(name)}: byte {offset}"
    with store.open(name) as file:
        file.seek(offset)
        pose, _, _, color_bytes, depth_bytes = _FRAME.unpack(_exactly(file, _FRAME.size, where))
        photo, packed = (_exactly(file, size, where) for size in (color_bytes, depth_bytes))
    try:
        raw = zlib.decompress(packed) if header.depth_compression == _ZLIB else packed
        depth = np.frombuffer(raw, "<u2").reshape(header.depth_size_hw)
    except (zlib.error, ValueError) as error:
        raise DataError(
            where, f"depth is damaged ({error})", "Get a fresh copy of the scan"
        ) from error
    return SensFrame(photo, depth, np.frombuffer(pose, "<f4").reshape(4, 4).astype(np.float64))


def _exactly(file: BinaryIO, size: int, where: str) -> bytes:
    content = file.read(size)
    if len(content) != size:
        raise DataError(where, "the file ends early", "Get a fresh copy of the scan")
    return content
