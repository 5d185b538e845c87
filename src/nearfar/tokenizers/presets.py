"""Named sizes of tokenizers.

Ours see squares: a photo or depth map of another shape is squashed to image_size x image_size, as
DepthART does (docs/nextscale.md sections 1, 2), and its prediction is stretched back.
"""

from __future__ import annotations

from dataclasses import replace

from .config import VQConfig

# Published: 108 948 355 parameters each, 256 px and 512 px, stride 16.
VAR = VQConfig()
SWITTI = replace(VAR, scales=(1, 2, 3, 4, 6, 9, 13, 18, 24, 32))

# Ours, 96 px, stride 8, trained on CPUs: few channels where pixels are many, dense convolutions. It
# takes photos and depth maps (as grey photos), so that DepthART's tiny_rgb can put both through it.
TINY = replace(
    VAR,
    channels=32,
    multipliers=(1, 1, 2, 4),
    blocks=1,
    code_width=16,
    codebook=1024,
    scales=(1, 2, 3, 4, 6, 8, 12),
    groups=8,
)
TINY_DEPTH = replace(TINY, image_channels=1)  # depth maps only: what our small models stand on
# For VAR-Depth, which always has ten scales; tiny_depth's weights fit too.
TINY_DEPTH10 = replace(TINY_DEPTH, scales=(1, 2, 3, 4, 5, 6, 7, 8, 10, 12))

MICRO = replace(
    TINY,
    channels=8,
    multipliers=(1, 1, 2),
    code_width=4,
    codebook=16,
    scales=(1, 2, 3, 4),
    groups=4,
)

PRESETS: dict[str, VQConfig] = {
    "var": VAR,
    "switti": SWITTI,
    "tiny": TINY,
    "tiny_depth": TINY_DEPTH,
    "tiny_depth10": TINY_DEPTH10,
    "micro": MICRO,
}
