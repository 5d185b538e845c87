"""The video encoder's file leaves its stem out where that is the embedded tiny encoder.

The stem is frozen in training, so its tensors would be the same again, four fifths of the file. The
sha256 of the stem's file stands in the metadata; another tiny encoder in the package is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from sonde.errors import WeightsError

from .registry import ENTRIES, converted_path, find
from .safe import read_safetensors, require_sha256

FAMILY, STEM = "tiny_video_encoder", "tiny-encoder"
_PREFIX = "stem."


def without_stem(family: str, tensors: Mapping[str, Tensor], stem_sha256: str) -> dict[str, Tensor]:
    """What a file must hold: everything, but for a video encoder on the embedded stem its own."""
    is_shared = family == FAMILY and stem_sha256 and stem_sha256 == find(STEM).sha256
    return {n: t for n, t in tensors.items() if not (is_shared and n.startswith(_PREFIX))}


def with_stem(
    path: Path, family: str, tensors: dict[str, Tensor], stem_sha256: str
) -> dict[str, Tensor]:
    """The tensors of a file, and those of the embedded stem if it leaves them out."""
    if family != FAMILY or any(name.startswith(_PREFIX) for name in tensors):
        return tensors
    stem = converted_path(ENTRIES[STEM])
    try:
        require_sha256(stem, stem_sha256)
    except WeightsError as error:
        raise WeightsError(
            path,
            f"leaves its stem to {STEM}, file {stem_sha256[:12]}..., which is not the one here",
            "Install the version of sonde it was trained with, or train it again",
        ) from error
    return tensors | {_PREFIX + name: tensor for name, tensor in read_safetensors(stem)[0].items()}
