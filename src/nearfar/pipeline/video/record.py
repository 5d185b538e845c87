"""What a finished clip was: a JSON beside its files, which --resume trusts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nearfar.io.atomic import atomic_path
from nearfar.io.video.clip import Clip

from .outputs import Outputs
from .run import ClipJob, ClipOutcome
from .state import ClipModel


def record_path(outputs: Outputs) -> Path:
    """The record of a clip."""
    return outputs.folder / f"{outputs.stem}_video.json"


def write_record(
    clip: Clip, model: ClipModel, job: ClipJob, outcome: ClipOutcome
) -> dict[str, Any]:
    """Write the record; its content."""
    outputs = job.outputs
    record = {
        "input": clip.info.source,
        "belongs": _belongs(clip, model, job),
        "complete": outcome.stopped is None and not job.only_finish,
        "model": model.name,
        "weights_sha256": model.weights_sha256,
        "licence": model.licence,
        "per_frame": model.per_frame,
        "kind": outcome.kind,
        "size_hw": list(clip.info.size_hw),
        "frames": outcome.frames,
        "skipped": outcome.skipped,
        "rate": str(clip.info.rate),
        "cuts": outcome.cuts,
        "seconds": round(outcome.seconds, 3),
        "frames_per_second": round(outcome.frames / max(outcome.seconds, 1e-9), 3),
        "outputs": [path.name for path in outcome.files],
        "notes": outcome.notes,
    }
    with atomic_path(record_path(outputs)) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


def finished_record(clip: Clip, model: ClipModel, job: ClipJob) -> dict[str, Any] | None:
    """The record if the clip is complete with these settings and its files stand, else None."""
    try:
        record: dict[str, Any] = json.loads(record_path(job.outputs).read_text(encoding="utf-8"))
        there = all((job.outputs.folder / name).exists() for name in record["outputs"])
        same = record["belongs"] == _belongs(clip, model, job)
        return record if record["complete"] and there and same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _belongs(clip: Clip, model: ClipModel, job: ClipJob) -> str:
    outputs = job.outputs
    return " ".join(
        (job.belongs(clip, model), str(outputs.choice), outputs.colormap, *sorted(outputs.formats))
    ) + (f" {job.config.max_frames} frames" if job.config.max_frames else "")
