"""`manifest.jsonl`: what was worked on and which files are results of it. Nothing else is ours.

Files are made in a staging folder; then a line with their digests is forced to the disk; then they
move into place. So a file is a result exactly if a line names it with the digest it has, whatever
ended the run, and anything else at its place is somebody's own and stays.
Several processes write several files (`manifest.rank1.jsonl`, ...) and read all.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from nearfar.errors import InputError, OutputError

from .atomic import ensure_folder

_LOG = logging.getLogger(__name__)
_FIRST_KEY = b'{"input": '  # how every line begins
_NOT_OURS = "Use --overwrite to replace it, or another -o"


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestRecord:
    """One input: what it was, how it was treated, what came out or went wrong.

    input: path, URL or '-', as it was given. source: the path from the manifest's folder. sha256:
    of the input's bytes, '' if they could not be read. outputs: paths relative to the manifest's
    folder, with the sha256 of each. error: one line, or None.
    """

    input: str
    source: str = ""
    sha256: str
    settings: Mapping[str, Any]
    settings_hash: str
    seconds: float | None = None
    peak_memory_mb: float | None = None
    outputs: tuple[str, ...] = field(default=())
    outputs_sha256: tuple[str, ...] = field(default=())
    error: str | None = None

    @property
    def origin(self) -> Origin:
        """What the outputs are made from."""
        return Origin(self.source, self.sha256, self.settings_hash)


class Origin(NamedTuple):
    """What a result is made from: input (seen from the manifest), its digest, the settings."""

    source: str
    sha256: str
    settings_hash: str


def settings_hash(settings: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that change with any setting, not with their order."""
    text = json.dumps(settings, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Manifest:
    """The manifests of an output folder: reads those of all ranks, appends to its own."""

    def __init__(self, folder: str | Path, *, rank: int = 0) -> None:
        self.folder = Path(folder)
        self.path = self.folder / ("manifest.jsonl" if rank == 0 else f"manifest.rank{rank}.jsonl")
        self._read: dict[Path, int] = {}  # bytes of each file that are known
        self._makers: dict[str, list[tuple[ManifestRecord, str]]] = {}  # output -> who, digest
        self._latest: dict[Origin, ManifestRecord] = {}
        self.refresh()
        if self.path.is_file() and not self._latest and _is_foreign(self.path):
            raise OutputError(self.path, "is no manifest of nearfar", "Choose another -o")

    def refresh(self) -> None:
        """Take in what other processes have written meanwhile."""
        for path in _manifests_in(self.folder):
            with suppress(OSError):
                if path.stat().st_size > self._read.get(path, 0):
                    records, self._read[path] = _read_from(path, self._read.get(path, 0))
                    for record in records:
                        self._remember(record)

    def origin(self, source: str, sha256: str, settings_hash: str) -> Origin:
        """What results of this input are made from; source: path, URL or '-'."""
        return Origin(_seen_from(self.folder, source), sha256, settings_hash)

    def append(self, record: ManifestRecord) -> ManifestRecord:
        """Add one line, whole and on the disk when this returns; OutputError if that fails."""
        record = replace(record, source=_seen_from(self.folder, record.input))
        line = json.dumps(asdict(record), default=str) + "\n"
        ensure_folder(self.folder)
        try:
            with open(self.path, "ab+") as file:
                file.seek(0, os.SEEK_END)
                if file.tell() > 0:
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":  # an earlier process died within its line
                        line = "\n" + line
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(
                self.path, f"cannot be written ({error.strerror})", "Free space, then --resume"
            ) from error
        self._remember(record)
        return record

    def publish(
        self,
        record: ManifestRecord,
        staged: Mapping[Path, Path],
        *,
        overwrite: bool = False,
        keep_staged: bool = False,
    ) -> ManifestRecord:
        """Move finished files to their places (final -> staged), after a line says what they are.

        OutputError, before anything moves, if something stands at a place that is no result of this
        origin, unless `overwrite`. keep_staged: the staged files stay where they are as well.
        """
        outputs = tuple(self.relative(path) for path in staged)
        digests = tuple(file_sha256(path) for path in staged.values())
        self.refresh()
        origin = self.origin(record.input, record.sha256, record.settings_hash)
        if not overwrite:
            self.require_free(staged, origin)
        record = self.append(replace(record, outputs=outputs, outputs_sha256=digests))
        for path, made in staged.items():
            try:
                ensure_folder(path.parent)
                if keep_staged:
                    made = _second_name(made)
                os.replace(made, path)
                if keep_staged:
                    made.unlink(missing_ok=True)  # moving a link onto its twin does nothing
            except OSError as error:
                reason = error.strerror or error
                raise OutputError(path, f"cannot be written ({reason})", _NOT_OURS) from error
        return record

    def require_free(self, paths: Iterable[Path], origin: Origin) -> None:
        """OutputError for the first path where something stands that is no result of `origin`."""
        for path in paths:
            if os.path.lexists(path) and not self.is_result(path, origin):
                makers = self._makers.get(self.relative(path), [])
                finding = "exists and is no result listed in the folder's manifest"
                if makers and makers[-1][0].origin == origin:
                    finding = "was changed after it was made"
                elif makers:
                    finding = f"is a result of {makers[-1][0].input} with other content or settings"
                raise OutputError(path, finding, _NOT_OURS)

    def is_result(self, path: Path, origin: Origin) -> bool:
        """Whether a file is what a line says was made from `origin`, to the last byte."""
        makers = self._makers.get(self.relative(path), [])
        known = {digest for record, digest in makers if digest and record.origin == origin}
        try:
            return bool(known) and path.is_file() and file_sha256(path) in known
        except OutputError:
            return False

    def latest(self, origin: Origin) -> ManifestRecord | None:
        """The last record of an origin."""
        return self._latest.get(origin)

    def outputs(self) -> set[str]:
        """Every output that a line names."""
        return set(self._makers)

    def relative(self, path: Path) -> str:
        """An output as the manifest keeps it: relative to its folder, with forward slashes."""
        return Path(os.path.relpath(path, self.folder)).as_posix()

    def _remember(self, record: ManifestRecord) -> None:
        for output, digest in zip_longest(record.outputs, record.outputs_sha256, fillvalue=""):
            self._makers.setdefault(output, []).append((record, digest))
        if record.sha256:
            self._latest[record.origin] = record


class KnownResults:
    """Which files are results: those that a manifest in their folder, or above it, lists.

    A file of a listed name with another content is somebody's, not a result.
    """

    def __init__(self) -> None:
        self._listed: dict[Path, dict[str, set[str]]] = {}

    def __contains__(self, path: str | Path) -> bool:
        try:
            real = Path(os.path.realpath(path))
        except ValueError:  # a NUL inside the name
            return False
        for folder in real.parents:
            if folder not in self._listed:
                self._listed[folder] = _outputs_listed_in(folder)
            listed = self._listed[folder]
            digests = listed.get(real.relative_to(folder).as_posix()) if listed else None
            if digests is not None and ("" in digests or _has_one_of(digests, real)):
                return True
        return False


def read_manifest(path: str | Path) -> list[ManifestRecord]:
    """The records of one file, in order; lines cut short by a crash are left out and logged."""
    try:
        return _read_from(Path(path), 0)[0]
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})") from error


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes; OutputError if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise OutputError(path, f"cannot be read ({error.strerror})") from error


