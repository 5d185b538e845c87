"""Named sizes of VAR and DepthART."""

from __future__ import annotations

from dataclasses import replace

from nearfar.tokenizers.presets import MICRO as MICRO_TOKENIZER
from nearfar.tokenizers.presets import SWITTI, TINY_DEPTH
from nearfar.tokenizers.presets import TINY as TINY_TOKENIZER

from .config import DepthARTConfig

# The published DepthART: VAR-d16 with plain attention, nothing added, at 256 pixels.
DEPTHART = DepthARTConfig()

# The published VAR zoo, l2-norm attention: 310, 601, 1033 and 2010 M parameters at 256 pixels, and
# 2354 M at 512, where all blocks share one modulation.
D16 = replace(DEPTHART, attention="l2_norm")
D20 = replace(D16, width=1280, depth=20, heads=20)
D24 = replace(D16, width=1536, depth=24, heads=24)
D30 = replace(D16, width=1920, depth=30, heads=30)
D36 = replace(D16, width=2304, depth=36, heads=36, modulation="shared", tokenizer=SWITTI)

# Ours, 96 px, trained and run on CPUs: the frozen tiny encoder instead of photo tokens, since what
# a tokenizer of this size keeps of a photo says little about depth; so its tokenizer knows depth
# alone. SiLU: bf16 tanh-GELU costs three times as much there. There is one condition only, so its
# modulation itself is trained.
TINY = replace(
    DEPTHART,
    width=256,
    depth=6,
    heads=4,
    classes=0,
    attention="l2_norm",
    modulation="constant",
    prefix="encoder",
    semantics_width=208,
    activation="silu",
    curve="log",
    tokenizer=TINY_DEPTH,
)
# The same on the photo encoder, which sees the photo at twice the side: a token a cell again.
TINY_PHOTO = replace(TINY, semantics_width=144)
# The paper's way at the same size: photo and depth through one tokenizer.
TINY_RGB = replace(TINY, prefix="tokenizer", semantics_width=0, tokenizer=TINY_TOKENIZER)

# For tests.
MICRO = replace(TINY_RGB, width=32, depth=2, heads=2, tokenizer=MICRO_TOKENIZER)

PRESETS: dict[str, DepthARTConfig] = {
    "depthart": DEPTHART,
    "d16": D16,
    "d20": D20,
    "d24": D24,
    "d30": D30,
    "d36": D36,
    "tiny": TINY,
    "tiny_photo": TINY_PHOTO,
    "tiny_rgb": TINY_RGB,
    "micro": MICRO,
}

# What DepthART starts from: VAR, which makes images of classes.
VAR_PRESETS: dict[str, DepthARTConfig] = {
    "d16": D16,
    "d20": D20,
    "d24": D24,
    "d30": D30,
    "d36": D36,
}
