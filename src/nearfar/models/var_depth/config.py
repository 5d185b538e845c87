"""Sizes of a VAR-Depth network (arXiv 2512.22653; spec var_depth.md sections A2, B1, C)."""

from __future__ import annotations

from dataclasses import dataclass

from nearfar.tokenizers.config import VQConfig
from nearfar.tokenizers.presets import SWITTI

from .limits import require


@dataclass(frozen=True, kw_only=True, slots=True)
class VarDepthConfig:
    """Sizes; the defaults are our design on the published Switti-512. Choices: limits.py.

    is_causal: scales see earlier ones, not only f_hat. has_crop: crop condition. condition: the
    photo through small MLPs, or the released adapter on a prompt. photo: whose features of it.
    semantics_width: of that encoder, 0 for the tokenizer. context_side: photo tokens per side of
    the context; prefix_tokens: learned ones before them. spatial: how the photo gets to its places.
    inject_every: blocks between injections. has_null: can be guided. upsampler: second stage.
    """

    width: int = 1920
    depth: int = 30
    heads: int = 30
    context_width: int = 2048
    pooled_width: int = 1280
    ffn: str = "swiglu"
    is_causal: bool = False
    has_crop: bool = True
    condition: str = "photo"
    prefix_mode: str = "none"
    photo: str = "tokenizer"
    semantics_width: int = 0
    context_side: int = 16
    prefix_tokens: int = 8
    spatial: str = "ladder"
    ladder_width: int = 256
    inject_every: int = 6
    has_null: bool = True
    upsampler: str = "none"
    upsampler_widths: tuple[int, ...] = (64, 128, 256, 256)
    curve: str = "sqrt_disparity"
    tokenizer: VQConfig = SWITTI

    def __post_init__(self) -> None:
        require(self)
