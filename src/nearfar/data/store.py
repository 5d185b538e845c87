"""Where the files of a dataset lie: a folder, a tar, a zip, or a folder with archives in it.

Names are relative, with '/'. A leading '/' or './', double slashes and '\\' are tolerated, in the
question and inside archives. No file stays open between two reads, so a store can be pickled,
forked and read from threads; the index of an archive is made once and travels with the pickle.
"""

from __future__ import annotations

import gzip
import io
import logging
import os
import struct
import tarfile
import zipfile
import zlib
from bisect import bisect_left
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from nearfar.errors import DataError
from nearfar.io.walk import walk_files

_LOG = logging.getLogger(__name__)

TAR_SUFFIXES = (".tar",)
PACKED_TAR_SUFFIXES = (".tar.gz", ".tgz")
ARCHIVE_SUFFIXES = (*TAR_SUFFIXES, *PACKED_TAR_SUFFIXES, ".zip")
LARGEST_PACKED_TAR = 64 << 20  # bytes; larger ones would be unpacked again for every read
LARGEST_UNPACKED = 512 << 20  # bytes of one file of a zip, or of a whole .tar.gz, in memory
_PIECE = 1 << 20
_ZIP_LOCAL_HEADER = struct.Struct("<4s22xHH")
_READ_ERRORS = (
    *(OSError, EOFError, ValueError, OverflowError, struct.error, NotImplementedError),
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error),
)


class Member(NamedTuple):
    """Where the bytes of one file lie inside an archive."""

    archive: str  # path of the archive
    offset: int  # tar: of the bytes; zip: of the local header
    size: int  # bytes as stored in the archive
    method: int  # -1 in a tar, else the compression method of the zip
    crc: int = 0
    unpacked: int = 0  # bytes of a zip's file as the zip states them


