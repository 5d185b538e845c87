"""Getting a released file: from the model hub or an address, with progress, into the cache.

The hub's own client shows progress and resumes broken downloads; what it leaves is moved under the
entry's file name. Nothing is downloaded at import, nor twice.
"""

from __future__ import annotations

import logging
import os
import shutil
import urllib.request
from collections.abc import Callable
from pathlib import Path
from textwrap import shorten

from nearfar.errors import OutputError, WeightsError
from nearfar.family import WeightsEntry

from .registry import weights_folder
from .safe import require_sha256

log = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all if known
_CHUNK = 1 << 20
_TIMEOUT_S = 30


def fetch(entry: WeightsEntry, *, progress: Progress | None = None) -> Path:
    """The entry's released file in the cache folder; WeightsError says how to go on offline.

    `progress` is called for plain addresses; hub downloads draw their own bar on stderr.
    """
    target = weights_folder() / entry.file
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(target.parent, f"cannot be made ({error.strerror})") from error
    if entry.url is not None:
        part = _from_address(entry, entry.url, progress)
    elif entry.hub_repo is not None:
        part = _from_hub(entry, entry.hub_repo)
    else:
        raise WeightsError(entry.name, "has no address to download from", _by_hand(entry))
    require_sha256(part, entry.sha256)
    os.replace(part, target)
    shutil.rmtree(_downloads(entry), ignore_errors=True)
    return target


def _from_hub(entry: WeightsEntry, repo: str) -> Path:
    """Download with the hub's client into a folder beside the target."""
    import huggingface_hub

    download = huggingface_hub.hf_hub_download  # loads the client, which sets its log level
    client = logging.getLogger("huggingface_hub")
    level = client.level
    client.setLevel(logging.ERROR)  # its lines about every retry; our one message comes after
    log.info("%s: downloading %s from %s", entry.name, entry.hub_file or entry.file, repo)
    try:
        return Path(download(repo, entry.hub_file or entry.file, local_dir=_downloads(entry)))
    except OSError as error:  # the client's errors of network, offline mode, missing and gated
        raise _no_download(entry, f"hub repository {repo}", error) from error
    finally:
        client.setLevel(level)


def _from_address(entry: WeightsEntry, url: str, progress: Progress | None) -> Path:
    """Download an address; plain http only where the content is pinned by its sha256."""
    if not url.startswith("https://") and entry.sha256 is None:
        raise WeightsError(entry.name, f"{url} is not https and its content not pinned")
    part = _downloads(entry) / entry.file
    part.parent.mkdir(parents=True, exist_ok=True)
    done = 0
    try:
        with (
            urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response,
            part.open("wb") as stream,
        ):
            length = response.headers.get("Content-Length")
            total = int(length) if length else None
            while chunk := response.read(_CHUNK):
                stream.write(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done, total)
    except (OSError, ValueError) as error:
        raise _no_download(entry, url, error) from error
    if total is not None and done != total:
        raise WeightsError(entry.name, f"the download broke off at {done} of {total} bytes")
    return part


def _downloads(entry: WeightsEntry) -> Path:
    """Where unfinished downloads of the entry wait to be resumed."""
    return weights_folder() / "downloads" / entry.name


def _no_download(entry: WeightsEntry, source: str, error: Exception) -> WeightsError:
    error = error.__cause__ if isinstance(error.__cause__, Exception) else error
    reason = shorten(str(error) or type(error).__name__, width=120, placeholder=" ...").rstrip(".")
    return WeightsError(entry.name, f"no download from {source} ({reason})", _by_hand(entry))


def _by_hand(entry: WeightsEntry) -> str:
    target = weights_folder() / entry.file
    return f"Get {entry.hub_file or entry.file} elsewhere and put it at {target}, or pass its path"
