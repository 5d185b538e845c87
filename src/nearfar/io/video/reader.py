"""A video file as a stream of upright 8-bit RGB frames with times, whatever FFmpeg can decode.

The display rotation is applied, pixels become square, more than 8 bits are scaled down, alpha lies
over mid-grey as in photos. Times are the file's own, so variable frame rates stay; where they are
missing or fall, the mean rate goes on. Frames that do not decode are left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import InputError, ResourceError
from nearfar.extras import load_extra

from .clip import ClipFrame, ClipInfo, ReadReport, fit_frame

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_GREY = 128  # what shows through transparent pixels
_UNTAGGED = 2  # AVCOL_SPC_UNSPECIFIED
_HD_HEIGHT = 720  # from here on untagged colors are BT.709, below BT.601
_FALLBACK_RATE = Fraction(25)
_FINEST = Fraction(1, 90000)  # times are kept on this grid where the file's own is finer
_HOPELESS = 8  # failed reads in a row after which the rest is given up
_MISSING = 0.01  # share of the promised frames that an edit list may hide


def load_av() -> Any:
    """PyAV, or MissingExtraError."""
    return load_extra("av", package="av")


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
            for frame in _decoded(container, stream, report):
                time = _time(frame, index, last, self.info)
                if index >= start:
                    picture = _rgb(frame, stream.sample_aspect_ratio)
                    rgb_HW3 = fit_frame(picture, self.info, index=index, report=report)
                    yield ClipFrame(index=index, time=time, rgb_HW3=rgb_HW3)
                index, last = index + 1, time
                first = time if first is None else first
            promised, found = stream.frames, index + report.skipped
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
        picture = _rgb(first, stream.sample_aspect_ratio)
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


def _time(frame: VideoFrame, index: int, last: Fraction | None, info: ClipInfo) -> Fraction:
    """The frame's time, after the last one's."""
    time = index / info.rate
    if frame.pts is not None and frame.time_base:
        time = frame.pts * frame.time_base
    if last is not None and time <= last:
        time = last + 1 / info.rate
    return Fraction(time)


def _rgb(frame: VideoFrame, pixel_ratio: Fraction | None) -> NDArray[np.uint8]:
    """Pixels [H,W,3] uint8, upright and square; pixel_ratio: width by height of the file's own."""
    av = load_av()
    untagged = frame.colorspace == _UNTAGGED and frame.height >= _HD_HEIGHT
    has_alpha = any(part.is_alpha for part in frame.format.components)
    picture = frame.reformat(
        width=max(1, round(frame.width * (pixel_ratio or 1))),
        format="rgba" if has_alpha else "rgb24",
        src_colorspace=av.video.reformatter.Colorspace.ITU709 if untagged else None,
    ).to_ndarray()
    if has_alpha:
        alpha = picture[..., 3:].astype(np.float32) / 255
        picture = np.rint(picture[..., :3] * alpha + _GREY * (1 - alpha)).astype(np.uint8)
    return np.ascontiguousarray(np.rot90(picture, round(frame.rotation / 90) % 4))
