"""What tokenizers say about themselves (nearfar/family.py)."""

from __future__ import annotations

from nearfar.family import Family, NetworkKind, NetworkParts


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
    ),
)
