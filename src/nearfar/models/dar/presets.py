"""Named sizes of DAR (docs/dar.md section 9; widths of small, base and large are our choice)."""

from __future__ import annotations

from dataclasses import replace

from nearfar.encoders.photo import PRESETS as PHOTO_ENCODERS
from nearfar.encoders.tiny import PRESETS as TINY_ENCODERS

from .config import DARConfig

# The paper gives 5, 7, 13 blocks and 440 M, 1.0 B, 2.0 B parameters; these come nearest.
SMALL = DARConfig()
BASE = replace(SMALL, layers=7, width=2400, heads=30)
LARGE = replace(SMALL, layers=13, width=2816, heads=44)

# The public code: what it does, not what the paper says.
RELEASED = replace(
    SMALL,
    layers=9,
    width=2048,
    heads=8,
    fractions=(0.25, 0.5, 0.75, 1.0),
    multiple=56,
    is_masked=False,
    bin_rule="released",
    feedback="transformer",
    has_embeddings=False,
    norm="batch",
    pixels="symmetric",
)

# Ours: trained and run on CPUs, on the tiny encoder. Rendered scenes reach from a hand's breadth
# to a street's end, hence bins in ln(metres), on one grid of a quarter of the photo, and starting
# from the encoder's depth.
TINY = replace(
    SMALL,
    vit=None,
    tiny=TINY_ENCODERS["tiny"],
    layers=3,
    width=192,
    heads=3,
    token_width=192,
    memory_width=192,
    context_width=24,
    decoder_width=24,
    hidden_width=24,
    bin_width=16,
    bin_kernel=3,
    near=0.1,
    far=100.0,
    last_grid=(6, 8),
    bin_grid=4,
    multiple=16,
    area=96 * 128,
    spacing="log",
    spread_of_first=True,
    has_prior=True,
)

# The same on the photo encoder at its working size; again bins on a grid of a quarter of the photo.
TINY_PHOTO = replace(
    TINY, tiny=None, photo=PHOTO_ENCODERS["photo"], bin_grid=8, multiple=32, area=192 * 256
)

_NYU = {"small": SMALL, "base": BASE, "large": LARGE, "released": RELEASED}
_KITTI = {
    f"{name}-kitti": replace(config, far=80.0, area=352 * 640) for name, config in _NYU.items()
}
# For tests.
MICRO = replace(
    TINY,
    tiny=TINY_ENCODERS["micro"],
    width=32,
    heads=2,
    token_width=16,
    memory_width=24,
    context_width=8,
    decoder_width=8,
    hidden_width=8,
    bin_width=8,
    bins=8,
    area=32 * 48,
)
MICRO_PHOTO = replace(
    MICRO, tiny=None, photo=PHOTO_ENCODERS["micro"], bin_grid=8, multiple=32, area=64 * 64
)

PRESETS: dict[str, DARConfig] = {
    **_NYU,
    **_KITTI,
    "tiny": TINY,
    "tiny_photo": TINY_PHOTO,
    "micro": MICRO,
    "micro_photo": MICRO_PHOTO,
}
