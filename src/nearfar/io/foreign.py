"""What a file that is no photo we read calls itself, so that the refusal can name it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

_DEVELOP = "Develop it to JPEG or 16-bit TIFF"
_EXPORT = "Export it as PNG or JPEG"
_VIDEO = "Use nearfar video"
_ARRAY = "In Python, load it and give the array"
_FETCH = "Download the file itself"
_RAW_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3fr", "arw", "cr2", "cr3", "crw", "dcr", "dng", "erf", "fff", "iiq", "kdc", "mef"),
        *("mrw", "nef", "nrw", "orf", "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw"),
        "x3f",
    )
)
_BEGINNINGS = (
    (b"FUJIFILMCCD-RAW", "a camera RAW file", _DEVELOP),
    (b"IIRO", "a camera RAW file", _DEVELOP),
    (b"IIU\0", "a camera RAW file", _DEVELOP),
    (b"FOVb", "a camera RAW file", _DEVELOP),
    (b"\xff\x0a", "JPEG XL", _EXPORT),
    (b"\0\0\0\x0cJXL ", "JPEG XL", _EXPORT),
    (b"%PDF", "a PDF document", _EXPORT),
    (b"8BPS", "a Photoshop document", _EXPORT),
    (b"gimp xcf", "a GIMP document", _EXPORT),
    (b"\x93NUMPY", "a NumPy array", _ARRAY),
    (b"PK\x03\x04", "a zip archive", "Unpack it first"),
    (b"\x1a\x45\xdf\xa3", "a Matroska or WebM video", _VIDEO),
    (b"version https://git-lfs", "a Git LFS pointer", "Run git lfs pull"),
)
_SVG_WITHIN, _TS_STEP = 1024, 188


class Foreign(NamedTuple):
    """name: with its article. remedy: what to do instead."""

    name: str
    remedy: str


def name_of(content: bytes, where: str) -> Foreign | None:
    """What kind of file these bytes are, None if nothing is known of it."""
    if is_raw_name(where) or content[8:11] == b"CR\x02" or content[4:11] == b"ftypcrx":
        return Foreign("a camera RAW file", _DEVELOP)
    for beginning, name, remedy in _BEGINNINGS:
        if content.startswith(beginning):
            return Foreign(name, remedy)
    is_riff = content[:4] == b"RIFF" and content[8:12] == b"AVI "
    is_ts = content[:1] == b"G" and content[_TS_STEP : _TS_STEP + 1] == b"G"
    if content[4:8] in (b"ftyp", b"moov", b"mdat") or is_riff or is_ts:
        return Foreign("a video", _VIDEO)
    head = content[:_SVG_WITHIN].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<svg", b"<?xml")) and b"<svg" in head:
        return Foreign("an SVG drawing", _EXPORT)
    if head.startswith((b"<!doctype html", b"<html")):
        return Foreign("a web page", _FETCH)
    return None


def is_raw_name(where: str) -> bool:
    """Whether a path or URL ends like a camera's RAW files."""
    path = urlsplit(where).path if "://" in where else where
    return Path(path).suffix.lower() in _RAW_SUFFIXES
