"""How far a clip is: one small file beside its finished parts, replaced after each of them."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.errors import ConfigError, InputError
from nearfar.io.atomic import atomic_path
from nearfar.io.video.codes import DepthRange
from nearfar.result import DepthKind

from .limits import DepthCounts
from .state import StreamState, restore

_FORMAT = 1


@dataclass(kw_only=True, slots=True)
class Checkpoint:
    """What is finished. belongs: hash of clip and settings, for a resumed run to compare.

    parts: how many; limits: the range the last one ended with. counts: of depths of `kind`, which
    is metric as soon as one frame was. cuts: first frames of later shots. seconds: spent so far.
    """

    belongs: str
    parts: int = 0
    stream: StreamState = field(default_factory=StreamState)
    limits: DepthRange | None = None
    counts: DepthCounts = field(default_factory=DepthCounts)
    kind: DepthKind | None = None
    cuts: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def save(self, folder: Path) -> None:
        """Write it, whole or not at all."""
        facts = {
            "format": _FORMAT,
            "belongs": self.belongs,
            "parts": self.parts,
            "stream": self.stream.facts(),
            "limits": self.limits,
            "counts": self.counts.facts(),
            "kind": self.kind,
            "cuts": self.cuts,
            "seconds": self.seconds,
        }
        arrays = {**self.stream.arrays(), "counts": self.counts.counts}
        with atomic_path(checkpoint_path(folder)) as temporary, open(temporary, "wb") as file:
            arrays["facts"] = np.array(json.dumps(facts))
            np.savez(file, allow_pickle=False, **arrays)


def checkpoint_path(folder: Path) -> Path:
    """Where the checkpoint of a folder of parts is."""
    return folder / "state.npz"


def load_checkpoint(folder: Path, *, belongs: str) -> Checkpoint | None:
    """The checkpoint of a folder of parts, None if there is none.

    ConfigError if it belongs to another clip or to other settings; InputError if it is damaged.
    """
    path = checkpoint_path(folder)
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        facts: dict[str, Any] = json.loads(str(arrays.pop("facts")))
        counts = DepthCounts(counts=arrays.pop("counts"), **facts["counts"])
        found = Checkpoint(
            belongs=facts["belongs"],
            parts=facts["parts"],
            stream=restore(facts["stream"], arrays),
            limits=None if facts["limits"] is None else DepthRange(*facts["limits"]),
            counts=counts,
            kind=None if facts["kind"] is None else DepthKind(facts["kind"]),
            cuts=list(facts["cuts"]),
            seconds=facts["seconds"],
        )
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(path, f"is damaged ({error})", "Run again with --overwrite") from error
    if facts.get("format") != _FORMAT or found.belongs != belongs:
        raise ConfigError(
            folder,
            "was begun with another clip or other settings",
            "Give the same ones, or --overwrite to begin anew",
        )
    return found
