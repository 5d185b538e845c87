"""Files leave out the stem that they share with an embedded encoder.

The video encoder stands on the tiny encoder, DAR begins with that or with the photo encoder; they
keep it frozen, and its tensors would be most of the file again. The sha256 of the stem's file
stands in the metadata; a package without that very file is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from nearfar.errors import WeightsError

from .families import NETWORKS
from .registry import ENTRIES, converted_path
from .safe import read_safetensors, sha256_of

STEMS = ("tiny-encoder", "photo-encoder")


def without_stem(family: str, tensors: Mapping[str, Tensor], stem_sha256: str) -> dict[str, Tensor]:
    """What a file must hold: everything but a stem that is still the embedded one in fp16."""
    prefix = _prefix_of(family)
    if prefix is None or (path := _stem_file(stem_sha256)) is None:
        return dict(tensors)
    stem, _ = read_safetensors(path)
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
    stem = _stem_file(stem_sha256)
    if stem is None:
        raise WeightsError(
            path,
            f"leaves its stem to {' or '.join(STEMS)}, file {stem_sha256[:12]}..., "
            "which is not here",
            "Install the version of nearfar it was trained with, or train it again",
        )
    return tensors | {prefix + name: tensor for name, tensor in read_safetensors(stem)[0].items()}


def _stem_file(sha256: str) -> Path | None:
    """The embedded encoder's file that has this hash; None if none has."""
    files = (converted_path(ENTRIES[name]) for name in STEMS)
    return next((path for path in files if path.is_file() and sha256_of(path) == sha256), None)


def _prefix_of(family: str) -> str | None:
    """Before the names of what files of this kind leave out; None for kinds of one's own."""
    kind = NETWORKS.get(family)
    return None if kind is None else kind.stem


def _is_same(tensor: Tensor, stored: Tensor) -> bool:
    """Whether the tensor would be written as the stored one is."""
    return tensor.shape == stored.shape and torch.equal(tensor.cpu().to(stored.dtype), stored)
