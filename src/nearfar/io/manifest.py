"""`manifest.jsonl`: one line per input that was worked on; what --resume trusts.

A line is written in one piece and forced to the disk after the outputs it names, so whatever it
says has happened. Several processes write several files (`manifest.rank1.jsonl`, ...) and read all.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from nearfar.errors import InputError, OutputError

from .atomic import ensure_folder
from .writers import WRITERS, possible_names

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestRecord:
    """One input: what it was, how it was treated, what came out or went wrong.

    input: path, URL or '-'. sha256: of the input's bytes, '' if they could not be read. outputs:
    paths relative to the manifest's folder. error: one line, or None.
    """

    input: str
    sha256: str
    settings: Mapping[str, Any]
    settings_hash: str
    seconds: float | None = None
    peak_memory_mb: float | None = None
    outputs: tuple[str, ...] = field(default=())
    error: str | None = None


def settings_hash(settings: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that change with any setting, not with their order."""
    text = json.dumps(settings, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Manifest:
    """The manifests of an output folder: reads those of all ranks, appends to its own."""

    def __init__(self, folder: str | Path, *, rank: int = 0) -> None:
        self.folder = Path(folder)
        self.path = self.folder / ("manifest.jsonl" if rank == 0 else f"manifest.rank{rank}.jsonl")
        self._finished: dict[tuple[str, str], list[ManifestRecord]] = {}
        self._maker: dict[str, ManifestRecord] = {}  # output -> the last record that wrote it
        for path in sorted(self.folder.glob("manifest*.jsonl")):
            for record in read_manifest(path):
                self._remember(record)

    def append(self, record: ManifestRecord) -> None:
        """Add one line, whole and on the disk when this returns; OutputError if that fails."""
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

    def done(
        self, sha256: str, settings_hash: str, *, relative: Path | None = None
    ) -> ManifestRecord | None:
        """The record of this input with these settings if all its outputs still stand, else None.

        Outputs that a later record replaced (other settings, --overwrite) do not count.

        With `relative` (of its InputItem) the outputs must be those of that place, so that a copy
        of a finished photo elsewhere in the tree still gets its own.
        """
        for record in reversed(self._finished.get((sha256, settings_hash), [])):
            if relative is not None and not _belong(record.outputs, relative):
                continue
            if all(
                self._maker[output] is record and (self.folder / output).is_file()
                for output in record.outputs
            ):
                return record
        return None

    def relative(self, outputs: list[Path]) -> tuple[str, ...]:
        """The outputs as the manifest keeps them: relative to its folder, with forward slashes."""
        return tuple(Path(os.path.relpath(path, self.folder)).as_posix() for path in outputs)

    def _remember(self, record: ManifestRecord) -> None:
        if record.error is None and record.sha256:
            self._finished.setdefault((record.sha256, record.settings_hash), []).append(record)
            self._maker.update(dict.fromkeys(record.outputs, record))


def read_manifest(path: str | Path) -> list[ManifestRecord]:
    """The records of one file, in order; lines cut short by a crash are left out and logged."""
    records = []
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})") from error
    known = {f.name for f in fields(ManifestRecord)}
    for number, line in enumerate(lines, 1):
        try:
            values = {k: v for k, v in json.loads(line).items() if k in known}
            record = ManifestRecord(**{**values, "outputs": tuple(values["outputs"])})
        except (ValueError, TypeError, KeyError, AttributeError):
            if line.strip():
                _LOG.warning("%s:%d: incomplete record, ignored", path, number)
            continue
        records.append(record)
    return records


def _belong(outputs: tuple[str, ...], relative: Path) -> bool:
    """Whether these are files of that place; `a_b_depth.png` is of `a_b`, not of `a`."""
    return set(outputs) <= possible_names(WRITERS, stem=relative.as_posix())
