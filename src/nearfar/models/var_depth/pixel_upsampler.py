"""The second stage: a U-Net sharpens depth along the photo (docs/nextscale.md sections 3, 8.3).

released: a regressor; the released name is "conditional diffusion upsampler", but no noise is ever
added, and its timestep is 0 when it predicts. It works at 384x640 and leaves its output there.
residual: ours; coarse + U-Net, clamped, at the photo's aspect, sides multiples of 8 up to 768.
Shapes: B batch, H W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.geometry.resize import resize

from .config import VarDepthConfig

# The U-Net of the second stage (docs/nextscale.md section 8.3): residual blocks, attention below.
#
# Levels of the published one: widths 64, 128, 256, 256, two residual blocks each on the way down
# and three on the way up, attention (heads 8 wide) at the two deepest; group norms of 32, eps 1e-5,
# SiLU. A sinusoidal embedding of a timestep enters every block. Attribute names are the published
# ones. Shapes: B batch, C channels, H W pixels of a level, L cells, D embedding width, N heads.

EPS, GROUPS, HEAD_WIDTH, BLOCKS = 1e-5, 32, 8, 2
ATTENDING_LEVELS = 2  # from the deepest


class UNetBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x))) + time))), with a 1x1 shortcut to other channels."""

    def __init__(self, width_in: int, width_out: int, *, time_width: int) -> None:
        super().__init__()
        self.norm1 = _norm(width_in)
        self.conv1 = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.time_emb_proj = nn.Linear(time_width, width_out)
        self.norm2 = _norm(width_out)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, padding=1)
        same = width_in == width_out
        self.conv_shortcut = None if same else nn.Conv2d(width_in, width_out, 1)

    def forward(self, x_BCHW: Tensor, time_BD: Tensor) -> Tensor:
        y_BCHW = self.conv1(F.silu(self.norm1(x_BCHW)))
        y_BCHW = y_BCHW + self.time_emb_proj(F.silu(time_BD))[..., None, None]
        y_BCHW = self.conv2(F.silu(self.norm2(y_BCHW)))
        return y_BCHW + (x_BCHW if self.conv_shortcut is None else self.conv_shortcut(x_BCHW))


class UNetAttention(nn.Module):
    """x + attention of all cells to all."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH
        self.group_norm = _norm(width)
        self.to_q, self.to_k = nn.Linear(width, width), nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BLC = self.group_norm(x_BCHW).flatten(2).transpose(1, 2)
        q_BNLE, k_BNLE, v_BNLE = (
            linear(y_BLC).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for linear in (self.to_q, self.to_k, self.to_v)
        )
        out_BNLE = F.scaled_dot_product_attention(q_BNLE, k_BNLE, v_BNLE)
        y_BLC = self.to_out[0](out_BNLE.transpose(1, 2).flatten(2))
        return x_BCHW + y_BLC.transpose(1, 2).unflatten(2, x_BCHW.shape[-2:])


class Resampler(nn.Module):
    """A 3x3 convolution: strided to half the size, or after nearest doubling."""

    def __init__(self, width: int, *, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=stride, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if self.conv.stride == (1, 1):
            x_BCHW = F.interpolate(x_BCHW, scale_factor=2, mode="nearest")
        return self.conv(x_BCHW)


class UNetLevel(nn.Module):
    """Blocks of one resolution, attention after each where there is any, then the resampler."""

    def __init__(
        self, inputs: Sequence[int], width: int, *, time_width: int, attends: bool
    ) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(UNetBlock(c, width, time_width=time_width) for c in inputs)
        count = len(inputs) if attends else 0
        self.attentions = nn.ModuleList(UNetAttention(width) for _ in range(count))
        self.downsamplers: nn.ModuleList | None = None
        self.upsamplers: nn.ModuleList | None = None

    def down(self, x_BCHW: Tensor, time_BD: Tensor) -> list[Tensor]:
        """The output of every block, then the smaller map."""
        found = []
        for index in range(len(self.resnets)):
            x_BCHW = self._block(index, x_BCHW, time_BD)
            found.append(x_BCHW)
        return found if self.downsamplers is None else [*found, self.downsamplers[0](x_BCHW)]

    def up(self, x_BCHW: Tensor, skips: list[Tensor], time_BD: Tensor) -> Tensor:
        """The larger map; takes its skips from the end of the list."""
        for index in range(len(self.resnets)):
            x_BCHW = self._block(index, torch.cat([x_BCHW, skips.pop()], dim=1), time_BD)
        return x_BCHW if self.upsamplers is None else self.upsamplers[0](x_BCHW)

    def _block(self, index: int, x_BCHW: Tensor, time_BD: Tensor) -> Tensor:
        x_BCHW = self.resnets[index](x_BCHW, time_BD)
        return self.attentions[index](x_BCHW) if self.attentions else x_BCHW


class UNetMiddle(nn.Module):
    """Block, attention, block at the deepest level."""

    def __init__(self, width: int, *, time_width: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([UNetAttention(width)])
        self.resnets = nn.ModuleList(
            UNetBlock(width, width, time_width=time_width) for _ in range(2)
        )

    def forward(self, x_BCHW: Tensor, time_BD: Tensor) -> Tensor:
        x_BCHW = self.attentions[0](self.resnets[0](x_BCHW, time_BD))
        return self.resnets[1](x_BCHW, time_BD)


class TimeEmbedding(nn.Module):
    """[cos, sin] of the timestep, then two Linears."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(width, 4 * width)
        self.linear_2 = nn.Linear(4 * width, 4 * width)

    def forward(self, timestep_B: Tensor) -> Tensor:
        half = self.linear_1.in_features // 2
        index_D = torch.arange(half, dtype=torch.float32, device=timestep_B.device)
        angle_BD = timestep_B.float()[:, None] * torch.exp(-math.log(10000) / half * index_D)
        wave_BD = torch.cat([angle_BD.cos(), angle_BD.sin()], dim=-1)
        return self.linear_2(F.silu(self.linear_1(wave_BD.to(self.linear_1.weight.dtype))))


