"""16-bit PNG. Metric: millimetres, 0 = invalid. Other kinds: normalized, with near and far.

Metric values are rounded to whole millimetres (at least 1); pixels of 65.5355 m and more cannot be
told and are written as 0 = invalid, which is logged. Other kinds: v in 1..65535 stands for
near + (v - 1) / 65534 * (far - near), 0 = invalid; near, far and kind are PNG text. Both carry the
result's other fields as PNG text `nearfar`; sky, uncertainty and the photo are not kept.
The uncertainty has a file of its own (`write_uncertainty`).
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError, InputError
from nearfar.former_name import under_either_name
from nearfar.result import DepthKind, DepthResult

from ..atomic import atomic_path
from .metadata import from_json, to_json

_LOG = logging.getLogger(__name__)
_STEPS = 65534  # of normalized maps, between code 1 (near) and code 65535 (far)


def write(result: DepthResult, path: Path, *, limits: tuple[float, float] | None = None) -> None:
    """Write a 16-bit PNG; the units follow the result's kind (see the module's text).

    limits: near and far of a map that is not metric, for a series of them; default: its own.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("kind", result.kind.value)
    text.add_text("model", result.model)
    if result.kind is DepthKind.METRIC:
        codes = _millimetres(result, path)
        text.add_text("unit", "millimetre")
    else:
        known = result.depth[result.valid].astype(np.float64)
        near, far = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        if limits is not None:
            near, far = limits
        codes = np.zeros(result.size_hw, np.uint16)
        share = (known - near) / (far - near) if far > near else np.zeros(len(known))
        codes[result.valid] = 1 + np.rint(np.clip(share, 0, 1) * _STEPS).astype(np.uint16)
        text.add_text("unit", "normalised")  # as files always said
        text.add_text("near", repr(near))
        text.add_text("far", repr(far))
    text.add_text("nearfar", to_json(result))
    with atomic_path(path) as temporary:
        Image.fromarray(codes).save(temporary, format="PNG", pnginfo=text)


def write_uncertainty(result: DepthResult, path: Path) -> None:
    """Write the standard deviation of every pixel as a 16-bit PNG, 0 = invalid.

    Metric: millimetres, at least 1, at most 65535. Other kinds: v in 1..65535 stands for
    (v - 1) / 65534 * far in the unit of the map; far is PNG text. ConfigError if there is none.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    if result.uncertainty is None:
        raise ConfigError(
            "uncertainty",
            f"{result.model} gives none from one hypothesis",
            "Use --ensemble-size 4, or leave it out",
        )
    known = result.uncertainty[result.valid].astype(np.float64)
    text = PngInfo()
    text.add_text("content", "standard deviation of the depth")
    text.add_text("kind", result.kind.value)
    text.add_text("model", result.model)
    if result.kind is DepthKind.METRIC:
        text.add_text("unit", "millimetre")
        values = np.rint(np.minimum(known * 1000, 65535))
    else:
        far = float(known.max(initial=0.0))
        text.add_text("far", repr(far))
        values = 1 + np.rint(known / far * _STEPS) if far > 0 else np.ones(len(known))
    codes = np.zeros(result.size_hw, np.uint16)
    codes[result.valid] = np.maximum(values, 1).astype(np.uint16)
    with atomic_path(path) as temporary:
        Image.fromarray(codes).save(temporary, format="PNG", pnginfo=text)


def read(path: Path) -> DepthResult:
    """The result in a PNG written by `write`; InputError for any other PNG."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            text = {str(key): str(value) for key, value in image.info.items()}
            codes = np.array(image)
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        raise InputError(path, f"is not a readable PNG ({error})") from error
    stored = under_either_name(text, "nearfar")
    if stored is None or codes.ndim != 2:
        raise InputError(
            path,
            "does not state unit and kind (no nearfar metadata)",
            "Read foreign PNGs with nearfar.io.read_depth_array",
        )
    fields = from_json(stored, path)
    valid = codes > 0
    if fields["kind"] is DepthKind.METRIC:
        depth = codes.astype(np.float32) / np.float32(1000)
    else:
        try:
            near, far = float(text["near"]), float(text["far"])
        except (KeyError, ValueError) as error:
            raise InputError(path, "lacks near and far in its PNG text") from error
        depth = (near + (codes - 1.0) / _STEPS * (far - near)).astype(np.float32)
    return DepthResult(depth=depth, valid=valid, **fields)


def _millimetres(result: DepthResult, path: Path) -> NDArray[np.uint16]:
    """Codes 1..65535, 0 where invalid, not positive, or too far for 16 bits."""
    metres = np.where(result.valid, result.depth, 0).astype(np.float64)
    codes = np.rint(metres * 1000)
    far = codes > 65535
    if far.any():
        _LOG.warning(
            "%s: %d pixels beyond 65.535 m are written as invalid; exr, npz and pfm keep them",
            path.name,
            int(far.sum()),
        )
    codes = np.where(far, 0, np.where(metres > 0, np.maximum(codes, 1), 0))
    return codes.astype(np.uint16)
