"""Video files frame by frame: whole under their name at the end, or not there.

h264: color pictures for every player (8 bit, near-lossless quality, odd sizes padded by one pixel)
in MP4. ffv1: 16-bit grey, lossless, in Matroska. The source's sound is copied, not encoded anew.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import NearfarError, OutputError

from ..atomic import atomic_path
from .picture import load_av
from .reader import start_of

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

Codec = Literal["h264", "ffv1"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Form:
    container: str
    encoder: str
    pixels: str
    options: dict[str, str]


# One thread and no macroblock tree: the same pictures give the same bytes (with the tree, x264 was
# seen to write other bytes from run to run). The network beside it takes far longer.
_FORMS: dict[str, _Form] = {
    "h264": _Form(
        container="mp4",
        encoder="libx264",
        pixels="yuv420p",
        options={"crf": "16", "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"},
    ),
    "ffv1": _Form(
        container="matroska",
        encoder="ffv1",
        pixels="gray16le",
        options={"level": "3", "g": "1", "slices": "4", "slicecrc": "1", "threads": "1"},
    ),
}
_BT709, _LIMITED = 1, 1
_DISK_FAULTS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoForm:
    """What a file shall be. rate: for players only, the frames carry their own times.

    metadata: texts in the file's header. sound: file whose sound is copied, None for silence.
    """

    codec: Codec
    size_hw: tuple[int, int]
    rate: Fraction
    time_base: Fraction
    metadata: dict[str, str]
    sound: str | None = None


class VideoEncoder:
    """A video file that grows by `add`; leaving the `with` block without an error completes it.

    notes: what could not be kept, one line each. OutputError if a codec is missing or the disk is
    full; an older file of that name stays as it was then.
    """

    def __init__(self, target: str | Path, form: VideoForm) -> None:
        self._target, self._form = Path(target), form
        self._stack = ExitStack()
        self._last: Fraction | None = None
        self._sound: _SoundCopy | None = None
        self.notes: list[str] = []

    def __enter__(self) -> Self:
        av, form = load_av(), _FORMS[self._form.codec]
        try:
            temporary = self._stack.enter_context(atomic_path(self._target))
            with self._one_error():
                options = {"fflags": "+bitexact"}  # "+" keeps autobsf, which repacks AAC of TS
                container = av.open(str(temporary), "w", format=form.container, options=options)
                self._container: OutputContainer = container
                self._stack.callback(self._close_quietly)
                container.metadata.update(self._form.metadata)
                self._stream: Any = self._new_stream(form)
            if self._form.sound is not None:
                self._sound = _SoundCopy(self._form.sound, container, self.notes)
        except BaseException as error:
            self._stack.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def add(self, picture: NDArray[Any], time: Fraction) -> None:
        """One more picture: RGB uint8 [H,W,3] for h264, uint16 [H,W] for ffv1."""
        av = load_av()
        with self._one_error():
            if self._form.codec == "h264":
                rgb = av.VideoFrame.from_ndarray(_even(picture), format="rgb24")
                frame = rgb.reformat(
                    format="yuv420p", dst_colorspace=av.video.reformatter.Colorspace.ITU709
                )
                frame.colorspace = _BT709
            else:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="gray16le")
            frame.time_base = self._form.time_base
            frame.pts = round(time / self._form.time_base)
            self._mux(self._stream.encode(frame))
            if self._sound is not None:
                self._sound.copy_until(time)
        self._last = time

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            try:
                with self._one_error():
                    self._mux(self._stream.encode(None))
                    if self._sound is not None and self._last is not None:
                        self._sound.copy_until(self._last + 1 / self._form.rate)
                    self._container.close()
            except BaseException as fault:
                self._leave(type(fault), fault, fault.__traceback__)
                raise
        self._leave(kind, error, trace)

    def _leave(self, *reason: Any) -> None:
        if self._sound is not None:
            self._sound.close()
        self._stack.__exit__(*reason)

    def _new_stream(self, form: _Form) -> Any:
        av = load_av()
        if form.encoder not in av.codecs_available:
            raise OutputError(
                self._target, f"this FFmpeg has no encoder {form.encoder}", "pip install av"
            )
        stream: Any = self._container.add_stream(
            form.encoder, rate=self._form.rate, options=dict(form.options)
        )
        height, width = self._form.size_hw
        if self._form.codec == "h264":
            height, width = height + height % 2, width + width % 2
            context = stream.codec_context
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = _LIMITED
        stream.width, stream.height, stream.pix_fmt = width, height, form.pixels
        stream.codec_context.time_base = self._form.time_base
        return stream

    def _mux(self, packets: list[Packet]) -> None:
        for packet in packets:
            self._container.mux(packet)

    def _close_quietly(self) -> None:
        """After an error: give the handle back; the temporary file goes away anyway."""
        av = load_av()
        try:
            self._container.close()
        except (OSError, ValueError, av.error.FFmpegError):
            return

    @contextmanager
    def _one_error(self) -> Iterator[None]:
        av = load_av()
        try:
            yield
        except NearfarError:
            raise
        except (OSError, ValueError, av.error.FFmpegError) as error:
            raise OutputError(
                self._target,
                f"cannot be written ({getattr(error, 'strerror', None) or error})",
                "Free space or choose another output folder",
            ) from error


class _SoundCopy:
    """The sound streams of a file, copied packet by packet into another."""

    def __init__(self, source: str, target: OutputContainer, notes: list[str]) -> None:
        av = load_av()
        self._notes = notes
        self._target: OutputContainer = target
        self._streams: dict[int, Any] = {}
        self._source: InputContainer = av.open(source)
        self._begin = start_of(self._source)
        for stream in self._source.streams.audio:
            try:
                copy = target.add_stream_from_template(stream)
            except (ValueError, OSError, av.error.FFmpegError):
                name = stream.codec_context.name if stream.codec_context else "unknown"
                notes.append(f"sound ({name}) does not fit into {target.format.name}")
                continue
            self._streams[stream.index] = copy
        chosen = [s for s in self._source.streams.audio if s.index in self._streams]
        self._packets = iter(self._source.demux(*chosen)) if chosen else iter(())
        self._waiting: Packet | None = None

    def copy_until(self, end: Fraction) -> None:
        """Copy packets that begin before this time, seconds; damaged sound ends the copy."""
        av = load_av()
        while True:
            if self._waiting is None:
                try:
                    self._waiting = next(self._packets, None)
                except (OSError, ValueError, av.error.FFmpegError) as error:
                    self._notes.append(f"sound is damaged ({error}), copied up to there")
                    self._packets = iter(())
                if self._waiting is None:
                    return
            packet = self._waiting
            if packet.dts is None or packet.pts is None:
                self._waiting = None
                continue
            begin = round(self._begin / packet.time_base)
            if (packet.pts - begin) * packet.time_base >= end:
                return
            packet.pts, packet.dts = packet.pts - begin, packet.dts - begin
            packet.stream = self._streams[packet.stream.index]
            self._waiting = None
            try:
                self._target.mux(packet)
            except (OSError, ValueError, av.error.FFmpegError) as error:
                if getattr(error, "errno", None) in _DISK_FAULTS:
                    raise
                self._notes.append(f"sound cannot be copied further ({error})")
                self._packets = iter(())

    def close(self) -> None:
        """Give the source back."""
        self._source.close()


def _even(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with its last row and column repeated where the size is odd."""
    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(picture)
