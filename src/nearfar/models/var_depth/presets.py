"""Named sizes of VAR-Depth."""

from __future__ import annotations

from dataclasses import replace

from nearfar.tokenizers.presets import MICRO as MICRO_TOKENIZER
from nearfar.tokenizers.presets import TINY_DEPTH10

from .config import VarDepthConfig

# Our design on Switti-512 (2 470 518 256 parameters): the photo through the frozen tokenizer and
# small MLPs instead of text, a U-Net ladder over the scales, a residual second stage.
GEO = VarDepthConfig(upsampler="residual")

# The released two stages: Switti-512 behind a constant prompt, RGB adapter (15 472 003), U-Net
# regressor (26 622 785). It has nothing that puts the photo's geometry in its place.
COMPAT = replace(
    GEO,
    condition="adapter",
    prefix_mode="hybrid_conditional",
    spatial="none",
    has_null=False,
    upsampler="released",
    curve="linear",
)

# Ours, 96 px, trained and run on CPUs: semantics of the frozen tiny encoder, since a tokenizer of
# this size keeps little of a photo. Ten stages as everywhere.
TINY = VarDepthConfig(
    width=256,
    depth=4,
    heads=4,
    context_width=256,
    pooled_width=256,
    has_crop=False,
    photo="encoder",
    semantics_width=208,
    context_side=12,
    prefix_tokens=0,
    ladder_width=96,
    inject_every=2,
    curve="log",
    tokenizer=TINY_DEPTH10,
)
# The same on the photo encoder, which sees the photo at twice the side: a token a cell again.
TINY_PHOTO = replace(TINY, semantics_width=144)
# With a second stage, which recipes/var_depth_upsampler.toml trains on top.
TINY_FINE = replace(TINY, upsampler="residual", upsampler_widths=(32, 32, 64, 64))
# Ablations of it: the photo joined to the input tokens, and cross-attention alone.
TINY_CONCAT = replace(TINY, spatial="concat")
TINY_CROSS = replace(TINY, spatial="none")

# For tests: every part of the design, on the photo side of a tokenizer.
MICRO = VarDepthConfig(
    width=32,
    depth=2,
    heads=2,
    context_width=24,
    pooled_width=16,
    context_side=2,
    prefix_tokens=2,
    ladder_width=16,
    inject_every=1,
    curve="log",
    tokenizer=replace(MICRO_TOKENIZER, scales=tuple(range(1, 11))),
)

PRESETS: dict[str, VarDepthConfig] = {
    "geo": GEO,
    "compat": COMPAT,
    "tiny": TINY,
    "tiny_photo": TINY_PHOTO,
    "tiny_fine": TINY_FINE,
    "tiny_concat": TINY_CONCAT,
    "tiny_cross": TINY_CROSS,
    "micro": MICRO,
}
