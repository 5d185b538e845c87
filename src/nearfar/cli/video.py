"""nearfar video: depth of clips as videos and sequences, one clip after the other."""

from __future__ import annotations

import json
import re
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nearfar.errors import ConfigError, NearfarError

from .options import as_command, named_formats, set_verbosity, speaking_of
from .progress import RunProgress, one_line
from .video_options import VideoOptions

if TYPE_CHECKING:
    from nearfar.io.video.clip import Clip
    from nearfar.pipeline.video.run import ClipJob, ClipOutcome
    from nearfar.pipeline.video.state import ClipModel

_VIDEO_MODEL, _IMAGE_MODEL = "ppvd-tiny", "ppd-tiny"
_TELL_EVERY_S = 30.0  # where there is no bar
_PATIENCE_S = 0.5  # between two looks at clips that another run works on


def _video(context: typer.Context, options: VideoOptions) -> None:
    """Predict depth of video files and folders of frames, in constant memory.

    Ctrl-C writes the files of what is finished; --resume continues there, also after a crash. Exit
    code 0: all done; 1: some clips failed or ended early; 2: wrong usage; 130: interrupted.
    """
    from . import FAILED, INTERRUPTED
    from .batch import require_folder

    set_verbosity(quiet=options.quiet, verbose=options.verbose)
    jobs = plan(options)
    require_folder(options.output)
    model = _load(context, options)
    failures: list[str] = []
    waiting, busy = deque(jobs), 0
    while waiting:
        source, job = waiting.popleft()
        try:
            with speaking_of(source):
                stopped = _one_clip(source, job, model, options)
        except BlockingIOError:  # another run has it
            waiting.append((source, job))
            busy += 1
            time.sleep(_PATIENCE_S if busy >= len(waiting) else 0)
            continue
        except ConfigError:
            raise
        except NearfarError as error:
            stopped = error
            _report(options, {"input": source, "outputs": []}, error=error)
        busy = 0
        if isinstance(stopped, KeyboardInterrupt):
            _log("interrupted; what is finished is written, continue with --resume")
            raise typer.Exit(INTERRUPTED)
        if stopped is not None:
            failures.append(str(stopped))
            _log(failures[-1])
            if not options.skip_errors:
                break
    if failures:
        if len(jobs) > 1:
            left = f", {len(waiting)} not tried (continue with --resume --skip-errors)"
            _log(f"{len(failures)} of {len(jobs)} clips failed{left if waiting else ''}")
            for line in failures if not waiting else ():
                _log(line)
        raise typer.Exit(FAILED)


video = as_command(VideoOptions, _video)


def plan(options: VideoOptions) -> list[tuple[str, ClipJob]]:
    """The clips and what to do with each; ConfigError for anything that could not work."""
    from nearfar.geometry.clouds import CloudOptions
    from nearfar.io.video.recording import load_rerun
    from nearfar.pipeline.video.config import parse_range
    from nearfar.pipeline.video.outputs import Outputs, check_video_formats
    from nearfar.pipeline.video.run import ClipJob
    from nearfar.viz.colormap import COLORMAPS

    formats = check_video_formats(named_formats(options.save, exr_rgb=options.exr_rgb))
    if options.colormap not in COLORMAPS:
        raise ConfigError("--colormap", f"no map {options.colormap!r}", ", ".join(COLORMAPS))
    if options.overwrite and (options.resume or options.finish):
        raise ConfigError("--overwrite", "does not go with --resume or --finish")
    if options.no_metric and {"ply", "glb"} & set(formats):
        raise ConfigError("--save", "ply, glb need metres", "Leave out --no-metric")
    if "rrd" in formats:
        load_rerun()
    jobs: dict[str, tuple[str, ClipJob]] = {}
    for source in options.clips:
        stem = stem_of(source)
        if stem in jobs:
            raise ConfigError(
                source, f"has the same name as {jobs[stem][0]}", "Give each its own -o"
            )
        outputs = Outputs(
            folder=options.output,
            stem=stem,
            formats=formats,
            choice=parse_range(options.range),
            colormap=options.colormap,
        )
        found = outputs.existing()
        if found and not (options.resume or options.finish or options.overwrite):
            raise ConfigError(found[0], "already exists", "Use --resume, --overwrite or another -o")
        job = ClipJob(
            outputs=outputs,
            config=options.config(),
            cloud=CloudOptions(
                edge_filter=not options.no_edge_filter,
                outlier_filter=not options.no_outlier_filter,
            ),
            settings={"dtype": options.dtype},
            resume=options.resume,
            only_finish=options.finish,
            overwrite=options.overwrite,
        )
        jobs[stem] = (source, job)
    options.rate()
    return list(jobs.values())


def stem_of(source: str) -> str:
    """The name of a clip's results: a file's name without suffix and pattern, a folder's name."""
    from nearfar.io.video.folder import is_pattern

    path = Path(source)
    if is_pattern(path) and not path.exists():
        fixed = re.split(r"%|\*|\?|\[", path.name)[0].rstrip("._- ")
        return fixed or path.resolve().parent.name or "clip"
    return (path.resolve().name if path.is_dir() else path.stem) or "clip"


