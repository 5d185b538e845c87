"""The photo encoder: semantics, log metric depth, sky and field of view, from ImageNet features.

A backbone that learned from photographs (EfficientNet-Lite) and a small decoder: attention over the
1/32 grid, where a token sees the whole photo, then features added from coarse to fine up to half
the working size. It works at a fixed area whatever the size of the photo, aspect ratio kept (sides
are multiples of 32); finer detail is the work of the family that stands on it.

Shapes: B batch, C channels, H W pixels, h w a grid, L = h*w tokens, D width, N heads, E head width.
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

from .efficientnet_lite import LITE0, LITE2, EfficientNetLite, EfficientNetLiteConfig, Pyramid
from .outputs import DEPTH_CELLS, EncoderOutput, metric_guess, resized, semantic_vectors

MULTIPLE = 32  # of the working sides: the last grid of the backbone
SEMANTIC_STRIDE = 16  # network pixels per semantic token: the coarse patch of tiny_photo
_POSITION_CHANNELS = 4
_NORM_GROUPS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotoEncoderConfig:
    """Backbone, decoder width, attention blocks and heads, and the working area in pixels."""

    backbone: EfficientNetLiteConfig = LITE2
    width: int = 128
    blocks: int = 3
    heads: int = 4
    area: int = 192 * 256

    def __post_init__(self) -> None:
        if self.width % self.heads or self.width % (8 * _NORM_GROUPS):
            raise ConfigError(
                "PhotoEncoderConfig",
                f"width {self.width} is no multiple of {self.heads} heads and {8 * _NORM_GROUPS}",
            )
        if self.area < MULTIPLE * MULTIPLE:
            raise ConfigError("PhotoEncoderConfig", f"area {self.area} is under one token")


_MICRO_BACKBONE = EfficientNetLiteConfig(
    widths=(4, 4, 8, 8, 8, 8, 16), repeats=(1, 1, 1, 1, 1, 1, 1), image_size=64
)
PRESETS = {
    "photo": PhotoEncoderConfig(),
    "photo_fine": PhotoEncoderConfig(area=256 * 352),  # the same weights, nearly twice the pixels
    "photo_lite0": PhotoEncoderConfig(backbone=LITE0),
    "micro": PhotoEncoderConfig(backbone=_MICRO_BACKBONE, width=64, blocks=1, heads=2, area=4096),
}


class ResidualConv(nn.Module):
    """x + two 3x3 convolutions after a group norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(_NORM_GROUPS, width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW = F.relu(self.conv1(F.relu(self.norm(x_BCHW))))
        out_BCHW: Tensor = x_BCHW + self.conv2(y_BCHW)
        return out_BCHW


class Decoder(nn.Module):
    """From the backbone's pyramid to depth and sky at half the working size, and the globals."""

    def __init__(self, config: PhotoEncoderConfig) -> None:
        super().__init__()
        width, half, eighth = config.width, config.width // 2, config.width // 8
        first, second, third, _, fifth, _, seventh = config.backbone.widths
        wanted = (eighth, half, width, width, width)
        given = (first, second, third, fifth, seventh)
        # Features differ in loudness by a factor of ten: every channel is brought to one scale.
        self.norms = nn.ModuleList([nn.BatchNorm2d(c, affine=False) for c in given])
        self.inputs = nn.ModuleList([nn.Conv2d(c, w, 1) for c, w in zip(given, wanted)])
        self.position = nn.Linear(_POSITION_CHANNELS, width)
        self.blocks = nn.ModuleList([TokenBlock(width, config.heads) for _ in range(config.blocks)])
        self.token_norm = nn.LayerNorm(width)
        self.globals = nn.Sequential(nn.Linear(width, 64), nn.SiLU(), nn.Linear(64, 2))
        self.merge32 = ResidualConv(width)
        self.merge16 = ResidualConv(width)
        self.merge8 = ResidualConv(width)
        self.narrow4 = nn.Conv2d(width, half, 1)
        self.merge4 = ResidualConv(half)
        self.narrow2 = nn.Conv2d(half, eighth, 1)
        self.merge2 = ResidualConv(eighth)
        self.maps = nn.Conv2d(eighth, 2, 3, padding=1)
        nn.init.zeros_(self.maps.weight)

    def forward(self, pyramid: Pyramid) -> EncoderOutput:
        """Depth, sky and tokens of the working image whose features these are."""
        at2, at4, at8, at16, at32 = (
            project(norm(features_BChw))
            for features_BChw, norm, project in zip(pyramid, self.norms, self.inputs)
        )
        # 1. Tokens of the last grid look at the whole photo. [B, L, D]
        B, D, h, w = at32.shape
        x_BLD = at32.flatten(2).transpose(1, 2) + self.position(_places(h, w, like=at32))
        for block in self.blocks:
            x_BLD = block(x_BLD)
        log_scale_B, log_tan_B = self.globals(self.token_norm(x_BLD).mean(dim=1)).float().unbind(-1)
        # 2. Up the pyramid: finer features join a coarser map that is enlarged. [B, C, h, w]
        x_BCHW = self.merge32(x_BLD.transpose(1, 2).reshape(B, D, h, w))
        x_BCHW = self.merge16(_enlarged(x_BCHW, at16) + at16)
        eighth_BCHW = self.merge8(_enlarged(x_BCHW, at8) + at8)
        x_BCHW = self.merge4(_enlarged(self.narrow4(eighth_BCHW), at4) + at4)
        x_BCHW = self.merge2(_enlarged(self.narrow2(x_BCHW), at2) + at2)
        # 3. Two maps; the level of the depth is one number more for the whole photo.
        depth_B1HW, sky_B1HW = self.maps(x_BCHW).float().split(1, dim=1)
        depth_B1HW = depth_B1HW + log_scale_B[:, None, None, None]
        h8, w8 = eighth_BCHW.shape[-2:]
        return EncoderOutput(
            log_depth_BHW=depth_B1HW[:, 0],
            sky_logit_BHW=sky_B1HW[:, 0],
            log_tan_B=log_tan_B,
            tokens_BLD=eighth_BCHW.flatten(2).transpose(1, 2),
            coarse_B1HW=depth_B1HW,
            grid_hw=(h8, w8),
        )


class PhotoEncoder(nn.Module):
    """A `JointEncoder` whose backbone has seen real photographs."""

    name = "photo"
    is_metric = True
    stride = SEMANTIC_STRIDE

    def __init__(self, config: PhotoEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.width = config.width + DEPTH_CELLS * DEPTH_CELLS
        self.backbone = EfficientNetLite(config.backbone)
        self.decoder = Decoder(config)

    def forward(self, image_B3HW: Tensor) -> EncoderOutput:
        """All outputs for RGB in 0..1 of any size; maps have half the working size."""
        small_B3HW = self.to_working_size(image_B3HW)
        small_B3HW = small_B3HW.to(self.decoder.maps.weight.dtype)
        out: EncoderOutput = self.decoder(self.backbone(small_B3HW))
        return out

    def look(self, image_B3HW: Tensor) -> EncoderOutput:
        """`forward` for predictions: maps and globals are means over photo and mirror image.

        A network learns left and right a little differently; what it says of both is nearer the
        truth than what it says of one, for twice the work. Tokens are those of the photo.
        """
        small_B3HW = self.to_working_size(image_B3HW)
        out = self(torch.cat([small_B3HW, small_B3HW.flip(-1)]))
        depth_BHW, mirrored_BHW = out.log_depth_BHW.chunk(2)
        sky_BHW, mirrored_sky_BHW = out.sky_logit_BHW.chunk(2)
        depth_BHW = (depth_BHW + mirrored_BHW.flip(-1)) / 2
        return EncoderOutput(
            log_depth_BHW=depth_BHW,
            sky_logit_BHW=(sky_BHW + mirrored_sky_BHW.flip(-1)) / 2,
            log_tan_B=out.log_tan_B.unflatten(0, (2, -1)).mean(dim=0),
            tokens_BLD=out.tokens_BLD.chunk(2)[0],
            coarse_B1HW=depth_BHW[:, None],
            grid_hw=out.grid_hw,
        )

    def to_working_size(self, image_B3HW: Tensor) -> Tensor:
        """The photo at the working area, sides multiples of 32; means where it shrinks."""
        height, width = image_B3HW.shape[-2:]
        size_hw = working_size(height, width, area=self.config.area)
        if size_hw == (height, width):
            return image_B3HW
        image_B3HW = image_B3HW.float()
        if size_hw[0] * size_hw[1] < height * width:
            return F.interpolate(
                image_B3HW, size=size_hw, mode="bilinear", antialias=True, align_corners=False
            ).clamp(0, 1)
        return resized(image_B3HW, size_hw)

    def semantics(self, image_B3HW: Tensor) -> Tensor:
        """Semantics [B, (H/16)*(W/16), width]: features and the standardized log depth there."""
        return self.meaning(self.look(image_B3HW), size_hw=_size_of(image_B3HW))

    def metric(self, image_B3HW: Tensor) -> MetricGuess:
        """Depth in metres, usable pixels (no sky) and field of view, at the photo's size."""
        return metric_guess(self.look(image_B3HW), size_hw=_size_of(image_B3HW))

    def both(self, image_B3HW: Tensor) -> SemanticsAndMetric:
        """`semantics` and `metric` from one pass."""
        out, size_hw = self.look(image_B3HW), _size_of(image_B3HW)
        return SemanticsAndMetric(
            self.meaning(out, size_hw=size_hw), metric_guess(out, size_hw=size_hw)
        )

    @classmethod
    def meaning(cls, out: EncoderOutput, *, size_hw: tuple[int, int], frames: int = 1) -> Tensor:
        """The semantics in an output, for a photo of this size."""
        return semantic_vectors(out, size_hw=size_hw, stride=cls.stride, frames=frames)


def working_size(height: int, width: int, *, area: int) -> tuple[int, int]:
    """(height, width) of about `area` pixels, multiples of 32, nearest to the photo's aspect."""
    factor = math.sqrt(area / (height * width))
    rows, columns = (
        max(MULTIPLE, MULTIPLE * round(side * factor / MULTIPLE)) for side in (height, width)
    )
    return rows, columns


def _enlarged(x_BChw: Tensor, like_BCHW: Tensor) -> Tensor:
    """Bilinear, to the size of a finer map."""
    return resized(x_BChw, (like_BCHW.shape[-2], like_BCHW.shape[-1]))


def _places(h: int, w: int, *, like: Tensor) -> Tensor:
    """Where tokens lie [h*w,4]: rows and columns in -1..1, and the same in units of the mean side.

    The second pair tells how wide the photo is, the first how far the borders are.
    """
    y_h = torch.linspace(-1, 1, h, device=like.device, dtype=like.dtype)
    x_w = torch.linspace(-1, 1, w, device=like.device, dtype=like.dtype)
    y_hw, x_hw = torch.meshgrid(y_h, x_w, indexing="ij")
    mean = math.sqrt(h * w)
    return torch.stack([y_hw, x_hw, y_hw * h / mean, x_hw * w / mean], dim=-1).flatten(0, 1)


def _size_of(image_B3HW: Tensor) -> tuple[int, int]:
    return image_B3HW.shape[-2], image_B3HW.shape[-1]
