"""Convolutional encoder and decoder of the VQ-VAE (docs/nextscale.md section 1).

Attribute names are the published ones. Level i has channels * multipliers[i] channels; attention
stands only at the deepest level and in the middle. Activation SiLU, group norms with eps 1e-6.
Shapes: B batch, C channels, H W pixels or cells of the level.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from .config import VQConfig

EPS = 1e-6


class ResidualBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), a 1x1 shortcut where the channels change."""

    def __init__(self, width_in: int, width_out: int, *, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, width_in, eps=EPS)
        self.conv1 = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, width_out, eps=EPS)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, padding=1)
        same = width_in == width_out
        self.nin_shortcut = None if same else nn.Conv2d(width_in, width_out, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW = self.conv1(F.silu(self.norm1(x_BCHW)))
        y_BCHW = self.conv2(F.silu(self.norm2(y_BCHW)))
        return y_BCHW + (x_BCHW if self.nin_shortcut is None else self.nin_shortcut(x_BCHW))


class CellAttention(nn.Module):
    """x + attention of one head over all cells; q, k, v lie along the channels of one 1x1 conv."""

    def __init__(self, width: int, *, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, eps=EPS)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.proj_out = nn.Conv2d(width, width, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        qkv_BCL = self.qkv(self.norm(x_BCHW)).flatten(2)
        q_B1LC, k_B1LC, v_B1LC = qkv_BCL.transpose(1, 2)[:, None].chunk(3, dim=-1)
        mixed_B1LC = F.scaled_dot_product_attention(q_B1LC, k_B1LC, v_B1LC)  # scale C^-1/2
        mixed_BCHW = mixed_B1LC[:, 0].transpose(1, 2).unflatten(2, x_BCHW.shape[-2:])
        return x_BCHW + self.proj_out(mixed_BCHW)


class Downsample(nn.Module):
    """Half the size: zeros right and below, then a strided 3x3 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.conv(F.pad(x_BCHW, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Twice the size: nearest neighbor, then a 3x3 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.conv(F.interpolate(x_BCHW, scale_factor=2, mode="nearest"))


class Level(nn.Module):
    """Residual blocks of one resolution, each followed by attention at the deepest level.

    Encoder and decoder call `downsample` or `upsample` after it; None where there is none.
    """

    def __init__(
        self, width_in: int, width_out: int, *, blocks: int, groups: int, attends: bool
    ) -> None:
        super().__init__()
        widths = [width_in, *[width_out] * blocks]
        self.block = nn.ModuleList(ResidualBlock(a, b, groups=groups) for a, b in pairwise(widths))
        count = blocks if attends else 0
        self.attn = nn.ModuleList(CellAttention(width_out, groups=groups) for _ in range(count))
        self.downsample: nn.Module | None = None
        self.upsample: nn.Module | None = None

    def forward(self, x_BCHW: Tensor) -> Tensor:
        for index, block in enumerate(self.block):
            x_BCHW = block(x_BCHW)
            if self.attn:
                x_BCHW = self.attn[index](x_BCHW)
        return x_BCHW


class Middle(nn.Module):
    """Block, attention, block at the feature grid."""

    def __init__(self, width: int, *, groups: int) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(width, width, groups=groups)
        self.attn_1 = CellAttention(width, groups=groups)
        self.block_2 = ResidualBlock(width, width, groups=groups)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x_BCHW)))


class Encoder(nn.Module):
    """Image [B,3,H,W] to features [B,C,H/stride,W/stride], before `quant_conv`."""

    def __init__(self, config: VQConfig) -> None:
        super().__init__()
        widths = [config.channels * multiplier for multiplier in config.multipliers]
        inputs = [config.channels, *widths]
        deepest = len(widths) - 1
        self.conv_in = nn.Conv2d(config.image_channels, config.channels, 3, padding=1)
        self.down = nn.ModuleList()
        for index, width in enumerate(widths):
            level = Level(
                inputs[index],
                width,
                blocks=config.blocks,
                groups=config.groups,
                attends=index == deepest,
            )
            if index < deepest:
                level.downsample = Downsample(width)
            self.down.append(level)
        self.mid = Middle(widths[-1], groups=config.groups)
        self.norm_out = nn.GroupNorm(config.groups, widths[-1], eps=EPS)
        self.conv_out = nn.Conv2d(widths[-1], config.code_width, 3, padding=1)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return self.conv_out(F.silu(self.norm_out(self.levels(image_BCHW)[-1])))

    def levels(self, image_BCHW: Tensor) -> list[Tensor]:
        """Features of every level before its downsampling, then those of the middle."""
        x_BCHW = self.conv_in(image_BCHW)
        found = []
        for level in self.down:
            assert isinstance(level, Level)
            x_BCHW = level(x_BCHW)
            found.append(x_BCHW)
            if level.downsample is not None:
                x_BCHW = level.downsample(x_BCHW)
        return [*found, self.mid(x_BCHW)]


class Decoder(nn.Module):
    """Features [B,C,h,w], after `post_quant_conv`, to an image [B,3,h*stride,w*stride].

    `up` is indexed by resolution as published; the deepest level runs first.
    """

    def __init__(self, config: VQConfig) -> None:
        super().__init__()
        widths = [config.channels * multiplier for multiplier in config.multipliers]
        inputs = [*widths[1:], widths[-1]]
        deepest = len(widths) - 1
        self.conv_in = nn.Conv2d(config.code_width, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1], groups=config.groups)
        self.up = nn.ModuleList()
        for index, width in enumerate(widths):
            level = Level(
                inputs[index],
                width,
                blocks=config.blocks + 1,
                groups=config.groups,
                attends=index == deepest,
            )
            if index > 0:
                level.upsample = Upsample(width)
            self.up.append(level)
        self.norm_out = nn.GroupNorm(config.groups, widths[0], eps=EPS)
        self.conv_out = nn.Conv2d(widths[0], config.image_channels, 3, padding=1)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        x_BCHW = self.mid(self.conv_in(features_BCHW))
        for level in reversed(self.up):
            assert isinstance(level, Level)
            x_BCHW = level(x_BCHW)
            if level.upsample is not None:
                x_BCHW = level.upsample(x_BCHW)
        return self.conv_out(F.silu(self.norm_out(x_BCHW)))