def _one_clip(
    source: str, job: ClipJob, model: ClipModel, options: VideoOptions
) -> NearfarError | KeyboardInterrupt | None:
    """Depth of one clip; why it ended early, None if it did not.

    BlockingIOError, and nothing done, while another run works on it.
    """
    from nearfar.io.atomic import ensure_folder, held
    from nearfar.io.video.source import open_clip
    from nearfar.settings import max_pixels

    clip = open_clip(source, rate=options.rate(), max_pixels=max_pixels())
    folder = ensure_folder(job.outputs.parts_folder)
    with held(folder) as is_ours:
        if not is_ours:
            raise BlockingIOError
        try:
            return _held_clip(clip, job, model, options)
        finally:
            for place in (folder, options.output):
                with suppress(OSError):  # not empty
                    place.rmdir()


def _held_clip(
    clip: Clip, job: ClipJob, model: ClipModel, options: VideoOptions
) -> NearfarError | KeyboardInterrupt | None:
    from nearfar.io.video.parts import remove_parts
    from nearfar.pipeline.video.record import finished_record, read_record
    from nearfar.pipeline.video.run import run_clip

    source = clip.info.source
    record = None if job.overwrite else finished_record(clip, model, job)
    if record is not None:
        remove_parts(job.outputs.parts_folder)  # of a run that was killed as it ended
        if not options.quiet:
            print(f"nearfar: {one_line(source)}: is already done", file=sys.stderr)
        _report(options, record, skipped=True)
        return None
    total = _expected(clip, options)
    with RunProgress(total, what="frames", quiet=options.quiet) as progress:
        pace = _Pace(progress, source, total)
        outcome = run_clip(clip, model, job, on_frame=pace.advance)
        progress.say(_line(source, outcome))
        for note in outcome.notes:
            progress.say(f"nearfar: {one_line(source)}: {note}")
    _report(options, read_record(job.outputs), error=outcome.stopped)
    return outcome.stopped


class _Pace:
    """Passes finished frames to the bar; without one, says now and then how far the clip is."""

    def __init__(self, progress: RunProgress, source: str, total: int | None) -> None:
        self._progress, self._source, self._total = progress, one_line(source), total
        self._frames, self._worked = 0, 0
        self._started = self._told = time.monotonic()

    def advance(self, count: int) -> None:
        """So many more frames are finished; the first call is what an earlier run had done."""
        is_first = self._frames == 0 and self._worked == 0 and count != 1
        for _ in range(count):
            self._progress.advance(worked=not is_first)
        self._frames += count
        self._worked += 0 if is_first else count
        now = time.monotonic()
        if sys.stderr.isatty() or now - self._told < _TELL_EVERY_S:
            return
        self._told = now
        speed = self._worked / (now - self._started)
        left = ""
        if self._total is not None and speed > 0:
            minutes = max(0.0, self._total - self._frames) / speed / 60
            left = f" of {self._total}, {minutes:.1f} min left"
        self._progress.say(f"{self._source}: frame {self._frames}{left}, {speed:.2f} frames/s")


def _expected(clip: Clip, options: VideoOptions) -> int | None:
    """How many frames there will be, if the clip says it."""
    total = clip.info.frames
    if options.max_frames is not None:
        total = options.max_frames if total is None else min(total, options.max_frames)
    return total


def _line(source: str, outcome: ClipOutcome) -> str:
    """clip.mp4: 240 frames, 3.10 frames/s, metric, 2 cuts -> clip_vis.mp4, clip_depth.mkv."""
    speed = outcome.frames / max(outcome.seconds, 1e-9)
    parts = [f"{outcome.frames} frames", f"{speed:.2f} frames/s", str(outcome.kind)]
    if outcome.cuts:
        parts.append(f"{len(outcome.cuts)} cuts")
    if outcome.skipped:
        parts.append(f"{outcome.skipped} damaged frames left out")
    files = ", ".join(path.name for path in outcome.files)
    return one_line(f"{source}: {', '.join(parts)} -> {files}")


def _report(
    options: VideoOptions,
    record: dict[str, Any],
    *,
    skipped: bool = False,
    error: BaseException | None = None,
) -> None:
    """One JSON line about a clip."""
    if options.json:
        told = None if error is None else str(error) or "interrupted"
        print(json.dumps({**record, "skipped_clip": skipped, "error": told}), flush=True)


def _load(context: typer.Context, options: VideoOptions) -> ClipModel:
    """The model asked for; `auto` says what it took."""
    from nearfar.settings import hint_at_cpu_build, keep_freed_memory, set_threads
    from nearfar.weights.registry import ENTRIES

    name, per_frame = options.model, options.per_frame
    if name == "auto":
        name = _VIDEO_MODEL if _VIDEO_MODEL in ENTRIES and not per_frame else _IMAGE_MODEL
        if name == _IMAGE_MODEL and not per_frame:
            per_frame = True
            if not options.quiet:
                print(
                    f"nearfar: no video model is installed; using {name} --per-frame",
                    file=sys.stderr,
                )
    if context.obj is not None:
        load = context.obj.load
    else:
        from nearfar.pipeline.video.load import load_video as load
    keep_freed_memory()  # a window of ppvd-tiny takes 23 % less time
    set_threads()
    hint_at_cpu_build()
    model: ClipModel = load(
        name,
        device=options.device,
        dtype=options.dtype,
        accept_license=options.accept_license,
        per_frame=per_frame,
    )
    return model


def _log(message: str) -> None:
    """One line on standard error."""
    print(f"nearfar: error: {message}", file=sys.stderr)
