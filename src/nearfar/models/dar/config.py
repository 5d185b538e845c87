"""Sizes and choices of a DAR network (docs/dar.md sections 2, 3, 4, 5, decisions of 10)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args, get_type_hints

from nearfar.encoders.dinov2 import DinoV2Config
from nearfar.encoders.photo import PhotoEncoderConfig
from nearfar.encoders.tiny import TinyEncoderConfig
from nearfar.errors import ConfigError

_VIT_L = DinoV2Config(width=1024, depth=24, heads=16)


@dataclass(frozen=True, kw_only=True, slots=True)
class DARConfig:
    """The paper's behavior at the size `small`; the last eleven fields hold the decisions.

    vit, tiny or photo: the photo encoder. token_width: of the tokens outside the transformer. near,
    far: metres of the bins. last_grid: finest tokens of a photo of 3:4; fractions: the steps' share
    of it. bin_grid: bin pixels a side per token. area: network pixels when none are asked for.
    """

    vit: DinoV2Config | None = _VIT_L
    tiny: TinyEncoderConfig | None = None
    photo: PhotoEncoderConfig | None = None
    neck_widths: tuple[int, int, int, int] = (256, 512, 1024, 1024)
    layers: int = 5
    width: int = 960
    heads: int = 15
    token_width: int = 1536
    memory_width: int = 1536
    context_width: int = 320
    decoder_width: int = 32
    hidden_width: int = 192
    bins: int = 16
    bin_width: int = 128
    bin_kernel: int = 7
    near: float = 1e-3
    far: float = 10.0
    last_grid: tuple[int, int] = (16, 20)
    fractions: tuple[float, ...] = (0.25, 0.375, 0.5, 0.75, 1.0)
    bin_grid: int = 2
    multiple: int = 28  # photos are padded to it
    area: int = 480 * 640
    is_masked: bool = True  # the patch-wise causal mask, hence a key-value cache
    bin_rule: Literal["paper", "released", "elastic"] = "paper"
    feedback: Literal["gru", "transformer"] = "gru"  # what the next step's input is made of
    has_embeddings: bool = True  # positions and levels of the tokens
    norm: Literal["group", "batch"] = "group"  # of the token decoder, shared by all steps
    pixels: Literal["imagenet", "symmetric"] = "imagenet"  # what the ViT sees
    memory_stride: int = 14  # pixels a memory token of the ViT: 14, or 8 as in the paper
    spacing: Literal["linear", "log"] = "linear"  # bins uniform in metres, or in ln(metres)
    is_grid_per_step: bool = False  # bin grid of every step, or of the last one
    spread_of_first: bool = False  # spread: of the first bins around the answer, or of the last
    has_prior: bool = False  # a step starts from the depth before it, the first from the encoder's

    def __post_init__(self) -> None:
        check(self)


# What a DAR configuration must fulfil; every refusal names the field and the values.


_POSITIVE = (
    "layers", "width", "heads", "token_width", "memory_width", "context_width", "decoder_width",
    "hidden_width", "bins", "bin_width", "bin_kernel", "bin_grid", "multiple", "area",
)  # fmt: skip
GROUPS = 4  # of every GroupNorm over decoder and a small encoder's context


def check(config: DARConfig) -> None:
    """ConfigError for the first field that cannot be."""
    for name in _POSITIVE:
        value = getattr(config, name)
        if not isinstance(value, int) or value < 1:
            raise ConfigError(f"DARConfig.{name}", f"{value!r} is not a positive integer")
    if [config.vit, config.tiny, config.photo].count(None) != 2:
        raise ConfigError("DARConfig.vit", "one photo encoder is needed", "Give vit, tiny or photo")
    if not (math.isfinite(config.far) and 0 < config.near < config.far):
        raise ConfigError(
            "DARConfig.near", f"range {config.near} to {config.far} m", "Needs 0 < near < far"
        )
    if config.layers % 2 == 0:
        raise ConfigError(
            "DARConfig.layers", f"{config.layers} is even", "Long skips need a middle"
        )
    if config.width % config.heads:
        raise ConfigError("DARConfig.heads", f"{config.heads} do not divide width {config.width}")
    if config.has_embeddings and config.token_width % 4:
        raise ConfigError(
            "DARConfig.token_width",
            f"{config.token_width} is no multiple of 4",
            "Positions are 2-D",
        )
    if config.bins < 3:
        raise ConfigError("DARConfig.bins", f"{config.bins} cannot narrow", "Use 4 or more")
    _check_steps(config)
    _check_choices(config)


def _check_steps(config: DARConfig) -> None:
    shares = config.fractions
    rising = all(a < b for a, b in pairwise(shares))
    if not shares or not rising or shares[0] <= 0 or shares[-1] != 1:
        raise ConfigError("DARConfig.fractions", f"{shares}", "They must rise to 1")
    if min(config.last_grid) < 2:
        raise ConfigError("DARConfig.last_grid", f"{config.last_grid} is below 2 x 2 tokens")
    if config.vit is not None and (config.multiple % 28 or config.vit.depth < 4):
        raise ConfigError(
            "DARConfig.multiple",
            f"{config.multiple} pixels, {config.vit.depth} ViT blocks",
            "The neck needs multiples of 28 and four blocks",
        )


def _check_choices(config: DARConfig) -> None:
    for name, hint in get_type_hints(DARConfig).items():
        allowed = get_args(hint)
        is_choice = bool(allowed) and all(isinstance(value, str) for value in allowed)
        if is_choice and getattr(config, name) not in allowed:
            raise ConfigError(
                f"DARConfig.{name}", f"{getattr(config, name)!r}", f"Use one of {allowed}"
            )
    if config.memory_stride not in (8, 14):
        raise ConfigError("DARConfig.memory_stride", f"{config.memory_stride}", "Use 14 or 8")
    normed = ("decoder_width", "hidden_width") if config.norm == "group" else ()
    for name in (*normed, *(("context_width",) if config.vit is None else ())):
        if getattr(config, name) % GROUPS:
            raise ConfigError(
                f"DARConfig.{name}", f"{getattr(config, name)} is no multiple of {GROUPS}"
            )
    if config.has_prior and (config.vit is not None or config.bin_rule != "paper"):
        raise ConfigError(
            "DARConfig.has_prior", "needs a small encoder's depth and bins by the paper's rule"
        )
    if config.spacing == "log" and config.bin_rule != "paper":
        raise ConfigError("DARConfig.spacing", "log bins follow the paper's rule only")
