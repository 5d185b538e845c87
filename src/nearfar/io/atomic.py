"""Files that are complete or absent, and folders that one process has alone.

A file is written under a temporary name that says whose it is, then moved into place. What a killed
process left is known by its owner, or by its age, and removed at the next start.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nearfar.errors import NearfarError, OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PREFIX, _END = ".nearfar-", ".tmp"
_FORGOTTEN_S = 86400.0  # age at which what cannot be told by its owner is nobody's any more


@contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """A temporary path in the target's folder; moved onto the target when the block succeeds.

    On any error, Ctrl-C included, the temporary file is removed and an older target stays as it
    was. OSErrors (full disk, no permission) become OutputError. The temporary name ends in .tmp,
    so writers must not choose a format by suffix.
    """
    target = Path(target)
    mark = f"{_host()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
    temporary = target.with_name(f"{_PREFIX}{mark}{_END}")
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


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Whether this process has an existing file or folder alone, until the block ends.

    A process that was killed holds nothing. True also where the system has no such locks (Windows,
    some network disks); False if there is nothing at the path.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY) if fcntl is not None else None
    except OSError:
        yield False
        return
    try:
        yield descriptor is None or _locks(path, descriptor)
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def staging(folder: Path, name: str) -> Iterator[Path | None]:
    """An empty hidden folder inside `folder` for files of that name; removed when the block ends.

    None while another process has it: whoever gets it is the only one who works on that name.
    """
    path = folder / f"{_PREFIX}{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(folder, f"cannot be written to ({error.strerror})") from error
    with held(path) as is_ours:
        if not is_ours:
            yield None
            return
        try:
            _clear(path)
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def told_of_place(fault: NearfarError, stage: Path, place: Path) -> NearfarError:
    """The same error with the place of a file instead of where it was made."""
    where = fault.where.replace(str(stage), str(place))
    return type(fault)(where, fault.finding, fault.remedy)


def remove_leftovers(folder: str | Path) -> None:
    """Remove what killed processes left in a folder: temporary files and staging folders.

    Those of a process that still runs stay; of another machine's, what is younger than a day.
    """
    for path in Path(folder).glob(f"{_PREFIX}*"):
        if path.is_dir() and not path.is_symlink():
            with held(path) as is_free:
                if is_free and (fcntl is not None or _is_old(path)):
                    shutil.rmtree(path, ignore_errors=True)
        elif path.name.endswith(_END) and _is_abandoned(path):
            with suppress(OSError):
                path.unlink()


def _locks(path: Path, descriptor: int) -> bool:
    """Whether the open path is locked now and still is what has that name."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a disk without locks
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False  # its owner removed it meanwhile


def _clear(folder: Path) -> None:
    """Remove all that is in a folder."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    """Whether the process in a temporary file's name is gone, or the file is old."""
    host, _, rest = path.name.removeprefix(_PREFIX).partition("-")
    number = rest.partition("-")[0]
    if host == _host() and number.isdigit() and os.name == "posix":
        try:
            os.kill(int(number), 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            pass  # another user's process: it runs
    return _is_old(path)


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > _FORGOTTEN_S
    except OSError:
        return False


def _host() -> str:
    """A word for this machine in names of files."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


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
