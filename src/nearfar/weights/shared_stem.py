"""Files leave out the stem that they share with the embedded tiny encoder.

The video encoder stands on it, DAR's photo encoder begins as it; both keep it frozen, and its
tensors would be most of the file again. The sha256 of the stem's file stands in the metadata;
another tiny encoder in the package is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from nearfar.errors import WeightsError

from .families import NETWORKS
from .registry import ENTRIES, converted_path, find
from .safe import read_safetensors, require_sha256

STEM = "tiny-encoder"


def without_stem(family: str, tensors: Mapping[str, Tensor], stem_sha256: str) -> dict[str, Tensor]:
    """What a file must hold: everything but a stem that is still the embedded one in fp16."""
    prefix = _prefix_of(family)
    if prefix is None or not stem_sha256 or stem_sha256 != find(STEM).sha256:
        return dict(tensors)
    stem, _ = read_safetensors(converted_path(ENTRIES[STEM]))
    inside = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    if inside.keys() != stem.keys() or not all(_is_same(t, stem[n]) for n, t in inside.items()):
        return dict(tensors)
    return {n: t for n, t in tensors.items() if not n.startswith(prefix)}


def with_stem(
    path: Path, family: str, tensors: dict[str, Tensor], stem_sha256: str
) -> dict[str, Tensor]:
    """The tensors of a file, and those of the embedded stem if it leaves them out."""
    prefix = _prefix_of(family)
    if prefix is None or any(name.startswith(prefix) for name in tensors):
        return tensors
    stem = converted_path(ENTRIES[STEM])
    try:
        require_sha256(stem, stem_sha256)
    except WeightsError as error:
        raise WeightsError(
            path,
            f"leaves its stem to {STEM}, file {stem_sha256[:12]}..., which is not the one here",
            "Install the version of nearfar it was trained with, or train it again",
        ) from error
    return tensors | {prefix + name: tensor for name, tensor in read_safetensors(stem)[0].items()}


def _prefix_of(family: str) -> str | None:
    """Before the names of what files of this kind leave out; None for kinds of one's own."""
    kind = NETWORKS.get(family)
    return None if kind is None else kind.stem


def _is_same(tensor: Tensor, stored: Tensor) -> bool:
    """Whether the tensor would be written as the stored one is."""
    return tensor.shape == stored.shape and torch.equal(tensor.cpu().to(stored.dtype), stored)