def _read_from(path: Path, start: int) -> tuple[list[ManifestRecord], int]:
    """The records after so many bytes, and up to where whole lines are known."""
    with open(path, "rb") as file:
        file.seek(start)
        content = file.read()
    records = []
    known = {f.name for f in fields(ManifestRecord)}
    for number, line in enumerate(content.splitlines(), 1):
        try:
            values = {k: v for k, v in json.loads(line).items() if k in known}
            for name in ("outputs", "outputs_sha256"):
                values[name] = tuple(map(str, values.get(name, ())))
            records.append(ManifestRecord(**values))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            if line.strip() and start == 0:
                _LOG.warning("%s:%d: incomplete record, ignored", path, number)
    return records, start + content.rfind(b"\n") + 1


def _manifests_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for pattern in ("manifest.jsonl", "manifest.rank*.jsonl")
        for path in folder.glob(pattern)
        if path.is_file()
    )


def _has_one_of(digests: set[str], path: Path) -> bool:
    """Whether the file has one of these sha256; what is gone or cannot be read counts as such."""
    try:
        return file_sha256(path) in digests
    except OutputError:
        return True


def _outputs_listed_in(folder: Path) -> dict[str, set[str]]:
    """The outputs that the manifests of a folder list, each with all its digests.

    "" is the digest of an output listed without one. Lines of other programs say nothing.
    """
    found: dict[str, set[str]] = {}
    for path in _manifests_in(folder):
        with suppress(OSError), open(path, "rb") as file:
            for line in file:
                if line.startswith(_FIRST_KEY):
                    with suppress(ValueError, TypeError, AttributeError, RecursionError):
                        record = json.loads(line)
                        digests = list(record.get("outputs_sha256", ()))
                        for output, digest in zip_longest(record.get("outputs", ()), digests):
                            found.setdefault(str(output), set()).add(str(digest or ""))
    return found


def _is_foreign(path: Path) -> bool:
    """Whether a file holds something, and not even the beginning of a record."""
    with open(path, "rb") as file:
        head = file.read(len(_FIRST_KEY))
    return bool(head.strip()) and not _FIRST_KEY.startswith(head)


def _seen_from(folder: Path, source: str) -> str:
    """The path of an input from a folder, so that both can move together; URLs and '-' as is."""
    if source in ("", "-") or "://" in source:
        return source
    try:
        return Path(os.path.relpath(os.path.realpath(source), os.path.realpath(folder))).as_posix()
    except ValueError:  # another drive
        return Path(os.path.abspath(source)).as_posix()


def _second_name(path: Path) -> Path:
    """The same content under one more name beside it."""
    twin = path.with_name(f"{path.name}.twin")
    twin.unlink(missing_ok=True)
    try:
        os.link(path, twin)
    except OSError:  # a disk without links
        shutil.copyfile(path, twin)
    return twin
