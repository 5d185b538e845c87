"""Getting a released file: from the model hub or an address, with progress, into the cache.

The hub's own client shows progress and resumes broken downloads; what it leaves is moved under the
entry's file name. Nothing is downloaded at import, nor twice. Where the registry pins no digest,
the first download does: its sha256 and revision are kept beside the file, later ones must equal it.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from textwrap import shorten

from nearfar.errors import OutputError, WeightsError
from nearfar.family import WeightsEntry
from nearfar.web import open_url

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
    first = _first_download(entry)
    if entry.url is not None:
        part = _from_address(entry, entry.url, progress)
    elif entry.hub_repo is not None:
        part = _from_hub(entry, entry.hub_repo, revision=first.get("revision"))
    else:
        raise WeightsError(entry.name, "has no address to download from", _by_hand(entry))
    sha256 = require_sha256(part, entry.sha256)
    if first.get("sha256", sha256) != sha256:
        raise WeightsError(
            entry.name,
            f"its source gives another file (sha256 {sha256[:12]}...) than at the first download "
            f"({first['sha256'][:12]}...)",
            f"Ask why; if the change is meant, remove {origin_file(entry)}",
        )
    source = entry.url or f"{entry.hub_repo}/{entry.hub_file or entry.file}"
    found = {"source": source, "revision": _revision_of(entry), "sha256": sha256}
    if not first:
        origin_file(entry).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    os.replace(part, target)
    shutil.rmtree(_downloads(entry), ignore_errors=True)
    return target


def origin_file(entry: WeightsEntry) -> Path:
    """What the first download of the entry was: JSON with source, revision and sha256."""
    return weights_folder() / f"{entry.file}.origin.json"


def _first_download(entry: WeightsEntry) -> dict[str, str]:
    """What `origin_file` says; empty before the first download."""
    path = origin_file(entry)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(key): str(value) for key, value in found.items() if value}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise WeightsError(path, f"is damaged ({error})", "Remove it to download anew") from error


def _revision_of(entry: WeightsEntry) -> str:
    """The commit that the hub's client notes beside its download; empty if it notes none."""
    name = entry.hub_file or entry.file
    noted = _downloads(entry) / ".cache" / "huggingface" / "download" / f"{name}.metadata"
    return noted.read_text(encoding="utf-8").split("\n")[0] if noted.is_file() else ""


def _from_hub(entry: WeightsEntry, repo: str, *, revision: str | None) -> Path:
    """Download with the hub's client into a folder beside the target."""
    import huggingface_hub

    endpoint = str(huggingface_hub.constants.ENDPOINT)
    if not endpoint.startswith("https://") and entry.sha256 is None:
        raise WeightsError(entry.name, f"{endpoint} is not https and its content not pinned")

    download = huggingface_hub.hf_hub_download  # loads the client, which sets its log level
    client = logging.getLogger("huggingface_hub")
    level = client.level
    client.setLevel(logging.ERROR)  # its lines about every retry; our one message comes after
    log.info("%s: downloading %s from %s", entry.name, entry.hub_file or entry.file, repo)
    try:
        name = entry.hub_file or entry.file
        if revision is None:  # the newest, which becomes the one of this machine
            return Path(download(repo, name, local_dir=_downloads(entry)))
        return Path(download(repo, name, local_dir=_downloads(entry), revision=revision))
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
            open_url(url, timeout_s=_TIMEOUT_S) as response,
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
