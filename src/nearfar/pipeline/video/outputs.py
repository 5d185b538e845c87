"""Finished parts into the files asked for, one frame at a time."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nearfar.errors import ConfigError
from nearfar.geometry.clouds import CloudOptions
from nearfar.io.atomic import ensure_folder
from nearfar.io.depth import png16
from nearfar.io.video.clip import Clip
from nearfar.io.video.codes import DepthRange
from nearfar.io.video.depth_clip import DepthClipWriter, TimedDepth, sidecar
from nearfar.io.video.encoder import VideoEncoder, VideoForm
from nearfar.io.video.parts import read_parts, staged_folder
from nearfar.io.video.recording import RecordingForm, RecordingWriter
from nearfar.io.writers import file_name, possible_names
from nearfar.result import DepthKind, DepthResult

from .checkpoint import Checkpoint
from .config import RangeChoice
from .limits import ColorLimits

VIDEO_FORMATS = (
    "vis",
    "side",
    "ffv1",
    "rrd",
    "exr",
    "exr-rgb",
    "npz",
    "png16",
    "pfm",
    "ply",
    "glb",
)
_NAMES = {"vis": "_vis.mp4", "side": "_side.mp4", "ffv1": "_depth.mkv", "rrd": ".rrd"}
_FRAME = re.compile(r"frame_(\d{6,})")
_WITH_PHOTO = {"side", "rrd"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Outputs:
    """What to write of a clip, and where: `folder/stem_vis.mp4`, `folder/stem_exr/frame_...`."""

    folder: Path
    stem: str
    formats: tuple[str, ...]
    choice: RangeChoice = field(default_factory=RangeChoice)
    colormap: str = "spectral"

    @property
    def parts_folder(self) -> Path:
        """Finished windows, as long as the run is not complete."""
        return self.folder / f"{self.stem}_parts"

    def video(self, name: str) -> Path:
        """The file of a format that is one file for the clip."""
        return self.folder / f"{self.stem}{_NAMES[name]}"

    def sequence_folder(self, name: str) -> Path:
        """The folder of a format that is one file per frame."""
        return self.folder / f"{self.stem}_{name.removesuffix('-rgb')}"

    def staged(self, path: Path) -> Path:
        """Where a file or folder is made before it moves to its place."""
        return staged_folder(self.parts_folder) / path.relative_to(self.folder)

    def made(self, frames: int) -> dict[Path, Path]:
        """Every staged file with its place, of a sequence those of so many frames."""
        top = staged_folder(self.parts_folder)
        found = {
            self.folder / path.relative_to(top): path
            for path in sorted(top.rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        }
        return {
            place: path
            for place, path in found.items()
            if place.parent == self.folder or _frame_of(place) < frames
        }

    def existing(self) -> list[Path]:
        """What stands where files of this clip go, whoever made it."""
        names = [self.video(name) for name in self.formats if name in _NAMES]
        names += [sidecar(self.video("ffv1"))] if "ffv1" in self.formats else []
        names.append(self.folder / f"{self.stem}_video.json")
        found = [path for path in names if os.path.lexists(path)]
        for name in self.formats:
            folder = self.sequence_folder(name)
            if name not in _NAMES and os.path.lexists(folder) and not folder.is_dir():
                found.append(folder)
            elif name not in _NAMES and folder.is_dir():
                found += [p for p in sorted(folder.iterdir()) if _is_frame(p, name)]
        return found

    def paths(self) -> list[Path]:
        """Everything that will be there: files of videos, folders of sequences."""
        return [
            self.video(name) if name in _NAMES else self.sequence_folder(name)
            for name in self.formats
        ]


class _Frame(NamedTuple):
    number: int
    time: Fraction
    result: DepthResult
    limits: DepthRange


def check_video_formats(names: list[str]) -> tuple[str, ...]:
    """The formats, each once; ConfigError for an unknown one or none."""
    unknown = [name for name in names if name not in VIDEO_FORMATS]
    if unknown or not names:
        finding = f"unknown format {unknown[0]!r}" if unknown else "names no format"
        raise ConfigError("--save", finding, f"Formats: {', '.join(VIDEO_FORMATS)}")
    return tuple(dict.fromkeys(names))


def write_outputs(
    clip: Clip, done: Checkpoint, outputs: Outputs, *, cloud: CloudOptions | None = None
) -> list[str]:
    """Make the videos, and relative PNGs, of the finished frames in the staging folder.

    Returns what could not be kept, one line each. cloud: filters of the clouds in a recording.
    """
    notes: list[str] = []
    for older in ensure_folder(staged_folder(outputs.parts_folder)).iterdir():
        if not older.is_dir():
            older.unlink()  # of a run that ended early and asked for other formats
    frames = _finished(clip, done, outputs, notes)
    first = next(frames)
    sinks: list[Callable[[_Frame], None]] = []
    files: list[VideoEncoder | DepthClipWriter | RecordingWriter] = []
    for name in outputs.formats:
        if name in ("vis", "side"):
            encoder, sink = _color_sink(name, clip, first, outputs)
            files.append(encoder)
            sinks.append(sink)
        elif name == "ffv1":
            writer = _depth_writer(clip, done, first, outputs)
            files.append(writer)
            sinks.append(partial(_add_depth, writer))
        elif name == "rrd":
            recording = _recording(done, outputs, cloud or CloudOptions())
            files.append(recording)
            sinks.append(partial(_add_recorded, recording))
        elif name == "png16" and done.kind is not DepthKind.METRIC:
            sinks.append(_png_sink(done, outputs))
    if sinks:
        with ExitStack() as stack:
            for file in files:
                stack.enter_context(file)
            for frame in chain([first], frames):
                for sink in sinks:
                    sink(frame)
    for file in files:
        notes += file.notes
    return notes


def depth_range(done: Checkpoint, choice: RangeChoice) -> DepthRange:
    """What 16-bit files of the clip span: the range given, else its extremes."""
    return done.counts.extremes() if choice.fixed is None else DepthRange(*choice.fixed)


def frame_stem(index: int) -> str:
    """The beginning of a frame's file name in a sequence."""
    return f"frame_{index:06d}"