class DepthUNet(nn.Module):
    """Four channels (photo, coarse depth) to one; both sides multiples of 2^(levels - 1)."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        time_width, deepest = 4 * widths[0], len(widths) - 1
        self.conv_in = nn.Conv2d(4, widths[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(widths[0])
        self.down_blocks, skips, width = nn.ModuleList(), [widths[0]], widths[0]
        for index, out in enumerate(widths):
            attends = index > deepest - ATTENDING_LEVELS
            inputs = [width, *[out] * (BLOCKS - 1)]
            level = UNetLevel(inputs, out, time_width=time_width, attends=attends)
            skips += [out] * BLOCKS
            if index < deepest:
                level.downsamplers = nn.ModuleList([Resampler(out, stride=2)])
                skips.append(out)
            self.down_blocks.append(level)
            width = out
        self.mid_block = UNetMiddle(width, time_width=time_width)
        self.up_blocks = nn.ModuleList()
        for index, out in reversed(list(enumerate(widths))):
            inputs = [(out if j else width) + skips.pop() for j in range(BLOCKS + 1)]
            attends = index > deepest - ATTENDING_LEVELS
            level = UNetLevel(inputs, out, time_width=time_width, attends=attends)
            if index > 0:
                level.upsamplers = nn.ModuleList([Resampler(out, stride=1)])
            self.up_blocks.append(level)
            width = out
        self.conv_norm_out = _norm(width)
        self.conv_out = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, x_B4HW: Tensor, timestep_B: Tensor) -> Tensor:
        """One channel [B,1,H,W]."""
        time_BD = self.time_embedding(timestep_B)
        x_BCHW = self.conv_in(x_B4HW)
        skips = [x_BCHW]
        for level in self.down_blocks:
            assert isinstance(level, UNetLevel)
            skips += level.down(x_BCHW, time_BD)
            x_BCHW = skips[-1]
        x_BCHW = self.mid_block(x_BCHW, time_BD)
        for level in self.up_blocks:
            assert isinstance(level, UNetLevel)
            x_BCHW = level.up(x_BCHW, skips, time_BD)
        return self.conv_out(F.silu(self.conv_norm_out(x_BCHW)))


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(GROUPS, width, eps=EPS)


RELEASED_HW = (384, 640)
LONGEST = 768


class PixelUpsampler(nn.Module):
    """Depth image of a photo, both in -1..1, at pixel size."""

    def __init__(self, config: VarDepthConfig) -> None:
        super().__init__()
        self.is_residual = config.upsampler == "residual"
        self.multiple = 1 << (len(config.upsampler_widths) - 1)
        self.unet = DepthUNet(config.upsampler_widths)

    def size_for(self, photo_hw: tuple[int, int]) -> tuple[int, int]:
        """The size it works at for a photo: the released one, or near the photo's."""
        if not self.is_residual:
            return RELEASED_HW
        shrink = min(1.0, LONGEST / max(photo_hw))
        height, width = (
            max(1, round(side * shrink / self.multiple)) * self.multiple for side in photo_hw
        )
        return height, width

    def forward(self, image_B3HW: Tensor, coarse_B1HW: Tensor, timestep_B: Tensor) -> Tensor:
        """The finer depth image [B,1,H,W], not clamped; photo in -1..1."""
        found_B1HW = self.unet(torch.cat([image_B3HW, coarse_B1HW], dim=1), timestep_B)
        return coarse_B1HW + found_B1HW if self.is_residual else found_B1HW

    def refine(self, photo_13HW: Tensor, coarse_S1HW: Tensor) -> Tensor:
        """Depth images [S,1,H,W] in -1..1 of coarse ones, at the size of the photo (0..1)."""
        size_hw = (photo_13HW.shape[-2], photo_13HW.shape[-1])
        coarse_S1HW = resize(coarse_S1HW, size_hw, method="bilinear")
        image_S3HW = (2 * photo_13HW - 1).expand(len(coarse_S1HW), -1, -1, -1)
        timestep_S = torch.zeros(len(coarse_S1HW), device=photo_13HW.device)
        return self(image_S3HW, coarse_S1HW, timestep_S).clamp(-1, 1)
