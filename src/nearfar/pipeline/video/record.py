"""What a finished clip was: a JSON beside its files, and a line in the folder's manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearfar.io.atomic import atomic_path, ensure_folder
from nearfar.io.manifest import Manifest, ManifestRecord, settings_hash
from nearfar.io.video.parts import staged_folder

from .outputs import Outputs

if TYPE_CHECKING:
    from nearfar.io.video.clip import Clip

    from .run import ClipJob, ClipOutcome
    from .state import ClipModel


def record_path(outputs: Outputs) -> Path:
    """The record of a clip."""
    return outputs.folder / f"{outputs.stem}_video.json"


def read_record(outputs: Outputs) -> dict[str, Any]:
    """The record that `publish_clip` wrote."""
    record: dict[str, Any] = json.loads(record_path(outputs).read_text(encoding="utf-8"))
    return record


def manifest_record(clip: Clip, model: ClipModel, job: ClipJob) -> ManifestRecord:
    """What the manifest says the clip's files are made from."""
    settings = job.settings_of(clip, model) | {
        "range": str(job.outputs.choice),
        "colormap": job.outputs.colormap,
        "save": sorted(job.outputs.formats),
        "max_frames": job.config.max_frames,
    }
    return ManifestRecord(
        input=clip.info.source,
        sha256=clip.info.identity,
        settings=settings,
        settings_hash=settings_hash(settings),
    )


def publish_clip(clip: Clip, model: ClipModel, job: ClipJob, outcome: ClipOutcome) -> None:
    """Write the record, and move it and all staged files to their places.

    Of an older, longer result nothing stays. OutputError, and nothing moves, if something else
    stands there and `job.overwrite` does not say that it may go.
    """
    outputs = job.outputs
    record = {
        "input": clip.info.source,
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
    ensure_folder(staged_folder(outputs.parts_folder))
    with atomic_path(outputs.staged(record_path(outputs))) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    made = outputs.made(outcome.frames)
    older = [path for path in outputs.existing() if path not in made] if job.overwrite else []
    Manifest(outputs.folder).publish(
        manifest_record(clip, model, job), made, overwrite=job.overwrite, keep_staged=True
    )
    for path in older:
        path.unlink(missing_ok=True)


def require_free(clip: Clip, model: ClipModel, job: ClipJob) -> None:
    """OutputError if something stands in the way that is no result of this clip and settings."""
    manifest = Manifest(job.outputs.folder)
    record = manifest_record(clip, model, job)
    origin = manifest.origin(record.input, record.sha256, record.settings_hash)
    manifest.require_free(job.outputs.existing(), origin)


def finished_record(clip: Clip, model: ClipModel, job: ClipJob) -> dict[str, Any] | None:
    """The record if the clip is complete with these settings and its files stand, else None."""
    manifest = Manifest(job.outputs.folder)
    record = manifest_record(clip, model, job)
    origin = manifest.origin(record.input, record.sha256, record.settings_hash)
    latest = manifest.latest(origin)
    if latest is None or not all(
        manifest.is_result(job.outputs.folder / name, origin) for name in latest.outputs
    ):
        return None
    try:
        found = read_record(job.outputs)
        return found if found["complete"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
