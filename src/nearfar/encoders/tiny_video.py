"""Our small encoder for clips: the tiny encoder on each frame, then attention across frames.

As in Pi3 (arXiv 2507.13347), blocks within a frame and across all frames take turns. They see the
stem's tokens and coarse depth and correct the scale of each frame and its depth, so that semantics
agree between frames; depth in them is standardized once per clip, not per frame. What they correct
are frames of one mean log depth (`leveled`): neighbors in time differ less than the stem guesses
their scales to. The tokens themselves are given on as the stem made them, so that a network that
knows the tiny encoder understands them. The stem is frozen and the blocks start as nearly nothing:
an untrained one is the tiny encoder, but for the levels.

Shapes: B clips (or frames of all clips), T frames, H W pixels, h w tokens, L of a frame, R
registers, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.errors import ConfigError

from . import tiny
from .base import MetricGuess, SemanticsAndMetric
from .outputs import DEPTH_CELLS, EncoderOutput
from .pi3 import DecoderBlock, clip_positions
from .tiny import SEMANTIC_STRIDE, TinyEncoder, TinyEncoderConfig

_FIRST_GAIN = 0.01  # of the blocks: small, but not 0, so that all of a block learns at once
_REGISTER_SPREAD = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class TinyVideoConfig:
    """The stem, and pairs of blocks (within a frame, across frames) on its tokens."""

    stem: TinyEncoderConfig = tiny.PRESETS["tiny"]
    pairs: int = 2
    mlp_ratio: int = 2
    registers: int = 2

    def __post_init__(self) -> None:
        if min(self.pairs, self.mlp_ratio, self.registers) < 1:
            raise ConfigError("TinyVideoConfig", f"every size must be positive, got {self}")
        width, heads = self.stem.widths[-1], self.stem.heads
        if width % (4 * heads):
            raise ConfigError(
                "TinyVideoConfig.stem",
                f"width {width} / heads {heads} is not a multiple of 4",
                "Rotary positions need pairs in two halves of every head",
            )


PRESETS = {
    "tiny": TinyVideoConfig(),
    "micro": TinyVideoConfig(stem=tiny.PRESETS["micro"], pairs=1),
}


class TinyVideoEncoder(nn.Module):
    """A `JointClipEncoder` small enough to be embedded."""

    name = "tiny_video"
    stride = SEMANTIC_STRIDE

    def __init__(self, config: TinyVideoConfig) -> None:
        super().__init__()
        self.config = config
        width, heads = config.stem.widths[-1], config.stem.heads
        self.stem = TinyEncoder(config.stem).requires_grad_(False)
        self.width = self.stem.width
        self.registers = nn.Parameter(torch.zeros(config.registers, width))
        self.told = nn.Linear(DEPTH_CELLS * DEPTH_CELLS + 1, width)
        self.blocks = nn.ModuleList(
            DecoderBlock(width, heads, mlp_ratio=config.mlp_ratio) for _ in range(2 * config.pairs)
        )
        self.norm = nn.LayerNorm(width)
        self.cells = nn.Linear(width, DEPTH_CELLS * DEPTH_CELLS)
        self.scale = nn.Linear(width, 1)

    def train(self, mode: bool = True) -> Self:
        """The stem stays in eval mode: its batch statistics are those it was trained with."""
        super().train(mode)
        self.stem.eval()
        return self

    def forward(self, frames_BT3HW: Tensor) -> EncoderOutput:
        """All outputs of all frames of the clips, clip after clip, for RGB in 0..1 of any size."""
        B, T = frames_BT3HW.shape[:2]
        with torch.no_grad():
            out, level_B = leveled(self.stem(frames_BT3HW.flatten(0, 1)), frames=T)
        x_BLD = out.tokens_BLD.to(self.registers.dtype)
        x_BLD = x_BLD + self.told(_seen_depth(out, level_B, frames=T).to(x_BLD.dtype))
        registers_BRD = self.registers.expand(B * T, -1, -1)
        x_BLD = torch.cat([registers_BRD, x_BLD], dim=1)
        within, across = clip_positions(
            out.grid_hw,
            registers=self.config.registers,
            frames=T,
            head_width=x_BLD.shape[-1] // self.config.stem.heads,
            like=x_BLD,
        )
        for index, block in enumerate(self.blocks):
            if index % 2 == 0:
                x_BLD = block(x_BLD, rope=within)
            else:
                x_BLD = block(x_BLD.unflatten(0, (B, T)).flatten(1, 2), rope=across)
                x_BLD = x_BLD.unflatten(1, (T, -1)).flatten(0, 1)
        return self._corrected(out, x_BLD)

    def _corrected(self, out: EncoderOutput, x_BLD: Tensor) -> EncoderOutput:
        """The stem's output, its log depth moved by what the blocks made of its tokens."""
        y_BLD, count = self.norm(x_BLD), self.config.registers
        shift_B111 = self.scale(y_BLD[:, 0]).float()[:, :, None, None]
        cells_BDhw = self.cells(y_BLD[:, count:]).float().transpose(1, 2).unflatten(2, out.grid_hw)
        change_B1hw = F.pixel_shuffle(cells_BDhw, DEPTH_CELLS) + shift_B111
        full_hw = (out.log_depth_BHW.shape[-2], out.log_depth_BHW.shape[-1])
        change_B1HW = F.interpolate(change_B1hw, full_hw, mode="bilinear", align_corners=False)
        return out._replace(
            log_depth_BHW=out.log_depth_BHW + change_B1HW[:, 0],
            coarse_B1HW=out.coarse_B1HW + change_B1hw,
        )

    def clip_semantics(self, frames_BT3HW: Tensor) -> Tensor:
        """Semantics [B, T, (H/8)*(W/8), width]; depth in them keeps the scale between frames."""
        return self._meaning(self(frames_BT3HW), frames_BT3HW)

    def clip_both(self, frames_BT3HW: Tensor) -> SemanticsAndMetric:
        """`clip_semantics`, and metres of all frames one after the other, from one pass."""
        out = self(frames_BT3HW)
        size_hw = (frames_BT3HW.shape[-2], frames_BT3HW.shape[-1])
        guess: MetricGuess = TinyEncoder.guess(out, size_hw=size_hw)
        return SemanticsAndMetric(self._meaning(out, frames_BT3HW), guess)

    def _meaning(self, out: EncoderOutput, frames_BT3HW: Tensor) -> Tensor:
        B, T, _, H, W = frames_BT3HW.shape
        semantics_BLD = TinyEncoder.meaning(out, size_hw=(H, W), frames=T)
        return semantics_BLD.unflatten(0, (B, T))


