"""What tokenizers say about themselves (nearfar/family.py)."""

from __future__ import annotations

from nearfar.family import NOT_STATED, Family, NetworkKind, NetworkParts, WeightsEntry


def _parts() -> NetworkParts:
    from .config import VQConfig
    from .presets import PRESETS
    from .vqvae import VQVAE

    return NetworkParts(VQConfig, VQVAE, PRESETS)


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
    ),
)
