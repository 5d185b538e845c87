"""Pictures of linear light (OpenEXR, Radiance HDR) as 8-bit sRGB.

Tone curve: where at least 99.9 % of the brightness lies within 0..1 and its brightest 0.1 % begin
above 0.05, light is taken as display light: 1 is white, above is cut. Else exposure puts the
geometric mean at 0.18 and highlights are rolled off by Y (1 + Y / W^2) / (1 + Y), W the 99.9 %
quantile (Reinhard et al. 2002, eq. 4). Then the sRGB curve. NaN and negative light are black,
infinite light is white. Primaries are taken as BT.709.
"""

from __future__ import annotations

import io
import logging
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import InputError
from nearfar.extras import load_extra

from .depth.exr import load_channels, stored_size
from .pixels import Pixels, laid_over_grey, require_opaque, srgb_codes
from .silence import decoders_silenced

EXR_MAGIC, HDR_MAGICS = b"\x76\x2f\x31\x01", (b"#?RADIANCE", b"#?RGBE")
_HDR_SIZE = re.compile(rb"\n\n[-+][XY] (\d{1,9}) [-+][XY] (\d{1,9})\n")
_HDR_HEADER = 1 << 16
_LOG = logging.getLogger(__name__)
CheckSize = Callable[[tuple[int, int]], None]  # gets width and height, raises ResourceError
_LUMA_3 = np.array([0.2126, 0.7152, 0.0722], np.float32)
_BRIGHT_SHARE, _DIM = 0.999, 0.05
_KEY = 0.18


def decode_exr(content: bytes, where: str, check_size: CheckSize) -> Pixels:
    """Channels R, G, B (or Y), over mid-grey where A is below a half.

    check_size: called with (width, height) before any pixel is decoded.
    """
    with tempfile.NamedTemporaryFile(suffix=".exr") as file:  # 3.3 of the library reads paths only
        file.write(content)
        file.flush()
        try:
            check_size(stored_size(Path(file.name)))
            channels = load_channels(Path(file.name))
        except InputError as error:
            raise InputError(where, error.finding, error.remedy) from error
    names = ("R", "G", "B") if "R" in channels else ("Y", "Y", "Y")
    missing = [name for name in names if name not in channels]
    if missing:
        has = ", ".join(channels) or "none"
        raise InputError(where, f"has no colors R, G, B, only channels {has}", "Give a picture")
    light_HW3 = np.stack([channels[name].astype(np.float32) for name in names], axis=-1)
    if "A" not in channels:
        return Pixels(srgb_of_light(light_HW3, where))
    alpha_HW = np.nan_to_num(channels["A"].astype(np.float32)).clip(0, 1)
    opaque_HW = alpha_HW >= 0.5
    require_opaque(opaque_HW, where)
    color_HW3 = light_HW3 / np.maximum(alpha_HW, 0.5)[..., None]  # stored premultiplied
    rgb_HW3 = srgb_of_light(np.where(opaque_HW[..., None], color_HW3, np.nan), where)
    rgb_HW3 = laid_over_grey(rgb_HW3, alpha_HW)
    return Pixels(rgb_HW3, None if opaque_HW.all() else opaque_HW)


def decode_hdr(content: bytes, where: str, check_size: CheckSize) -> Pixels:
    """The picture of a Radiance HDR file."""
    found = _HDR_SIZE.search(content[:_HDR_HEADER])
    if found is None:
        raise InputError(where, "is damaged: its header states no size", "Get a complete copy")
    check_size((int(found[2]), int(found[1])))
    return Pixels(srgb_of_light(decode_by_ffmpeg(content, "hdr_pipe", where), where))


def decode_by_ffmpeg(content: bytes, form: str, where: str) -> NDArray[np.float32]:
    """Float channels [H,W,3] of a picture in one of FFmpeg's formats of a single file."""
    av = load_extra("av", package="av")
    try:
        with decoders_silenced(), av.open(io.BytesIO(content), format=form) as container:
            frame = next(container.decode(video=0))
            values: NDArray[np.float32] = frame.to_ndarray()
    except (OSError, ValueError, StopIteration, av.error.FFmpegError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            where, f"is damaged or cut short ({reason})", "Get a complete copy"
        ) from error
    if values.dtype != np.float32 or values.ndim != 3 or values.shape[2] < 3:
        raise InputError(where, f"is read as {values.dtype}, not as floats", "Save it as EXR")
    return values[..., :3]


def srgb_of_light(light_HW3: NDArray[np.float32], where: str) -> NDArray[np.uint8]:
    """Linear light as 8-bit sRGB by the tone curve above; what it did is logged."""
    known_HW = np.isfinite(light_HW3).all(axis=-1)
    light_HW3 = np.nan_to_num(light_HW3, nan=0, posinf=np.inf, neginf=0).clip(0, None)
    luma_HW = light_HW3 @ _LUMA_3
    shining = luma_HW[known_HW & (luma_HW > 0)]
    if not shining.size:
        raise InputError(where, "holds no light above 0", "Give a picture")
    bright = float(np.quantile(shining, _BRIGHT_SHARE))
    if not _DIM < bright <= 1:
        exposure = _KEY / float(np.exp(np.log(shining).mean()))
        white = bright * exposure
        luma_HW = luma_HW * exposure
        with np.errstate(invalid="ignore"):
            rolled_HW = exposure * (1 + luma_HW / white**2) / (1 + luma_HW)
            light_HW3 = np.nan_to_num(light_HW3 * rolled_HW[..., None], nan=1.0)
        _LOG.warning(
            "%s: light outside 0..1 (brightest %.3g), exposed by %.3g and rolled off",
            where,
            bright,
            exposure,
        )
    return srgb_codes(light_HW3)
