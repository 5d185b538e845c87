"""Our small encoder: semantics, log metric depth, sky and field of view from one network (~5 M).

Made to be trained on two CPU cores: dense 3x3 convolutions (depthwise ones are slow in bf16), a few
attention blocks on the 1/8 grid, SiLU and ReLU. It works at a small fixed area, whatever the size
of the network image, because depth is a global question; detail is the work of the family above.
Inputs that hide appearance (contrast-normalized grey and its differences) stand beside RGB, since
color does not transfer from rendered scenes to photos.

Shapes: B batch, C channels, H W pixels of the network image, h w tokens, L = h*w, D width, N heads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.encoders.base import MetricGuess, SemanticsAndMetric
from nearfar.errors import ConfigError
from nearfar.layers.token_block import TokenBlock

from .outputs import DEPTH_CELLS, EncoderOutput, metric_guess, semantic_vectors

STRIDE = 8  # of the token grid against the working image
SEMANTIC_STRIDE = 8  # network pixels per semantic token: the coarse patch of the tiny families


@dataclass(frozen=True, kw_only=True, slots=True)
class TinyEncoderConfig:
    """Widths of the three scales (1/2, 1/4, 1/8), attention blocks, and the working area."""

    widths: tuple[int, int, int] = (48, 96, 192)
    blocks: int = 6
    heads: int = 3
    area: int = 48 * 64  # working pixels; the photo is resized to it, aspect kept

    def __post_init__(self) -> None:
        if self.widths[-1] % self.heads:
            raise ConfigError(
                "TinyEncoderConfig", f"width {self.widths[-1]} is no multiple of heads {self.heads}"
            )
        if self.area < STRIDE * STRIDE:
            raise ConfigError("TinyEncoderConfig", f"area {self.area} is under one token")


PRESETS = {
    "tiny": TinyEncoderConfig(),
    "tiny_fine": TinyEncoderConfig(area=96 * 128),  # the same weights fit, four times the tokens
    "micro": TinyEncoderConfig(widths=(8, 16, 32), blocks=1, heads=2, area=32 * 48),
}


class ResidualConv(nn.Module):
    """x + two dense 3x3 convolutions, starting as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        nn.init.zeros_(self.norm2.weight)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW = F.relu(self.norm1(self.conv1(x_BCHW)))
        return F.relu(x_BCHW + self.norm2(self.conv2(y_BCHW)))


class TinyEncoder(nn.Module):
    """A `JointEncoder` small enough to be embedded."""

    name = "tiny"
    is_metric = True
    stride = SEMANTIC_STRIDE

    def __init__(self, config: TinyEncoderConfig) -> None:
        super().__init__()
        self.config = config
        half, quarter, eighth = config.widths
        self.width = eighth + DEPTH_CELLS * DEPTH_CELLS
        self.stem = _downsample(3 + 4 + 2, half, kernel=5)
        self.scale2 = nn.Sequential(ResidualConv(half), ResidualConv(half))
        self.down4 = _downsample(half, quarter)
        self.scale4 = nn.Sequential(ResidualConv(quarter), ResidualConv(quarter))
        self.down8 = _downsample(quarter, eighth)
        self.scale8 = nn.Sequential(ResidualConv(eighth), ResidualConv(eighth))
        self.position = nn.Linear(16, eighth)
        self.blocks = nn.ModuleList(
            [TokenBlock(eighth, config.heads) for _ in range(config.blocks)]
        )
        self.token_norm = nn.LayerNorm(eighth)
        self.up4 = nn.Conv2d(eighth, quarter, 1)
        self.merge4 = ResidualConv(quarter)
        self.up2 = nn.Conv2d(quarter, half, 1)
        self.merge2 = ResidualConv(half)
        self.maps = nn.Conv2d(half, 2, 3, padding=1)
        self.globals = nn.Sequential(nn.Linear(eighth, 64), nn.SiLU(), nn.Linear(64, 2))

    def forward(self, image_B3HW: Tensor) -> EncoderOutput:
        """All outputs for RGB in 0..1 of any size."""
        small_B3HW = self.to_working_size(image_B3HW)
        x_BCHW = _appearance_and_place(small_B3HW).to(self.maps.weight.dtype)
        x_BCHW = x_BCHW.contiguous(memory_format=torch.channels_last)
        at2_BCHW = self.scale2(self.stem(x_BCHW))
        at4_BCHW = self.scale4(self.down4(at2_BCHW))
        at8_BCHW = self.scale8(self.down8(at4_BCHW))

        B, D, h, w = at8_BCHW.shape
        x_BLD = at8_BCHW.permute(0, 2, 3, 1).reshape(B, h * w, D)
        x_BLD = x_BLD + self.position(_fourier_grid(h, w, x_BLD))
        for block in self.blocks:
            x_BLD = block(x_BLD)
        tokens_BLD = self.token_norm(x_BLD)
        at8_BCHW = tokens_BLD.view(B, h, w, D).permute(0, 3, 1, 2)

        at4_BCHW = self.merge4(at4_BCHW + F.interpolate(self.up4(at8_BCHW), scale_factor=2))
        at2_BCHW = self.merge2(at2_BCHW + F.interpolate(self.up2(at4_BCHW), scale_factor=2))
        log_scale_B, log_tan_B = self.globals(tokens_BLD.mean(dim=1)).float().unbind(-1)
        maps_B2HW = self.maps(at2_BCHW).float()
        coarse_B1HW = maps_B2HW[:, :1] + log_scale_B[:, None, None, None]
        full_B2HW = F.interpolate(
            torch.cat([coarse_B1HW, maps_B2HW[:, 1:]], dim=1),
            scale_factor=2,
            mode="bilinear",
            align_corners=False,
        )
        return EncoderOutput(
            full_B2HW[:, 0], full_B2HW[:, 1], log_tan_B, tokens_BLD, coarse_B1HW, (h, w)
        )

    def to_working_size(self, image_B3HW: Tensor) -> Tensor:
        """The photo at the working area, sides multiples of 8, by area averaging."""
        height, width = image_B3HW.shape[-2:]
        factor = math.sqrt(self.config.area / (height * width))
        size = [max(STRIDE, STRIDE * round(side * factor / STRIDE)) for side in (height, width)]
        if size == [height, width]:
            return image_B3HW
        return F.interpolate(image_B3HW.float(), size=size, mode="area")

    def semantics(self, image_B3HW: Tensor) -> Tensor:
        """Semantics [B, (H/8)*(W/8), width]: token features and the coarse log depth under them.

        The depth part is standardized per image, so that only its shape is told, not its scale.
        """
        return self.meaning(self(image_B3HW), size_hw=_size_of(image_B3HW))

    def both(self, image_B3HW: Tensor) -> SemanticsAndMetric:
        """`semantics` and `metric` from one pass."""
        out, size_hw = self(image_B3HW), _size_of(image_B3HW)
        return SemanticsAndMetric(
            self.meaning(out, size_hw=size_hw), self.guess(out, size_hw=size_hw)
        )

    @classmethod
    def meaning(cls, out: EncoderOutput, *, size_hw: tuple[int, int], frames: int = 1) -> Tensor:
        """The semantics in an output, for a photo of this size."""
        return semantic_vectors(out, size_hw=size_hw, stride=cls.stride, frames=frames)

    def metric(self, image_B3HW: Tensor) -> MetricGuess:
        """Depth in metres, usable pixels (no sky) and field of view, at the photo's size."""
        return self.guess(self(image_B3HW), size_hw=_size_of(image_B3HW))

    @staticmethod
    def guess(out: EncoderOutput, *, size_hw: tuple[int, int]) -> MetricGuess:
        """What an output says in metres, usable pixels and degrees, at another size."""
        return metric_guess(out, size_hw=size_hw)