def clean_name(name: str) -> str:
    """The name as stores keep it: '/' between parts, no leading '/' or './', nothing doubled."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if ".." in parts:
        raise DataError(name, "leaves the dataset folder", "Write paths without '..'")
    return "/".join(parts)


def open_store(root: str | Path) -> Store:
    """The store of a folder, .tar, .tar.gz, .tgz or .zip; DataError if there is none."""
    path = Path(root)
    if path.is_dir() or (path.is_file() and _is_archive(path.name)):
        return Store(path)
    finding = "is neither a folder nor a tar or zip" if path.exists() else "no such folder or file"
    raise DataError(root, finding, "Give the folder of the dataset")


class Store:
    """Reads files by name below `root`; files on disk come before those of archives beside them."""

    def __init__(self, root: Path, *, prefix: str = "") -> None:
        self.root = root
        self._prefix = prefix  # always '' or ends with '/'
        self._members: dict[str, Member] | None = None
        self._names: list[str] | None = None
        self._unpacked: dict[str, bytes] = {}  # contents of small .tar.gz

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_unpacked": {}}

    def within(self, folder: str) -> Store:
        """The store of a folder inside this one."""
        inner = Store(self.root, prefix=self._prefix + clean_name(folder) + "/")
        inner._members = self._members
        return inner

    def nested(self, name: str) -> Store:
        """The store of one archive that lies in this folder (shards whose names repeat)."""
        path = self.path(name)
        if path is None or not _is_archive(path.name):
            raise DataError(
                self.where(name), "is not an archive on disk", "Unpack the outer archive"
            )
        return Store(path)

    def archives(self) -> list[str]:
        """Names of the tars and zips directly in the folder, sorted."""
        folder = self.root / self._prefix
        if not folder.is_dir():
            return []
        return sorted(p.name for p in folder.iterdir() if p.is_file() and _is_archive(p.name))

    def where(self, name: str) -> str:
        """What messages call a file: its path, or `archive!name`."""
        inside = self._prefix + name
        if self.root.is_dir() and self.path(name) is None:
            member = (self._members or {}).get(inside)
            if member is not None:
                return f"{member.archive}!{inside}"
        return str(self.root / inside) if self.root.is_dir() else f"{self.root}!{inside}"

    def path(self, name: str) -> Path | None:
        """The file on disk, None if it is missing or inside an archive."""
        path = self.root / (self._prefix + clean_name(name))
        return path if path.is_file() else None

    def exists(self, name: str) -> bool:
        """Whether `read` would find it."""
        return self.path(name) is not None or self._member(name) is not None

    def has_folder(self, name: str) -> bool:
        """Whether any file lies below a folder (or the folder is on disk)."""
        inside = clean_name(name)
        if (self.root / (self._prefix + inside)).is_dir():
            return True
        start = self._prefix + inside + "/"
        return any(member.startswith(start) for member in self._index())

    def read(self, name: str) -> bytes:
        """The bytes of a file; DataError if it is missing or its archive is damaged."""
        path = self.path(name)
        if path is None:
            member = self._member(name)
            if member is None:
                raise DataError(self.where(clean_name(name)), "no such file", "Check root and list")
            return self._extract(member, name)
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(path, f"cannot be read ({error.strerror})") from error

    def open(self, name: str) -> BinaryIO:
        """A seekable file; close it. Parts of tars are read in place, not loaded."""
        path = self.path(name)
        member = None if path is not None else self._member(name)
        if path is not None:
            return path.open("rb")
        if member is not None and member.method == -1 and member.archive not in self._packed():
            return io.BufferedReader(_Slice(member))
        return io.BytesIO(self.read(name))

    def names(self, under: str = "") -> list[str]:
        """All names, sorted, or those below a folder; archives themselves are not listed."""
        inside = clean_name(under) + "/" if clean_name(under) else ""
        if self._names is None and inside and not self._index():
            return sorted(self._walk(inside))
        if self._names is None:
            packed = [n for n in self._index() if n.startswith(self._prefix)]
            self._names = sorted({*self._walk(""), *(n[len(self._prefix) :] for n in packed)})
        first = bisect_left(self._names, inside)
        last = bisect_left(self._names, inside + "\U0010ffff")
        return self._names[first:last]

    def nothing_found(self, *looked_for: str) -> DataError:
        """The error for a root that has no layout a reader knows."""
        remedy = "Give the folder that holds them"
        packed = [name for name in self.archives() if self._is_too_large(self.root / name)]
        if packed:
            remedy = f"Unpack {packed[0]} first: it is too large to read while compressed"
        return DataError(self.where("").rstrip("/!"), f"no {' and no '.join(looked_for)}", remedy)

    def _walk(self, inside: str) -> list[str]:
        """Names on disk below a folder."""
        top = self.root / self._prefix
        if not top.is_dir():
            return []
        files = (path.relative_to(top) for path in walk_files(top / inside, once=False))
        return [
            path.as_posix() for path in files if len(path.parts) > 1 or not _is_archive(path.name)
        ]

    def _member(self, name: str) -> Member | None:
        return self._index().get(self._prefix + clean_name(name))

    def _index(self) -> dict[str, Member]:
        """Every member of every archive, made on first use; the first archive wins."""
        if self._members is None:
            members: dict[str, Member] = {}
            for path in self._archive_paths():
                if self._is_too_large(path):
                    if not self.root.is_dir():
                        raise DataError(path, "is too large to read compressed", "Unpack it first")
                    _LOG.warning("%s: too large to read while compressed, ignored", path)
                    continue
                for name, member in self._members_of(path).items():
                    members.setdefault(name, member)
            self._members = members
        return self._members

    def _archive_paths(self) -> list[Path]:
        if not self.root.is_dir():
            return [self.root]
        return sorted(p for p in self.root.iterdir() if p.is_file() and _is_archive(p.name))

    def _is_too_large(self, path: Path) -> bool:
        return _is_packed_tar(path.name) and path.stat().st_size > LARGEST_PACKED_TAR

    def _packed(self) -> set[str]:
        return {str(path) for path in self._archive_paths() if _is_packed_tar(path.name)}

    def _members_of(self, path: Path) -> dict[str, Member]:
        try:
            if path.name.lower().endswith(".zip"):
                return _zip_members(path)
            with self._tar_file(path) as file:
                return _tar_members(path, file)
        except _READ_ERRORS as error:
            raise DataError(path, f"is a damaged archive ({error})", "Get a fresh copy") from error

    def _tar_file(self, path: Path) -> BinaryIO:
        """The tar without its compression."""
        if not _is_packed_tar(path.name):
            return path.open("rb")
        key = str(path)
        if key not in self._unpacked:
            self._unpacked[key] = _gunzipped(path)
        return io.BytesIO(self._unpacked[key])

    def _extract(self, member: Member, name: str) -> bytes:
        path = Path(member.archive)
        where = f"{member.archive}!{self._prefix + clean_name(name)}"
        try:
            if member.method == -1:
                with self._tar_file(path) as file:
                    file.seek(member.offset)
                    content = file.read(member.size)
            else:
                content = _zip_content(member)
        except _READ_ERRORS as error:
            raise DataError(
                where, f"is damaged ({error})", "Get a fresh copy of the archive"
            ) from error
        if member.method == -1 and len(content) != member.size:
            raise DataError(where, "the archive ends early", "Get a fresh copy of the archive")
        return content


class _Slice(io.RawIOBase):
    """The part of a file that is one member of a tar."""

    def __init__(self, member: Member) -> None:
        self._file = Path(member.archive).open("rb")  # noqa: SIM115 (closed with the slice)
        self._start, self._size, self._at = member.offset, member.size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._start + self._at)
        content = self._file.read(max(0, min(len(buffer), self._size - self._at)))
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


def _is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def _is_packed_tar(name: str) -> bool:
    return name.lower().endswith(PACKED_TAR_SUFFIXES)


def _tar_members(path: Path, file: BinaryIO) -> dict[str, Member]:
    """Files of a tar; hard links stand for the file they name."""
    members: dict[str, Member] = {}
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for info in tar:
            if info.isfile():
                members[_member_name(info.name)] = Member(
                    str(path), info.offset_data, info.size, -1
                )
            elif info.islnk() and _member_name(info.linkname) in members:
                members[_member_name(info.name)] = members[_member_name(info.linkname)]
            tar.members = []  # type: ignore[attr-defined]  # or tarfile keeps all of them
    return members


def _zip_members(path: Path) -> dict[str, Member]:
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
    for info in infos:
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, 8):
            raise DataError(f"{path}!{info.filename}", "is encrypted or unusually compressed")
    return {
        _member_name(info.filename): Member(
            str(path),
            info.header_offset,
            info.compress_size,
            info.compress_type,
            info.CRC,
            info.file_size,
        )
        for info in infos
    }


def _member_name(name: str) -> str:
    """The cleaned name; a name that leaves the archive can never be asked for."""
    return name if ".." in name.split("/") else clean_name(name)


def _zip_content(member: Member) -> bytes:
    """The bytes of a zip member, checked; never more than the zip states."""
    if member.unpacked > LARGEST_UNPACKED:
        raise _too_large(member.archive, member.unpacked)
    if member.offset + member.size > os.path.getsize(member.archive):
        raise ValueError("it reaches beyond the end of the archive")
    with open(member.archive, "rb") as file:
        file.seek(member.offset)
        magic, name_length, extra_length = _ZIP_LOCAL_HEADER.unpack(file.read(30))
        if magic != b"PK\x03\x04":
            raise ValueError("no local header")
        file.seek(name_length + extra_length, os.SEEK_CUR)
        content = file.read(member.size)
    if member.method != zipfile.ZIP_STORED:
        content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, member.unpacked + 1)
    if len(content) != member.unpacked:
        raise ValueError("its size is not the stated one")
    if zlib.crc32(content) != member.crc:
        raise ValueError("its checksum is wrong")
    return content


def _gunzipped(path: Path) -> bytes:
    """The bytes inside a small gzip file, unpacked piece by piece up to the bound."""
    content = bytearray()
    with gzip.open(path) as file:
        while piece := file.read(_PIECE):
            content += piece
            if len(content) > LARGEST_UNPACKED:
                raise _too_large(str(path), len(content))
    return bytes(content)


def _too_large(where: str, size: int) -> DataError:
    finding = f"unpacks to {size / 1e9:.1f} GB or more of memory, the limit is "
    return DataError(where, f"{finding}{LARGEST_UNPACKED / 1e9:.1f} GB", "Unpack it first")
