"""The bytes of a file, a URL or standard input, never more than a limit."""

from __future__ import annotations

import stat
import sys
import urllib.error
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO

from nearfar.errors import InputError, ResourceError
from nearfar.web import open_url

from .inputs import is_url

MAX_FILE_BYTES = 1 << 30
MAX_DOWNLOAD_BYTES = 200 << 20
TIMEOUT_SECONDS = 30.0


def fetch_bytes(source: str | Path) -> bytes:
    """All bytes of a path, an http(s) URL, or '-' (standard input).

    InputError if it is missing, empty or no regular file; ResourceError beyond 1 GiB (200 MiB from
    the network, 30 s without an answer).
    """
    text = str(source)
    if text == "-":
        content = _limited(sys.stdin.buffer, MAX_FILE_BYTES, "standard input")
    elif is_url(text):
        content = _download(text)
    else:
        content = _from_file(Path(source))
    if not content:
        raise InputError(source, "is empty (0 bytes)", "Check the copy or download")
    return content


def _from_file(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise InputError(path, f"is {kind}", "Give an image file")
        with open(path, "rb") as file:
            return _limited(file, MAX_FILE_BYTES, path)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(path, "no such file", "Check the path") from error
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror or error})") from error
    except ValueError as error:  # a NUL inside the name
        raise InputError(path, f"is not a valid path ({error})") from error


def _download(url: str) -> bytes:
    try:
        with open_url(url, timeout_s=TIMEOUT_SECONDS) as answer:
            return _limited(answer, MAX_DOWNLOAD_BYTES, url)
    except urllib.error.HTTPError as error:
        raise InputError(url, f"the server answered {error.code} {error.reason}") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(url, f"cannot be fetched ({reason})", "Check the network") from error


def _limited(file: BinaryIO, limit: int, where: object) -> bytes:
    content = file.read(limit + 1)
    if len(content) > limit:
        raise ResourceError(where, f"is larger than {limit >> 20} MiB", "Make it smaller")
    return content
