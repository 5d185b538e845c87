"""What tokenizers say about themselves (nearfar/family.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nearfar.family import (
    NOT_STATED,
    Family,
    NetworkKind,
    NetworkParts,
    Recognized,
    ReleasedFile,
    ReleasedForm,
    WeightsEntry,
)

if TYPE_CHECKING:
    from torch import Tensor


def _parts() -> NetworkParts:
    from .config import VQConfig
    from .presets import PRESETS
    from .vqvae import VQVAE

    return NetworkParts(VQConfig, VQVAE, PRESETS)


def _is_tokenizer(tensors: Mapping[str, Tensor], prefixes: frozenset[str]) -> bool:
    """Whether it is a VQ-VAE of VAR or Switti, without a transformer beside it."""
    from .keys import is_published

    others = ("word_embed.weight", "blocks.0.attn.mat_qkv.weight", "text_pooler.weight")
    return is_published([*tensors]) and not any(name in tensors for name in others)


def _read(file: ReleasedFile) -> Recognized:
    """A VQ-VAE; its scales, which no shape tells, are those of the released file of this name."""
    from .keys import from_published
    from .presets import PRESETS

    scales = None if file.preset is None else PRESETS[file.preset].scales
    found = from_published(file.tensors, where=file.path, scales=scales)
    return Recognized(
        kind="depth_tokenizer",
        config=found.config,
        tensors=found.tensors,
        dropped=found.dropped,
    )


FAMILIES = (
    Family(
        name="depth_tokenizer",
        position=20,
        networks=(
            NetworkKind(
                name="depth_tokenizer",
                parts=_parts,
                instead=(
                    "a tokenizer, not a depth model",
                    "Load the model whose codes it holds, such as depthart-tiny",
                ),
            ),
        ),
        entries=(
            WeightsEntry(
                name="var-vae",
                family="depth_tokenizer",
                preset="var",
                encoder="",
                file="vae_ch160v4096z32.pth",
                licence=NOT_STATED,
                commercial=None,
                hub_repo="FoundationVision/var",
                hub_file="vae_ch160v4096z32.pth",
                size_mb=436,
                note="The tokenizer of VAR and DepthART at 256 pixels. Weight licence not stated "
                "(code: MIT). Address not checked.",
            ),
            WeightsEntry(
                name="switti-vae",
                family="depth_tokenizer",
                preset="switti",
                encoder="",
                file="vqvae_switti.safetensors",
                licence=NOT_STATED,
                commercial=None,
                hub_repo="yresearch/VQVAE-Switti",
                hub_file="model.safetensors",
                size_mb=436,
                note="The tokenizer of Switti and VAR-Depth at 512 pixels. Weight licence not "
                "stated (code: Apache-2.0). Address and file name not checked.",
            ),
        ),
        forms=(ReleasedForm(name="depth_tokenizer", is_this=_is_tokenizer, read=_read),),
    ),
)