def leveled(out: EncoderOutput, *, frames: int) -> tuple[EncoderOutput, Tensor]:
    """The output with one mean log depth in all frames of a clip, and how far each was above it."""
    mean_BT = out.coarse_B1HW.mean(dim=(1, 2, 3)).unflatten(0, (-1, frames))
    level_B = (mean_BT - mean_BT.mean(dim=1, keepdim=True)).flatten()
    changed = out._replace(
        log_depth_BHW=out.log_depth_BHW - level_B[:, None, None],
        coarse_B1HW=out.coarse_B1HW - level_B[:, None, None, None],
    )
    return changed, level_B


def _seen_depth(out: EncoderOutput, level_B: Tensor, *, frames: int) -> Tensor:
    """What blocks see of the depth, [B,L,17]: a token's cells about the clip's mean, the level."""
    coarse_BT1HW = out.coarse_B1HW.unflatten(0, (-1, frames))
    centered_B1HW = (coarse_BT1HW - coarse_BT1HW.mean(dim=(1, 2, 3, 4), keepdim=True)).flatten(0, 1)
    cells_BCL = F.pixel_unshuffle(centered_B1HW, DEPTH_CELLS).flatten(2)
    level_B1L = level_B[:, None, None].expand(-1, 1, cells_BCL.shape[2])
    return torch.cat([cells_BCL, level_B1L], dim=1).transpose(1, 2)


@torch.no_grad()
def start_from_stem(
    network: TinyVideoEncoder, stem: Mapping[str, Tensor], *, generator: torch.Generator
) -> None:
    """Put the tiny encoder's weights in, and make what follows it start as nearly nothing.

    The other matrices are as they are; draw them first.
    """
    network.stem.load_state_dict(stem, strict=True)
    network.registers.normal_(std=_REGISTER_SPREAD, generator=generator)
    for block in network.blocks:
        assert isinstance(block, DecoderBlock)
        block.ls1.gamma.fill_(_FIRST_GAIN)
        block.ls2.gamma.fill_(_FIRST_GAIN)
    for head in (network.cells, network.scale):
        head.weight.zero_()
        head.bias.zero_()
