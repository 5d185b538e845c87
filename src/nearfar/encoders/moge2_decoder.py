"""Convolutional parts of MoGe-2: residual blocks, resamplers and the pyramid they form.

State-dict names follow the published file as far as we know them ([unverified], see
moge2_config.py): input_blocks, resamplers, res_blocks.<level>.<i>.layers.{0..5}, output_blocks.

Shapes: B batch, C channels, H W positions of a level.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from .moge2_config import ConvStackConfig

_GROUP_WIDTH = 32  # channels a group of GroupNorm
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": partial(nn.LeakyReLU, 0.2),
    "silu": nn.SiLU,
    "elu": nn.ELU,
}


class ResidualConv(nn.Module):
    """x + conv(act(norm(conv(act(norm(x)))))), 3x3 with repeated borders."""

    def __init__(self, width: int, config: ConvStackConfig) -> None:
        super().__init__()
        hidden = config.dim_times_res_block_hidden * width
        self.layers = nn.Sequential(
            _norm(config.res_block_in_norm, width),
            _ACTIVATIONS[config.activation](),
            _conv3(width, hidden),
            _norm(config.res_block_hidden_norm, hidden),
            _ACTIVATIONS[config.activation](),
            _conv3(hidden, width),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.layers(x_BCHW)


class ConvStack(nn.Module):
    """Levels from coarse to fine; each adds its own input and may project its output."""

    def __init__(self, config: ConvStackConfig) -> None:
        super().__init__()
        widths = config.dim_res_blocks
        self.input_blocks = nn.ModuleList(
            [_project(before, width) for before, width in zip(config.dim_in, widths)]
        )
        self.resamplers = nn.ModuleList(
            [_resampler(kind, *pair) for kind, pair in zip(config.resamplers, pairwise(widths))]
        )
        self.res_blocks = nn.ModuleList(
            [
                nn.Sequential(*(ResidualConv(width, config) for _ in range(count)))
                for width, count in zip(widths, config.num_res_blocks)
            ]
        )
        self.output_blocks = nn.ModuleList(
            [_project(width, after) for width, after in zip(widths, config.dim_out)]
        )

    def forward(self, features_BCHW: Sequence[Tensor]) -> list[Tensor]:
        """The output of every level, from one input a level."""
        outputs_BCHW = []
        x_BCHW = self.input_blocks[0](features_BCHW[0])
        for level, blocks in enumerate(self.res_blocks):
            if level > 0:
                x_BCHW = self.resamplers[level - 1](x_BCHW)
                x_BCHW = x_BCHW + self.input_blocks[level](features_BCHW[level])
            x_BCHW = blocks(x_BCHW)
            outputs_BCHW.append(self.output_blocks[level](x_BCHW))
        return outputs_BCHW


class Float32Conv(nn.Conv2d):
    """1x1 convolution computed in float32: bf16 has no digits for coordinates."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.float()
        return F.conv2d(x_BCHW.float(), self.weight.float(), bias)


def _project(width_in: int | None, width_out: int | None) -> nn.Module:
    """1x1 convolution, or nothing where a width is None; a few outputs are coordinates: float32."""
    if width_in is None or width_out is None:
        return nn.Identity()
    return (Float32Conv if width_out <= 3 else nn.Conv2d)(width_in, width_out, 1)


def _conv3(width_in: int, width_out: int) -> nn.Conv2d:
    return nn.Conv2d(width_in, width_out, 3, padding=1, padding_mode="replicate")


def _norm(kind: str, width: int) -> nn.Module:
    """A norm over channels; layer_norm means one group over channels and places."""
    if kind == "none":
        return nn.Identity()
    if kind == "instance_norm":
        return nn.InstanceNorm2d(width)
    groups = max(1, width // _GROUP_WIDTH) if kind == "group_norm" else 1
    return nn.GroupNorm(groups, width)


def _resampler(kind: str, width_in: int, width_out: int) -> nn.Sequential:
    """Twice as many rows and columns, then a 3x3 convolution."""
    if kind == "conv_transpose":
        grow = nn.ConvTranspose2d(width_in, width_out, 2, stride=2)
        return nn.Sequential(grow, _conv3(width_out, width_out))
    if kind == "pixel_shuffle":
        return nn.Sequential(
            _conv3(width_in, 4 * width_out), nn.PixelShuffle(2), _conv3(width_out, width_out)
        )
    corners = False if kind == "bilinear" else None
    grow_by_2 = nn.Upsample(scale_factor=2, mode=kind, align_corners=corners)
    return nn.Sequential(grow_by_2, _conv3(width_in, width_out))