def _downsample(width_in: int, width_out: int, *, kernel: int = 3) -> nn.Sequential:
    """Strided convolution, norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, kernel, stride=2, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(width_out),
        nn.ReLU(),
    )


def _size_of(image_B3HW: Tensor) -> tuple[int, int]:
    return image_B3HW.shape[-2], image_B3HW.shape[-1]


def _appearance_and_place(image_B3HW: Tensor) -> Tensor:
    """RGB, four contrast-normalized grey channels, and pixel coordinates: [B, 9, H, W]."""
    grey_B1HW = image_B3HW.mean(dim=1, keepdim=True)
    mean_B1HW = F.avg_pool2d(grey_B1HW, 9, 1, 4, count_include_pad=False)
    variance_B1HW = F.avg_pool2d((grey_B1HW - mean_B1HW) ** 2, 9, 1, 4, count_include_pad=False)
    spread_B1HW = (variance_B1HW + 1e-3).sqrt()
    local_B1HW = (grey_B1HW - mean_B1HW) / spread_B1HW
    dx_B1HW = F.pad(local_B1HW.diff(dim=3), (0, 1))
    dy_B1HW = F.pad(local_B1HW.diff(dim=2), (0, 0, 0, 1))
    B, _, H, W = image_B3HW.shape
    y_H = torch.linspace(-1, 1, H, device=image_B3HW.device)
    x_W = torch.linspace(-1, 1, W, device=image_B3HW.device)
    place_2HW = torch.stack(torch.meshgrid(y_H, x_W, indexing="ij"))
    return torch.cat(
        [
            2 * image_B3HW - 1,
            local_B1HW,
            dx_B1HW,
            dy_B1HW,
            4 * spread_B1HW,
            place_2HW.expand(B, -1, -1, -1),
        ],
        dim=1,
    )


def _fourier_grid(h: int, w: int, like: Tensor) -> Tensor:
    """Sines and cosines of token places in -1..1 at four octaves: [h*w, 16], size-independent."""
    y_h = torch.linspace(-1, 1, h, device=like.device)
    x_w = torch.linspace(-1, 1, w, device=like.device)
    place_L2 = torch.stack(torch.meshgrid(y_h, x_w, indexing="ij"), dim=-1).flatten(0, 1)
    octaves_4 = math.pi * torch.tensor([0.5, 1.0, 2.0, 4.0], device=like.device)
    angle_L8 = (place_L2[:, :, None] * octaves_4).flatten(1)
    return torch.cat([angle_L8.sin(), angle_L8.cos()], dim=1).to(like.dtype)
