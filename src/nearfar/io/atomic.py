"""Files that are complete or absent: written under a temporary name, then moved into place."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nearfar.errors import NearfarError, OutputError


@contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """A temporary path in the target's folder; moved onto the target when the block succeeds.

    On any error, Ctrl-C included, the temporary file is removed and an older target stays as it
    was. OSErrors (full disk, no permission) become OutputError. The temporary name ends in .tmp,
    so writers must not choose a format by suffix.
    """
    target = Path(target)
    temporary = target.with_name(f".nearfar-{uuid.uuid4().hex[:12]}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        if isinstance(error, NearfarError):
            raise
        raise OutputError(
            target,
            f"cannot be written ({error.strerror or error})",
            "Free space or choose another output folder",
        ) from error
    finally:
        with suppress(OSError):  # moved already, or its folder is gone
            temporary.unlink()


def remove_leftovers(folder: str | Path) -> None:
    """Remove temporary files that a killed process left in a folder that nobody else writes to."""
    for path in Path(folder).glob(".nearfar-*.tmp"):
        with suppress(OSError):
            path.unlink()


def ensure_folder(folder: str | Path) -> Path:
    """The folder, made with its parents if needed; OutputError if it cannot be one."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            folder,
            f"cannot be created as a folder ({error.strerror or error})",
            "Choose another output",
        ) from error
    return folder
