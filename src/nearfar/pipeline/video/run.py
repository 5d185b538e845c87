"""A clip into depth on disk: finished parts first, from them the files asked for.

Depth is drawn once, window by window, and kept in lossless parts with a small checkpoint, so that
a run that is stopped, killed or out of disk goes on after its last window, with the same result.
Then the parts become videos, with one range of colors for the clip.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from nearfar.errors import InputError, MetricError, NearfarError, OutputError, ResourceError
from nearfar.geometry.clouds import CloudOptions
from nearfar.io.atomic import ensure_folder, remove_leftovers, told_of_place
from nearfar.io.manifest import settings_hash
from nearfar.io.video.clip import Clip, ClipFrame, ReadReport
from nearfar.io.video.parts import PartWriter, remove_parts, staged_folder
from nearfar.io.writers import save_result
from nearfar.result import DepthKind

from .checkpoint import Checkpoint, load_checkpoint
from .config import VideoConfig
from .limits import DepthCounts
from .outputs import Outputs, frame_stem, write_outputs
from .record import publish_clip, require_free
from .state import ClipModel, FrameDepth

SEQUENCES = (
    "exr",
    "exr-rgb",
    "npz",
    "pfm",
    "ply",
    "glb",
)  # written frame by frame from the full floats
_SCENES = ("ply", "glb")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipJob:
    """What to do with one clip. outputs: where and what to write. settings: more that decides."""

    outputs: Outputs
    config: VideoConfig
    cloud: CloudOptions = field(default_factory=CloudOptions)
    settings: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False
    only_finish: bool = False
    overwrite: bool = False

    def belongs(self, clip: Clip, model: ClipModel) -> str:
        """A hash of everything that decides what depth comes out."""
        return settings_hash(self.settings_of(clip, model))

    def settings_of(self, clip: Clip, model: ClipModel) -> dict[str, Any]:
        """Everything that decides what depth comes out."""
        predict = {**asdict(self.config.predict), "steps": model.steps(self.config)}
        sequences = [name for name in self.outputs.formats if name in (*SEQUENCES, "png16")]
        return {
            "clip": clip.info.identity,
            "rate": str(clip.info.rate),
            "model": model.name,
            "weights_sha256": model.weights_sha256,
            "per_frame": model.per_frame,
            "predict": predict,
            "cuts": self.config.cuts,
            "sequences": sorted(sequences),
            "cloud": asdict(self.cloud),
            **self.settings,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipOutcome:
    """How a clip ended. frames: finished. stopped: why it ended early, None if it did not.

    files: what was written. notes: what was unusual, one line each. seconds: of drawing depth.
    """

    frames: int
    skipped: int
    files: list[Path]
    notes: list[str]
    cuts: list[int]
    kind: DepthKind
    seconds: float
    stopped: NearfarError | KeyboardInterrupt | None = None


def run_clip(
    clip: Clip, model: ClipModel, job: ClipJob, *, on_frame: Callable[[int], None]
) -> ClipOutcome:
    """Depth of a clip into its files; `on_frame` hears how many frames were just finished.

    A fault of the clip or Ctrl-C ends the drawing; what is finished is written then, and its parts
    stay for `resume`. Errors: those of the model, OutputError, InputError if nothing was finished.
    """
    folder = job.outputs.parts_folder
    belongs = job.belongs(clip, model)
    remove_leftovers(folder)  # of a run that was killed while it wrote
    done = load_checkpoint(folder, belongs=belongs) if job.resume or job.only_finish else None
    if done is None:
        remove_parts(folder)
        done = Checkpoint(belongs=belongs)
    job = _with_rights(job, folder)
    if not job.overwrite:
        require_free(clip, model, job)
    on_frame(done.stream.frames)
    report = ReadReport()
    stopped: NearfarError | KeyboardInterrupt | None = None
    if not job.only_finish:
        try:
            _draw(clip, model, job, done, report, on_frame)
        except (InputError, ResourceError, KeyboardInterrupt) as fault:
            stopped = fault
            # what was counted after the last finished part goes
            done = load_checkpoint(folder, belongs=belongs) or Checkpoint(belongs=belongs)
    if done.parts == 0 or done.kind is None:
        remove_parts(folder)
        if stopped is not None:
            raise stopped
        raise InputError(clip.info.source, "nothing is finished yet", "Leave out --finish")
    try:
        notes = write_outputs(clip, done, job.outputs, cloud=job.cloud)
    except OutputError as fault:
        raise told_of_place(fault, staged_folder(folder), job.outputs.folder) from fault
    outcome = ClipOutcome(
        frames=done.stream.frames,
        skipped=report.skipped,
        files=[p for p in job.outputs.paths() if job.outputs.staged(p).exists()],
        notes=[*report.notes, *notes],
        cuts=done.cuts,
        kind=done.kind,
        seconds=done.seconds,
        stopped=stopped,
    )
    publish_clip(clip, model, job, outcome)
    if stopped is None and not job.only_finish:
        remove_parts(folder)
        with suppress(OSError):  # somebody's own files are in it
            folder.rmdir()
    return outcome


def _with_rights(job: ClipJob, folder: Path) -> ClipJob:
    """The job; one that goes on with a run that may overwrite, may, too."""
    mark = folder / "overwrite"
    if job.overwrite:
        ensure_folder(folder)
        mark.touch()
    return replace(job, overwrite=mark.exists())


def _draw(
    clip: Clip,
    model: ClipModel,
    job: ClipJob,
    done: Checkpoint,
    report: ReadReport,
    on_frame: Callable[[int], None],
) -> None:
    """Depth of all frames after the checkpoint, into parts and sequences; moves `done` on.

    A fault of the clip is raised when the frames before it are finished.
    """
    started, before = time.perf_counter(), done.seconds
    frames: Iterator[ClipFrame] = clip.frames(start=done.stream.frames, report=report)
    if job.config.max_frames is not None:
        frames = islice(frames, max(0, job.config.max_frames - done.stream.frames))
    parts_folder = job.outputs.parts_folder
    faults: list[InputError | ResourceError] = []
    with ExitStack() as open_part:
        part: PartWriter | None = None
        for item in model.stream(_until_fault(frames, faults), job.config, state=done.stream):
            if part is None:
                part = open_part.enter_context(
                    PartWriter(
                        parts_folder,
                        done.parts,
                        size_hw=item.result.size_hw,
                        limits=done.limits,
                    )
                )
            part.add(item.result, item.frame.time)
            _count(done, item)
            _save_sequences(item, job)
            if item.state is not None:
                open_part.close()
                done.parts, done.stream, done.limits = done.parts + 1, item.state, part.limits
                done.seconds = before + time.perf_counter() - started
                done.save(parts_folder)
                part = None
                _require_metres(done, job)
            on_frame(1)
    if faults:
        raise faults[0]


def _until_fault(
    frames: Iterator[ClipFrame], faults: list[InputError | ResourceError]
) -> Iterator[ClipFrame]:
    """The frames up to the first that the clip cannot give; why goes to `faults`."""
    try:
        yield from frames
    except (InputError, ResourceError) as fault:
        faults.append(fault)


def _count(done: Checkpoint, item: FrameDepth) -> None:
    """Take a frame into the clip's kind, range and cuts."""
    kind = item.result.kind
    if done.kind is None or (kind is DepthKind.METRIC and done.kind is not kind):
        done.kind, done.counts = kind, DepthCounts()
    if kind is done.kind:
        done.counts.add(item.result)
    if item.begins_shot:
        done.cuts.append(item.frame.index)


def _save_sequences(item: FrameDepth, job: ClipJob) -> None:
    """The frame in every format that holds floats or metres."""
    for name in job.outputs.formats:
        if name in _SCENES and not item.result.is_metric:
            continue
        if name in SEQUENCES or (name == "png16" and item.result.is_metric):
            folder = job.outputs.staged(job.outputs.sequence_folder(name))
            save_result(
                item.result, folder, [name], stem=frame_stem(item.frame.index), cloud=job.cloud
            )


def _require_metres(done: Checkpoint, job: ClipJob) -> None:
    """MetricError if 3-D was asked for and no frame of the first parts has metres."""
    scenes = [name for name in job.outputs.formats if name in _SCENES]
    if scenes and done.kind is not DepthKind.METRIC:
        raise MetricError(
            ", ".join(scenes),
            f"3-D needs metres, but the depth of this clip is {done.kind}",
            "Use a model with a metric reference",
        )
