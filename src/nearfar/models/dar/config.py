"""Sizes and choices of a DAR network (spec dar.md sections 2-5, decisions of section 10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nearfar.encoders.dinov2 import DinoV2Config
from nearfar.encoders.tiny import TinyEncoderConfig

_VIT_L = DinoV2Config(width=1024, depth=24, heads=16)


@dataclass(frozen=True, kw_only=True, slots=True)
class DARConfig:
    """The paper's behavior at the size `small`; the last eleven fields hold the decisions.

    vit or tiny: the photo encoder. token_width: of the tokens outside the transformer. near, far:
    metres of the bins. last_grid: finest tokens of a photo of 3:4; fractions: the steps' share of
    it. bin_grid: bin pixels a side per token. area: network pixels when none are asked for.
    """

    vit: DinoV2Config | None = _VIT_L
    tiny: TinyEncoderConfig | None = None
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
        from .limits import check

        check(self)
