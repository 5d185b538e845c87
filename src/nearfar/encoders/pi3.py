"""Semantics of Pi3 (arXiv 2507.13347), which sees all frames of a window together; PPVD's encoder.

docs/ppd.md section 4: frames bilinearly resized (no antialias) to 14/16, then normalized; a DINOv2
with four register tokens sees each frame for itself; then 36 blocks, even ones attend within each
frame, odd ones across all frames. Semantics = outputs of the last two blocks side by side. Of the
published 1210 tensors 994 are used; two of them, image mean and deviation, are constants of ours.

Shapes: B clips, T frames, H W pixels, L tokens of a frame (R of them registers), D width, E head.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.errors import ConfigError
from nearfar.layers.attention import SelfAttention
from nearfar.layers.rope import RopeTables, rope_tables

from . import dinov2
from .dinov2 import PATCH, SEMANTIC_STRIDE, DinoV2, DinoV2Config, LayerScale, Mlp

log = logging.getLogger(__name__)

MARK = "register_token"  # a tensor that only files of Pi3 have
CONSTANTS = ("image_mean", "image_std")
_OURS = ("encoder.", "decoder.", MARK)
_LAYER_NORM_EPS = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Pi3Config:
    """Trunk and decoder of equal width; `registers` per frame in each of them."""

    trunk: DinoV2Config = dinov2.PRESETS["vitl"]
    decoder_depth: int = 36
    decoder_heads: int = 16
    trunk_registers: int = 4
    registers: int = 5

    def __post_init__(self) -> None:
        if self.decoder_depth < 2 or self.decoder_depth % 2:
            raise ConfigError(
                "Pi3Config.decoder_depth",
                f"{self.decoder_depth}",
                "Blocks within a frame and across frames alternate: give an even number",
            )
        if min(self.trunk_registers, self.registers) < 1:
            raise ConfigError("Pi3Config", f"needs registers, got {self}")
        if self.trunk.width % (4 * self.decoder_heads):
            raise ConfigError(
                "Pi3Config.decoder_heads",
                f"width {self.trunk.width} / heads {self.decoder_heads} is not a multiple of 4",
            )


PRESETS = {"vitl": Pi3Config()}


class Published(NamedTuple):
    """tensors: by our names, which are the published ones. dropped: part -> number of tensors."""

    config: Pi3Config
    tensors: dict[str, Tensor]
    dropped: Counter[str]


class RegisteredDinoV2(DinoV2):
    """DINOv2 with register tokens after the class token, which have no positions."""

    def __init__(self, config: DinoV2Config, *, registers: int) -> None:
        super().__init__(config)
        self.register_tokens = nn.Parameter(torch.zeros(1, registers, config.width))

    def tokens(self, image_B3HW: Tensor) -> Tensor:
        """Class token, registers, patches."""
        x_BLD = super().tokens(image_B3HW)
        registers_BRD = self.register_tokens.expand(len(x_BLD), -1, -1)
        return torch.cat([x_BLD[:, :1], registers_BRD, x_BLD[:, 1:]], dim=1)

    def positions(self, h: int, w: int) -> Tensor:
        """Position embedding [1, 1 + h*w, D]; antialiased, unlike that of the other encoders."""
        grid = self.config.grid
        if h == w == grid:
            return self.pos_embed
        table_1DLL = self.pos_embed[:, 1:].unflatten(1, (grid, grid)).permute(0, 3, 1, 2)
        table_1Dhw = F.interpolate(table_1DLL.float(), size=(h, w), mode="bicubic", antialias=True)
        patches_1LD = table_1Dhw.flatten(2).transpose(1, 2).to(self.pos_embed.dtype)
        return torch.cat([self.pos_embed[:, :1], patches_1LD], dim=1)


class DecoderBlock(nn.Module):
    """x + ls1 * attn(norm1(x)), then x + ls2 * mlp(norm2(x)); q, k normalized and rotated."""

    def __init__(self, width: int, heads: int, *, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_LAYER_NORM_EPS)
        self.attn = SelfAttention(width, heads)
        self.ls1 = LayerScale(width)
        self.norm2 = nn.LayerNorm(width, eps=_LAYER_NORM_EPS)
        self.mlp = Mlp(width, mlp_ratio * width)
        self.ls2 = LayerScale(width)

    def forward(self, x_BLD: Tensor, *, rope: RopeTables) -> Tensor:
        x_BLD = x_BLD + self.ls1(self.attn(self.norm1(x_BLD), rope=rope))
        return x_BLD + self.ls2(self.mlp(self.norm2(x_BLD)))


class Pi3(nn.Module):
    """A `ClipEncoder`; its state dict is the used part of the published file."""

    name = "pi3"
    stride = SEMANTIC_STRIDE

    def __init__(self, config: Pi3Config) -> None:
        super().__init__()
        self.config = config
        trunk = config.trunk
        self.width = 2 * trunk.width
        self.encoder = RegisteredDinoV2(trunk, registers=config.trunk_registers)
        self.register_token = nn.Parameter(torch.zeros(1, 1, config.registers, trunk.width))
        self.decoder = nn.ModuleList(
            DecoderBlock(trunk.width, config.decoder_heads, mlp_ratio=trunk.mlp_ratio)
            for _ in range(config.decoder_depth)
        )

    def clip_semantics(self, frames_BT3HW: Tensor) -> Tensor:
        """Un-normalized semantics [B, T, h*w, 2D] float32 for clips of RGB in 0..1; h = H/16."""
        B, T = frames_BT3HW.shape[:2]
        h, w = dinov2.patch_grid(*frames_BT3HW.shape[-2:])
        image_B3HW = F.interpolate(
            frames_BT3HW.flatten(0, 1).float(),
            size=(PATCH * h, PATCH * w),
            mode="bilinear",
            align_corners=False,
        )
        last = self.config.trunk.depth - 1
        seen = self.encoder(dinov2.normalize_rgb(image_B3HW), layers=[last])[0]
        registers_BRD = self.register_token[0].expand(B * T, -1, -1)
        x_BLD = torch.cat([registers_BRD, seen.patches_BLD], dim=1)
        within, across = clip_positions(
            (h, w),
            registers=self.config.registers,
            frames=T,
            head_width=self.config.trunk.width // self.config.decoder_heads,
            like=x_BLD,
        )
        frame_BLD = x_BLD
        for index, block in enumerate(self.decoder):
            if index % 2 == 0:
                x_BLD = frame_BLD = block(x_BLD, rope=within)
            else:
                x_BLD = block(x_BLD.unflatten(0, (B, T)).flatten(1, 2), rope=across)
                x_BLD = x_BLD.unflatten(1, (T, -1)).flatten(0, 1)
        both_BLD = torch.cat([frame_BLD, x_BLD], dim=-1)[:, self.config.registers :]
        return both_BLD.float().unflatten(0, (B, T))


class ClipPositions(NamedTuple):
    """Rotary tables of the tokens of one frame, and of all frames of a clip one after the other."""

    within: RopeTables
    across: RopeTables


def clip_positions(
    grid_hw: tuple[int, int], *, registers: int, frames: int, head_width: int, like: Tensor
) -> ClipPositions:
    """Registers at (0, 0), then patches from (1, 1) on, the same in every frame; `like` x_BLD."""
    h, w = grid_hw
    tables = rope_tables(
        (h + 1, w + 1), head_width=head_width, dtype=like.dtype, device=like.device
    )
    rows = []
    for table_L1E in tables:
        table_hw1E = table_L1E.unflatten(0, (h + 1, w + 1))
        registers_R1E = table_hw1E[0, 0].expand(registers, 1, -1)
        rows.append(torch.cat([registers_R1E, table_hw1E[1:, 1:].flatten(0, 1)]))
    across = RopeTables(*(row.repeat(frames, 1, 1) for row in rows))
    return ClipPositions(RopeTables(*rows), across)


def from_published(tensors: Mapping[str, Tensor], *, where: object) -> Published:
    """Config and used tensors of a published file; what is dropped is counted and warned of.

    KeyError if a tensor that tells a size is missing. The number of heads, which no shape tells in
    the trunk, follows from the decoder's.
    """
    kept = {name: tensor for name, tensor in tensors.items() if name.startswith(_OURS)}
    kept.pop("encoder.mask_token", None)  # training only
    dropped = Counter(name.split(".")[0] for name in tensors if name not in kept)
    unknown = {part: count for part, count in dropped.items() if part not in CONSTANTS}
    if unknown:
        listed = ", ".join(f"{part} ({count})" for part, count in sorted(unknown.items()))
        log.warning("%s: parts of Pi3 that semantics do not need are left out: %s", where, listed)
    positions, width = kept["encoder.pos_embed"].shape[1:]
    heads = width // kept["decoder.0.attn.q_norm.weight"].shape[0]
    trunk = DinoV2Config(
        width=width,
        depth=_count(kept, "encoder.blocks"),
        heads=heads,
        grid=round((positions - 1) ** 0.5),
        mlp_ratio=kept["encoder.blocks.0.mlp.fc1.weight"].shape[0] // width,
    )
    config = replace(
        PRESETS["vitl"],
        trunk=trunk,
        decoder_depth=_count(kept, "decoder"),
        decoder_heads=heads,
        trunk_registers=kept["encoder.register_tokens"].shape[1],
        registers=kept[MARK].shape[2],
    )
    return Published(config, kept, dropped)


def _count(names: Mapping[str, Tensor], stem: str) -> int:
    """How many numbered modules there are under a name."""
    depth = stem.count(".") + 1
    found = {name.split(".")[depth] for name in names if name.startswith(f"{stem}.")}
    return len(found)
