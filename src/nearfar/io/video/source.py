"""Which clip a path means, and what identifies it for a resumed run."""

from __future__ import annotations

import hashlib
import os
from fractions import Fraction
from pathlib import Path

from nearfar.errors import InputError

from ..images import DEFAULT_MAX_PIXELS
from ..inputs import IMAGE_SUFFIXES, is_url
from .clip import Clip
from .folder import FolderClip, is_pattern
from .reader import VideoClip

FOLDER_RATE = Fraction(24)
_SAMPLE_BYTES = 1 << 20
_MOVING = frozenset({".avif", ".gif", ".heic", ".heif", ".webp"})  # may hold a clip


def open_clip(
    source: str | Path, *, rate: Fraction | None = None, max_pixels: int = DEFAULT_MAX_PIXELS
) -> Clip:
    """The clip of a video file, or of a folder or pattern of pictures (default 24 a second).

    InputError if it is missing, empty, without pictures or not decodable; ResourceError if its
    frames are larger than `max_pixels`.
    """
    path = Path(source)
    if is_url(str(source)) or str(source) == "-":
        raise InputError(source, "is not a file", "Save the video first")
    if path.is_dir() or (is_pattern(path) and not os.path.lexists(path)):
        return FolderClip(path, rate=rate or FOLDER_RATE, max_pixels=max_pixels)
    if not os.path.lexists(path):
        raise InputError(source, "no such file or folder", "Check the path")
    if not path.is_file():
        raise InputError(source, "is not a regular file", "Give a video or a folder of pictures")
    if path.suffix.lower() in IMAGE_SUFFIXES - _MOVING and not _is_moving_png(path):
        raise InputError(
            source,
            "is one picture, not a clip",
            "Use nearfar predict, or give its folder or a pattern like shot.%04d.png",
        )
    return VideoClip(path, identity=file_identity(path), max_pixels=max_pixels)


def _is_moving_png(path: Path) -> bool:
    """Whether a PNG is an animated one."""
    with open(path, "rb") as file:
        return b"acTL" in file.read(4096)


def file_identity(path: Path) -> str:
    """Hexadecimal sha256 of a file's size and its first and last MiB; InputError if it is empty."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            digest = hashlib.sha256(str(size).encode() + file.read(_SAMPLE_BYTES))
            file.seek(max(0, size - _SAMPLE_BYTES))
            digest.update(file.read(_SAMPLE_BYTES))
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror or error})") from error
    if not size:
        raise InputError(path, "is empty (0 bytes)", "Check the copy or download")
    return digest.hexdigest()
