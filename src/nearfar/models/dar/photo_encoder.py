"""The photo encoder of DAR: a ViT, a DPT-like neck, an aggregation (docs/dar.md section 2a).

Of the last four blocks F1..F4 (1/14 of the photo) come maps R1..R4 at 4, 2, 1, 1/2 times that
grid, fused from coarse to fine into P4..P1. Memory = ReLU(GroupNorm(1x1 convolution of P1, P2
strided down, P3, P4 repeated)); context = R1. Attribute names give the published tensor names.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, cat, nn
from torch.nn import functional as F

from nearfar.encoders.dinov2 import PATCH, DinoV2, normalize_rgb
from nearfar.encoders.outputs import DEPTH_CELLS, EncoderOutput
from nearfar.encoders.photo import PhotoEncoder
from nearfar.encoders.tiny import TinyEncoder

from .config import GROUPS, DARConfig

NECK_GROUPS = 16


class Encoded(NamedTuple):
    """memory_BMD for the transformer; context_BChw for the bins; what a small encoder said."""

    memory_BMD: Tensor
    context_BChw: Tensor
    small: EncoderOutput | None


class ResidualUnit(nn.Module):
    """z + convolution(relu(convolution(relu(z))))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, z_BChw: Tensor) -> Tensor:
        """The map, same size."""
        return z_BChw + self.conv2(F.relu(self.conv1(F.relu(z_BChw))))


class Fusion(nn.Module):
    """A coarse map brought to the size of a finer one, joined with it and refined."""

    def __init__(self, width: int, *, has_skip: bool) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(width, width, 1)
        self.resConfUnit1 = ResidualUnit(width) if has_skip else None
        self.resConfUnit2 = ResidualUnit(width)

    def forward(self, coarse_BChw: Tensor, fine_BChw: Tensor | None) -> Tensor:
        """Fused map at the fine size (or at its own, where there is nothing finer to join)."""
        u_BChw = coarse_BChw
        if self.resConfUnit1 is not None and fine_BChw is not None:
            size = fine_BChw.shape[-2:]
            u_BChw = F.interpolate(u_BChw, size=size, mode="bilinear", align_corners=True)
            u_BChw = u_BChw + self.resConfUnit1(fine_BChw)
        return self.out_conv(self.resConfUnit2(u_BChw))


