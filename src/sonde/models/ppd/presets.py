"""Named sizes of PPD."""

from __future__ import annotations

from dataclasses import replace

from .config import PPDConfig

# The published network: 499 842 112 parameters in 352 tensors.
LARGE = PPDConfig()

# Ours: trained and run on CPUs, so SiLU (bf16 tanh-GELU costs three times as much there). A coarse
# token must be able to carry its noise: 8x8 pixels fit into width 192, 16x16 would not.
TINY = replace(
    LARGE, width=192, depth=8, heads=3, patch_size=4, semantics_width=208, activation="silu"
)

PRESETS: dict[str, PPDConfig] = {"large": LARGE, "tiny": TINY}
