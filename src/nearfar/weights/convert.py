"""Released checkpoint to safetensors of ours; all that a loader must know is in the metadata."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from nearfar.errors import ConfigError

from .prune_plan import KEY as PLAN
from .published import FORMAT, Weights, read_weights
from .safe import require_sound, sha256_of, write_safetensors

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
KEEP = "keep"


class Conversion(NamedTuple):
    """What was written. ignored: part of the source left out -> number of tensors."""

    path: Path
    family: str
    preset: str
    encoder: str
    tensors: int
    parameters: int
    ignored: dict[str, int]
    licence: str


def convert_file(
    source: Path, target: Path, *, encoder: str | None = None, dtype: str = KEEP
) -> Conversion:
    """Write the source's network as safetensors; kind, sizes and prefixes are found out.

    encoder: tag of PPD's encoder (dav2, moge2) where the file name does not tell it. dtype: keep,
    fp32, bf16 or fp16. Nothing is written if the source is damaged, dead or does not fit.
    """
    if dtype not in (KEEP, *DTYPES):
        raise ConfigError("dtype", f"unknown {dtype!r}", f"Use {KEEP}, {', '.join(DTYPES)}")
    if target.suffix != ".safetensors":
        raise ConfigError("target", f"{target.name} does not end in .safetensors")
    if target.exists() and source.resolve() == target.resolve():
        raise ConfigError("target", "source and target are the same file")
    weights = read_weights(source, encoder=encoder)
    require_sound(weights.tensors, source)
    tensors = {name: _cast(tensor, dtype) for name, tensor in weights.tensors.items()}
    if dtype == "fp16":
        require_sound(tensors, f"{source} in fp16")  # its range is small
    write_safetensors(target, tensors, metadata_of(weights, source))
    return Conversion(
        path=target,
        family=weights.family,
        preset=weights.preset,
        encoder=weights.encoder,
        tensors=len(tensors),
        parameters=sum(t.numel() for t in tensors.values() if t.is_floating_point()),
        ignored=weights.ignored,
        licence=weights.licence,
    )


def metadata_of(weights: Weights, source: Path) -> dict[str, str]:
    """The metadata of a converted file; `config` makes it independent of preset names."""
    return {
        "nearfar_format": FORMAT,
        "family": weights.family,
        "preset": weights.preset,
        "encoder": weights.encoder,
        "licence": weights.licence,
        "entry": weights.entry,
        "config": json.dumps(asdict(weights.config)),
        "source": source.name,
        "source_sha256": sha256_of(source),
    } | ({} if weights.plan is None else {PLAN: weights.plan.text()})


def _cast(tensor: Tensor, dtype: str) -> Tensor:
    return tensor.to(DTYPES[dtype]) if dtype in DTYPES and tensor.is_floating_point() else tensor
