"""Named sizes of PPD."""

from __future__ import annotations

from dataclasses import replace

from .config import PPDConfig, PPDVideoConfig

# The published network: 499 842 112 parameters in 352 tensors.
LARGE = PPDConfig()

# Ours: trained and run on CPUs, so SiLU (bf16 tanh-GELU costs three times as much there). A coarse
# token must be able to carry its noise: 8x8 pixels fit into width 192, 16x16 would not.
TINY = replace(
    LARGE, width=192, depth=8, heads=3, patch_size=4, semantics_width=208, activation="silu"
)

# Ours on the photo encoder: tokens of 16 and 8 pixels at 192x256, and a correction of the encoder's
# map at full resolution (docs/ppd.md section 15).
TINY_PHOTO = replace(
    LARGE,
    width=192,
    depth=6,
    heads=3,
    patch_size=8,
    semantics_width=144,
    activation="silu",
    prediction="clean",
    detail_channels=24,
)
MICRO_PHOTO = replace(
    TINY_PHOTO, width=32, depth=2, heads=2, patch_size=8, semantics_width=80, detail_channels=8
)

PRESETS: dict[str, PPDConfig] = {
    "large": LARGE,
    "tiny": TINY,
    "tiny_photo": TINY_PHOTO,
    "micro_photo": MICRO_PHOTO,
}

# The published video network: 561 754 944 parameters in 395 tensors, its position table included.
VIDEO = PPDVideoConfig()

# Ours: `tiny` with blocks across frames and reference tokens in its last two blocks; with them
# switched off it is `tiny`, whose weights it starts from. One noise for all frames, so that what
# still shows of it in the depth stands still (benchmarks/claims/video.py).
VIDEO_TINY = PPDVideoConfig(
    width=192,
    depth=8,
    heads=3,
    patch_size=4,
    semantics_width=208,
    activation="silu",
    grid_hw=(12, 16),
    positions="rope",
    temporal_before=(6, 7),
    reference_from=6,
    shared_noise=True,
)

VIDEO_PRESETS: dict[str, PPDVideoConfig] = {"video": VIDEO, "video_tiny": VIDEO_TINY}