def _is_frame(path: Path, format_name: str) -> bool:
    """Whether a file has the name of some frame in this format."""
    found = _FRAME.match(path.name)
    return found is not None and path.name in possible_names([format_name], stem=found[0])


def _frame_of(path: Path) -> int:
    """The number in the name of a frame's file."""
    found = _FRAME.match(path.name)
    assert found is not None
    return int(found[1])


def _finished(clip: Clip, done: Checkpoint, outputs: Outputs, notes: list[str]) -> Iterator[_Frame]:
    """The frames of all parts with the range of their colors, and the photo where it is shown.

    A frame of another kind than the clip (no metres found in it) says nothing.
    """
    colors = ColorLimits(outputs.choice, done.counts)
    shots, lost = set(done.cuts), 0
    photos = clip.frames() if _WITH_PHOTO & set(outputs.formats) else None
    stored: TimedDepth
    for number, stored in enumerate(read_parts(outputs.parts_folder, done.parts)):
        result = stored.result
        if result.kind is not done.kind and done.kind is not None:
            lost += 1
            nothing = np.zeros(result.size_hw, np.bool_)
            result = replace(result, kind=done.kind, valid=nothing)
        if photos is not None:
            result = replace(result, image=next(photos).rgb_HW3)
        limits = colors.of(result, begins_shot=number in shots)
        yield _Frame(number, stored.time, result, limits)
    if lost:
        notes.append(f"{lost} frames without metres are invalid")


def _color_sink(
    name: str, clip: Clip, first: _Frame, outputs: Outputs
) -> tuple[VideoEncoder, Callable[[_Frame], None]]:
    def picture(frame: _Frame) -> np.ndarray:
        draw = frame.result.visualise if name == "vis" else frame.result.beside_photo
        return draw(outputs.colormap, limits=frame.limits)

    height, width = picture(first).shape[:2]
    form = VideoForm(
        codec="h264",
        size_hw=(height, width),
        rate=clip.info.rate,
        time_base=clip.info.time_base,
        metadata={},
        sound=clip.info.source if clip.info.has_audio else None,
    )
    encoder = VideoEncoder(outputs.staged(outputs.video(name)), form)
    return encoder, lambda frame: encoder.add(picture(frame), frame.time)


def _add_depth(writer: DepthClipWriter, frame: _Frame) -> None:
    writer.add(frame.result, frame.time)


def _depth_writer(clip: Clip, done: Checkpoint, first: _Frame, outputs: Outputs) -> DepthClipWriter:
    return DepthClipWriter(
        outputs.staged(outputs.video("ffv1")),
        first=first.result,
        limits=depth_range(done, outputs.choice),
        rate=clip.info.rate,
        time_base=clip.info.time_base,
    )


def _recording(done: Checkpoint, outputs: Outputs, cloud: CloudOptions) -> RecordingWriter:
    farthest = done.counts.extremes().far
    form = RecordingForm(name=outputs.stem, farthest=farthest, cloud=cloud)
    return RecordingWriter(outputs.staged(outputs.video("rrd")), form)


def _add_recorded(writer: RecordingWriter, frame: _Frame) -> None:
    writer.add(frame.result, frame.time, number=frame.number, limits=frame.limits)


def _png_sink(done: Checkpoint, outputs: Outputs) -> Callable[[_Frame], None]:
    """Relative 16-bit PNGs of one range for the clip."""
    folder = ensure_folder(outputs.staged(outputs.sequence_folder("png16")))
    limits = depth_range(done, outputs.choice)

    def write(frame: _Frame) -> None:
        name = file_name("png16", frame_stem(frame.number), frame.result.kind)
        png16.write(frame.result, folder / name, limits=limits)

    return write
