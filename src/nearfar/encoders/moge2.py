"""MoGe-2 (arXiv 2507.02546): semantics for PPD, and metric depth with field of view.

docs/ppd.md sections 4, 9 and 13. Semantics: bilinear resize with antialias, then normalize; patch
tokens of four blocks through the shared final norm, a 1x1 convolution each, summed. They match
golden data, and so does the metric part (features + view-plane coordinates -> neck -> heads; points
remapped by exp; scale = exp(MLP(class token))), whose layout is read from the checkpoint
(moge2_config.py).

Shapes: B batch, H W pixels of the photo, h w tokens, L = h*w, D width of the semantics.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.errors import ConfigError

from .base import MetricGuess
from .dinov2 import PATCH, SEMANTIC_STRIDE, DinoV2, normalize_rgb, patch_grid
from .moge2_camera import metric_from_affine, view_plane
from .moge2_config import GridRounding, MoGe2Config
from .moge2_decoder import ConvStack


class TrunkOutput(NamedTuple):
    """features_BDhw: summed projections; class_BD: normalized class token of the last block."""

    features_BDhw: Tensor
    class_BD: Tensor


class AffinePoints(NamedTuple):
    """points_BHW3: right up to scale and z shift; mask_BHW: usable; scale_B: metres a unit."""

    points_BHW3: Tensor
    mask_BHW: Tensor
    scale_B: Tensor


class MoGe2Trunk(nn.Module):
    """DINOv2 and one projection for each of the intermediate layers."""

    def __init__(self, config: MoGe2Config) -> None:
        super().__init__()
        self.layers = config.intermediate_layers
        self.backbone = DinoV2(config.trunk)
        self.output_projections = nn.ModuleList(
            [nn.Conv2d(config.trunk.width, config.dim_out, 1) for _ in self.layers]
        )

    def forward(self, image_B3HW: Tensor, *, grid_hw: tuple[int, int]) -> TrunkOutput:
        """Features of RGB in 0..1 on a token grid of the given size."""
        h, w = grid_hw
        resized_B3HW = F.interpolate(
            image_B3HW.float(),
            size=(PATCH * h, PATCH * w),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
        found = self.backbone(normalize_rgb(resized_B3HW), layers=self.layers)
        parts_BDhw = [
            conv(tokens.patches_BLD.transpose(1, 2).unflatten(2, (h, w)))
            for tokens, conv in zip(found, self.output_projections)
        ]
        return TrunkOutput(torch.stack(parts_BDhw).sum(dim=0), found[-1].class_BD)


class MoGe2(nn.Module):
    """A `SemanticEncoder`, and a `MetricEncoder` where its decoder is present."""

    name = "moge2"
    stride = SEMANTIC_STRIDE

    def __init__(self, config: MoGe2Config) -> None:
        super().__init__()
        self.config = config
        self.width = config.dim_out
        self.is_metric = config.is_metric
        self.encoder = MoGe2Trunk(config)
        self.neck = None if config.neck is None else ConvStack(config.neck)
        self.points_head = None if config.points_head is None else ConvStack(config.points_head)
        self.mask_head = None if config.mask_head is None else ConvStack(config.mask_head)
        self.normal_head = None if config.normal_head is None else ConvStack(config.normal_head)
        self.scale_head = None if config.scale_head is None else _mlp(config.scale_head)

    def semantics(self, image_B3HW: Tensor) -> Tensor:
        """Un-normalized semantics [B, h*w, D] float32 for RGB in 0..1; h = H/16, row-major."""
        grid_hw = patch_grid(*image_B3HW.shape[-2:])
        features_BDhw = self.encoder(image_B3HW, grid_hw=grid_hw).features_BDhw
        return features_BDhw.flatten(2).transpose(1, 2).float()

    def metric(self, image_B3HW: Tensor) -> MetricGuess:
        """Depth in metres (0 invalid), validity and horizontal field of view at the photo's size.

        Released code: resolution level 9, i.e. the largest token count of the range.
        """
        points_BHW3, mask_BHW, scale_B = self.affine_points(image_B3HW)
        return metric_from_affine(points_BHW3, mask_BHW=mask_BHW, scale_B=scale_B)

    def affine_points(self, image_B3HW: Tensor) -> AffinePoints:
        """What the decoder says, at the photo's size; ConfigError without a metric decoder."""
        neck, points_head, mask_head = self.neck, self.points_head, self.mask_head
        if neck is None or points_head is None or mask_head is None or self.scale_head is None:
            raise ConfigError(
                "moge2",
                "these weights hold the semantics only, no metric decoder",
                "Convert the full MoGe-2 file (model_config and model)",
            )
        size_hw = (image_B3HW.shape[-2], image_B3HW.shape[-1])
        tokens = self.config.num_tokens_range[1]
        grid_hw = token_grid(*size_hw, tokens=tokens, rounding=self.config.grid_rounding)
        trunk = self.encoder(image_B3HW, grid_hw=grid_hw)
        features_BCHW = neck(self._with_view_plane(trunk.features_BDhw, size_hw))
        points_B3HW = _resize(points_head(features_BCHW)[-1], size_hw)
        logit_B1HW = _resize(mask_head(features_BCHW)[-1], size_hw)
        scale_B = self.scale_head(trunk.class_BD).float().exp().squeeze(1)
        points_BHW3 = remap_points(points_B3HW.permute(0, 2, 3, 1), kind=self.config.remap_output)
        return AffinePoints(points_BHW3, logit_B1HW[:, 0] > 0, scale_B)

    def _with_view_plane(self, features_BDhw: Tensor, size_hw: tuple[int, int]) -> list[Tensor]:
        """Inputs of the neck: view-plane places at every level, features at the coarsest."""
        B, _, h, w = features_BDhw.shape
        levels = 0 if self.config.neck is None else len(self.config.neck.dim_res_blocks)
        places_B2HW = [
            view_plane(
                h * 2**level,
                w * 2**level,
                aspect=size_hw[1] / size_hw[0],
                device=features_BDhw.device,
            )
            .permute(2, 0, 1)
            .expand(B, -1, -1, -1)
            .to(features_BDhw.dtype)
            for level in range(levels)
        ]
        return [torch.cat([features_BDhw, places_B2HW[0]], dim=1), *places_B2HW[1:]]


def token_grid(
    height: int, width: int, *, tokens: int, rounding: GridRounding = "nearest"
) -> tuple[int, int]:
    """Rows and columns of about `tokens` tokens with the photo's aspect.

    Released code: current MoGe takes the nearest whole numbers, PPD's copy of it cuts down.
    """
    aspect = width / height
    whole = int if rounding == "down" else round
    return max(1, whole((tokens / aspect) ** 0.5)), max(1, whole((tokens * aspect) ** 0.5))


def remap_points(raw_BHW3: Tensor, *, kind: str) -> Tensor:
    """Points from the network's numbers; exp: z = exp(c), (x, y) = (a, b) * z."""
    if kind == "linear":
        return raw_BHW3
    z_BHW1 = raw_BHW3[..., 2:].exp()
    return torch.cat([raw_BHW3[..., :2] * z_BHW1, z_BHW1], dim=-1)


def _resize(x_BCHW: Tensor, size_hw: tuple[int, int]) -> Tensor:
    return F.interpolate(x_BCHW.float(), size=size_hw, mode="bilinear", align_corners=False)


def _mlp(widths: tuple[int, ...]) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
