"""A video file as a stream of upright 8-bit RGB frames with times, whatever FFmpeg can decode.

How a frame becomes pixels (rotation, mirroring, interlacing, HDR): picture.py. Times are the file's
own, so variable frame rates stay; where they are missing or fall, the mean rate goes on. They count
from the first of picture and sound. Frames that do not decode are left out and counted, those that
an edit list hides are not shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import InputError, ResourceError

from .clip import ClipFrame, ClipInfo, ReadReport, fit_frame
from .picture import load_av, pixels_of_frame, progressive, usual_ratio

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_FALLBACK_RATE = Fraction(25)
_FINEST = Fraction(1, 90000)  # times are kept on this grid where the file's own is finer
_HOPELESS = 8  # failed reads in a row after which the rest is given up
_MISSING = 0.01  # share of the promised frames that an edit list may hide


class VideoClip:
    """A video file; opened anew for every pass."""

    def __init__(self, path: str | Path, *, identity: str, max_pixels: int) -> None:
        self._path, self._max_pixels = str(path), max_pixels
        with self._opened() as (container, stream):
            self.info = self._info(container, stream, identity)

    def frames(self, *, start: int = 0, report: ReadReport | None = None) -> Iterator[ClipFrame]:
        """The frames from number `start` on (earlier ones are decoded and passed over)."""
        report = ReadReport() if report is None else report
        index, first, last = 0, None, None
        with self._opened() as (container, stream):
            begin = start_of(container)
            for frame in progressive(_decoded(container, stream, report)):
                time = _time(frame, index, last, self.info, begin)
                if index >= start:
                    picture = _pixels(frame, stream)
                    rgb_HW3 = fit_frame(picture, self.info, index=index, report=report)
                    yield ClipFrame(index=index, time=time, rgb_HW3=rgb_HW3)
                index, last = index + 1, time
                first = time if first is None else first
            promised, found = stream.frames, index + report.skipped + report.hidden
            if usual_ratio(stream.sample_aspect_ratio) != (stream.sample_aspect_ratio or 1):
                report.note(f"pixels of shape {stream.sample_aspect_ratio} taken as square")
            stated = 0.0 if promised else _stated_seconds(container, stream)
        if promised - found > max(2, _MISSING * promised):
            report.note(f"ends after {found} of {promised} frames")
        if stated and first is not None and last is not None:
            step = float(1 / self.info.rate)
            seconds = float(last - first) + step
            if stated - seconds > max(3 * step, _MISSING * stated):
                report.note(f"ends after {seconds:.1f} of {stated:.1f} s")

    def _info(self, container: InputContainer, stream: VideoStream, identity: str) -> ClipInfo:
        report = ReadReport()
        first = next(_decoded(container, stream, report), None)
        if first is None:
            lost = f" ({report.skipped} damaged)" if report.skipped else ""
            raise InputError(
                self._path, f"has no frame that can be decoded{lost}", "Get a complete copy"
            )
        picture = _pixels(first, stream)
        rate = stream.average_rate or stream.guessed_rate or _FALLBACK_RATE
        base = stream.time_base or 1 / rate
        frames = stream.frames or None
        if frames is None and container.duration:
            frames = max(1, round(container.duration / 1_000_000 * rate))
        return ClipInfo(
            source=self._path,
            size_hw=(picture.shape[0], picture.shape[1]),
            rate=Fraction(rate),
            time_base=base if base >= _FINEST else _FINEST,
            frames=frames,
            has_audio=bool(container.streams.audio),
            identity=identity,
        )

    @contextmanager
    def _opened(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        """The file and its picture stream; whatever is wrong with either is one InputError."""
        av = load_av()
        try:
            container = av.open(self._path)
        except (OSError, ValueError, av.error.FFmpegError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                self._path, f"is damaged or not a video ({reason})", "Get a complete copy"
            ) from error
        with container:
            yield container, self._picture_stream(container)

    def _picture_stream(self, container: InputContainer) -> VideoStream:
        av = load_av()
        cover = av.stream.Disposition.attached_pic
        streams = [s for s in container.streams.video if not s.disposition & cover]
        if not streams:
            sound = ", only sound" if container.streams.audio else ""
            raise InputError(self._path, f"has no pictures{sound}", "Give a video")
        stream = streams[0]
        context = stream.codec_context
        if context is None:
            raise InputError(
                self._path,
                "its codec cannot be decoded here",
                "Convert it with another program, to H.264 for example",
            )
        if context.width * context.height > self._max_pixels:
            raise ResourceError(
                self._path,
                f"frames of {context.width} x {context.height}, the limit is {self._max_pixels}",
                "Make the video smaller or raise NEARFAR_MAX_PIXELS",
            )
        return stream


def _stated_seconds(container: InputContainer, stream: VideoStream) -> float:
    """How long the pictures should last by the file's own words, 0 if it does not say it."""
    parts = stream.metadata.get("DURATION", "").split(":")  # Matroska: hours, minutes, seconds
    try:
        if len(parts) == 3:
            return 3600 * float(parts[0]) + 60 * float(parts[1]) + float(parts[2])
    except ValueError:
        return 0.0
    if container.duration is None or len(container.streams) > 1:
        return 0.0  # sound may go on longer than the pictures
    return container.duration / 1_000_000


def _decoded(
    container: InputContainer, stream: VideoStream, report: ReadReport
) -> Iterator[VideoFrame]:
    """Sound frames in the order they are shown; the others are counted."""
    av = load_av()
    faults = (OSError, ValueError, av.error.FFmpegError)
    packets, failed = container.demux(stream), 0
    while failed < _HOPELESS:
        try:
            packet = next(packets, None)
        except faults as error:
            report.note(f"has damaged places ({getattr(error, 'strerror', None) or error})")
            packets, failed = container.demux(stream), failed + 1
            continue
        if packet is None:
            return
        failed = 0
        report.hidden += packet.is_discard
        try:
            frames = packet.decode()
        except faults:
            report.skipped += 1
            continue
        for frame in frames:
            if frame.is_corrupt:
                report.skipped += 1
            else:
                yield frame


def start_of(container: InputContainer) -> Fraction:
    """When the first of picture and sound begins, seconds; 0 where that is before 0 or unknown."""
    return Fraction(max(0, container.start_time or 0), 1_000_000)


def _pixels(frame: VideoFrame, stream: VideoStream) -> NDArray[np.uint8]:
    return pixels_of_frame(frame, stream.sample_aspect_ratio, stream.codec_context.color_trc)


def _time(
    frame: VideoFrame, index: int, last: Fraction | None, info: ClipInfo, begin: Fraction
) -> Fraction:
    """The frame's time since the beginning of the file, after the last one's."""
    time = index / info.rate
    if frame.pts is not None and frame.time_base:
        time = (frame.pts - round(begin / frame.time_base)) * frame.time_base
    if last is not None and time <= last:
        time = last + 1 / info.rate
    return Fraction(time)
