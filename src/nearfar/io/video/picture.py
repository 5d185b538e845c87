"""A decoded frame as 8-bit sRGB pixels: upright, square, progressive, HDR mapped to SDR.

HDR (PQ and HLG of BT.2100) becomes display light of which 203 nits are white (BT.2408), with the
highlights above 90 % of it rolled off, in the primaries of BT.709. HLG is shown at 1000 nits.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nearfar.extras import load_extra

from ..pixels import laid_over_grey, srgb_codes

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_UNTAGGED = 2  # AVCOL_SPC_UNSPECIFIED
_HD_HEIGHT = 720  # from here on untagged colors are BT.709, below BT.601
_RATIOS = (Fraction(1, 8), Fraction(8))  # shapes that pixels of real files have
_PQ, _HLG = 16, 18  # AVCOL_TRC_SMPTE2084, AVCOL_TRC_ARIB_STD_B67
_WHITE_NITS, _HLG_NITS, _KNEE = 203.0, 1000.0, 0.9
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)
_BT709_OF_2020 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)


def load_av() -> Any:
    """PyAV, or MissingExtraError."""
    return load_extra("av", package="av")


def pixels_of_frame(
    frame: VideoFrame, pixel_ratio: Fraction | None, transfer: int
) -> NDArray[np.uint8]:
    """Pixels [H,W,3] of a frame; pixel_ratio: width by height of its pixels as the file says.

    transfer: the file's transfer characteristic as FFmpeg numbers it.
    """
    width = max(1, round(frame.width * usual_ratio(pixel_ratio)))
    if transfer in (_PQ, _HLG):
        deep: Any = frame.reformat(width=width, format="rgb48le").to_ndarray()
        return _upright(_sdr_of_hdr(deep, transfer), frame)
    av = load_av()
    untagged = frame.colorspace == _UNTAGGED and frame.height >= _HD_HEIGHT
    has_alpha = any(part.is_alpha for part in frame.format.components)
    picture: Any = frame.reformat(
        width=width,
        format="rgba" if has_alpha else "rgb24",
        src_colorspace=av.video.reformatter.Colorspace.ITU709 if untagged else None,
    ).to_ndarray()
    if has_alpha:
        picture = laid_over_grey(picture[..., :3], picture[..., 3].astype(np.float32) / 255)
    return _upright(picture, frame)


def usual_ratio(pixel_ratio: Fraction | None) -> Fraction:
    """The shape of the pixels, 1 where the file states none or an absurd one."""
    if pixel_ratio is None or not _RATIOS[0] <= pixel_ratio <= _RATIOS[1]:
        return Fraction(1)
    return pixel_ratio


def progressive(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """The same frames; of those that are interlaced the upper field, its gaps filled (bwdif).

    Always the upper one: files state the order of fields wrongly, and either is a whole picture.
    """
    graph: Any = None
    form: tuple[Any, ...] = ()
    for frame in frames:
        if graph is None and not frame.interlaced_frame:
            yield frame
            continue
        if graph is not None and form != _form(frame):
            yield from _rest(graph)
            graph = None
        if graph is None:
            graph, form = _deinterlacer(frame), _form(frame)
        graph.push(frame)
        yield from _ready(graph)
    if graph is not None:
        yield from _rest(graph)


def _form(frame: VideoFrame) -> tuple[Any, ...]:
    return frame.width, frame.height, frame.format.name


def _deinterlacer(frame: VideoFrame) -> Any:
    """A filter graph for frames like this one; progressive frames pass through it unchanged."""
    av = load_av()
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format,
        time_base=frame.time_base or Fraction(1, 1000),
    )
    graph.link_nodes(
        source,
        graph.add("bwdif", "mode=send_frame:deint=interlaced:parity=tff"),
        graph.add("buffersink"),
    ).configure()
    return graph


def _ready(graph: Any) -> Iterator[VideoFrame]:
    """The frames that a graph has finished."""
    av = load_av()
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        yield frame


def _rest(graph: Any) -> Iterator[VideoFrame]:
    graph.push(None)
    yield from _ready(graph)


def _upright(picture: NDArray[np.uint8], frame: VideoFrame) -> NDArray[np.uint8]:
    """The picture as its display matrix shows it: turned by quarters, mirrored or both."""
    parts: Any = frame.side_data
    matrix = next((part for part in parts if part.type.name == "DISPLAYMATRIX"), None)
    if matrix is None:
        return np.ascontiguousarray(picture)
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if abs(b) > abs(a):  # x goes to y
        picture, a, d = picture.swapaxes(0, 1), c, b
    return np.ascontiguousarray(picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _sdr_of_hdr(picture_HW3: NDArray[np.uint16], transfer: int) -> NDArray[np.uint8]:
    light_HW3 = _light_of_codes(transfer)[picture_HW3]
    if transfer == _HLG:  # from light of the scene to that of the display
        light_HW3 *= (light_HW3 @ _LUMA_2020)[..., None] ** 0.2 * (_HLG_NITS / _WHITE_NITS)
    light_HW3 = (light_HW3 @ _BT709_OF_2020.T).clip(0, None)
    peak_HW1 = light_HW3.max(axis=-1, keepdims=True)
    room = 1 - _KNEE
    rolled_HW1 = 1 - room * np.exp(-(np.maximum(peak_HW1, _KNEE) - _KNEE) / room)
    light_HW3 *= np.where(peak_HW1 > _KNEE, rolled_HW1 / np.maximum(peak_HW1, _KNEE), 1)
    return srgb_codes(light_HW3)


@cache
def _light_of_codes(transfer: int) -> NDArray[np.float32]:
    """Linear light of each 16-bit code: PQ with 1 = 203 nits, HLG of the scene within 0..1."""
    code = np.arange(65536) / 65535
    if transfer == _PQ:
        root = code ** (1 / 78.84375)
        light = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
        return (light ** (1 / 0.1593017578125) * 10000 / _WHITE_NITS).astype(np.float32)
    high = (np.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return np.where(code <= 0.5, code**2 / 3, high).astype(np.float32)