class Neck(nn.Module):
    """The 3x3 convolutions and fusions of DPT, under their published names."""

    def __init__(self, widths: Sequence[int], width: int) -> None:
        super().__init__()
        self.layer1_rn, self.layer2_rn, self.layer3_rn, self.layer4_rn = (
            nn.Conv2d(inputs, width, 3, padding=1, bias=False) for inputs in widths
        )
        self.refinenet1, self.refinenet2, self.refinenet3, self.refinenet4 = (
            Fusion(width, has_skip=i < 3) for i in range(4)
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """R1, and P1..P4."""
        r1, r2, r3, r4 = (
            conv(x)
            for conv, x in zip(
                (self.layer1_rn, self.layer2_rn, self.layer3_rn, self.layer4_rn), maps
            )
        )
        p4 = self.refinenet4(r4, None)
        p3 = self.refinenet3(p4, r3)
        p2 = self.refinenet2(p3, r2)
        return r1, [self.refinenet1(p2, r1), p2, p3, p4]


class VitEncoder(nn.Module):
    """Memory and context of a photo by DINOv2 and the neck; trained with the rest."""

    def __init__(self, config: DARConfig) -> None:
        super().__init__()
        assert config.vit is not None
        self.config = config
        self.backbone = DinoV2(config.vit)
        vit, widths, width = config.vit.width, config.neck_widths, config.context_width
        self.projects = nn.ModuleList(nn.Conv2d(vit, n, 1) for n in widths)
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(widths[0], widths[0], 4, stride=4),
                nn.ConvTranspose2d(widths[1], widths[1], 2, stride=2),
                nn.Identity(),
                nn.Conv2d(widths[3], widths[3], 3, stride=2, padding=1),
            ]
        )
        self.scratch = Neck(widths, width)
        self.layer1 = nn.Sequential(
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.GroupNorm(NECK_GROUPS, width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
        )
        self.layer2 = nn.Sequential(nn.Conv2d(width, width, 3, stride=2, padding=1))
        self.out_layer = nn.Sequential(
            nn.Conv2d(4 * width, config.memory_width, 1),
            nn.GroupNorm(NECK_GROUPS, config.memory_width),
            nn.ReLU(),
        )

    def forward(self, image_B3HW: Tensor) -> Encoded:
        """Memory and context of RGB in 0..1 (padding 0), sides multiples of 28 pixels."""
        H, W = image_B3HW.shape[-2:]
        # Released code: 2 x - 1 whatever the ViT was trained with
        is_imagenet = self.config.pixels == "imagenet"
        pixels_B3HW = normalize_rgb(image_B3HW) if is_imagenet else 2 * image_B3HW - 1
        depth = len(self.backbone.blocks)
        features = self.backbone(pixels_B3HW, layers=range(depth - 4, depth))
        patches = [feature.patches_BLD for feature in features]
        memory_BChw, context_BChw = self.aggregate(patches, (H // PATCH, W // PATCH))
        stride = self.config.memory_stride
        if stride != PATCH:
            size_hw = (-(-H // stride), -(-W // stride))
            memory_BChw = F.interpolate(memory_BChw, size=size_hw, mode="bilinear")
        return Encoded(memory_BChw.flatten(2).transpose(1, 2), context_BChw, None)

    def aggregate(
        self, patches: Sequence[Tensor], grid_hw: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Memory map at the patch grid and context map at four times it, from four token maps."""
        maps = [
            resize(project(x_BLD.transpose(1, 2).unflatten(2, grid_hw)))
            for project, resize, x_BLD in zip(self.projects, self.resize_layers, patches)
        ]
        context_BChw, (p1, p2, p3, p4) = self.scratch(maps)
        a4 = F.interpolate(p4, scale_factor=2, mode="nearest")
        return self.out_layer(cat([self.layer1(p1), self.layer2(p2), p3, a4], dim=1)), context_BChw


# The photo encoder of `dar-tiny`: a small encoder of ours, its tokens and its log depth in metres.
#
# Memory: one token per 8x8 working pixels, with the log depth under it (ln(metres), so that scale
# reaches the transformer). Context: dense 3x3 convolutions over the photo at half size, beside the
# log depth and the sky; and, where tokens are finer than those of the steps, what they say there.

_EXTRA = 2  # log depth and sky, into the context


class SmallMemory(nn.Module):
    """Memory and context of a photo by a small encoder, frozen or trained with the rest."""

    def __init__(self, config: DARConfig) -> None:
        super().__init__()
        width, local = config.context_width, 0
        self.backbone: TinyEncoder | PhotoEncoder
        self.local: nn.Conv2d | None = None
        if config.tiny is not None:
            self.backbone = TinyEncoder(config.tiny)
        else:
            assert config.photo is not None
            self.backbone, local = PhotoEncoder(config.photo), width
            self.local = nn.Conv2d(config.photo.width, local, 1)
        self.is_frozen = False
        self.memory = nn.Linear(self.backbone.width, config.memory_width)
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.stem_norm = nn.GroupNorm(GROUPS, width)
        self.merge = nn.Conv2d(width + _EXTRA + local, width, 3, padding=1)

    def freeze(self) -> None:
        """Keep the backbone as it is: no gradients, and batch statistics as they were."""
        self.is_frozen = True
        self.backbone.requires_grad_(False)
        self.backbone.eval()

    def train(self, mode: bool = True) -> SmallMemory:
        """Training mode; a frozen backbone stays in eval mode."""
        super().train(mode)
        if self.is_frozen:
            self.backbone.eval()
        return self

    def forward(self, image_B3HW: Tensor) -> Encoded:
        """Memory and context of RGB in 0..1, and the backbone's own metres, sky and view."""
        dtype = self.memory.weight.dtype  # the backbone may be float32 beside bfloat16 weights
        with torch.no_grad() if self.is_frozen else nullcontext():
            out = self.backbone(image_B3HW)
        cells_BLD = F.pixel_unshuffle(out.coarse_B1HW, DEPTH_CELLS).flatten(2).transpose(1, 2)
        both_BLD = torch.cat([out.tokens_BLD.to(dtype), cells_BLD.to(dtype)], dim=-1)
        x_BChw = F.relu(self.stem_norm(self.stem((2 * image_B3HW - 1).to(dtype))))
        extra_B2HW = torch.stack([out.log_depth_BHW, out.sky_logit_BHW.tanh()], dim=1)
        extra_B2hw = F.interpolate(extra_B2HW, size=x_BChw.shape[-2:], mode="bilinear")
        parts = [x_BChw, extra_B2hw.to(x_BChw.dtype)]
        if self.local is not None:
            tokens_BDhw = out.tokens_BLD.to(dtype).transpose(1, 2).unflatten(2, out.grid_hw)
            size_hw = (x_BChw.shape[-2], x_BChw.shape[-1])
            parts.append(F.interpolate(self.local(tokens_BDhw), size=size_hw, mode="bilinear"))
        return Encoded(self.memory(both_BLD), F.relu(self.merge(torch.cat(parts, dim=1))), out)
