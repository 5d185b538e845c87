"""DINOv2 vision transformer (arXiv 2304.07193), the trunk of Depth Anything V2 and MoGe-2.

docs/ppd.md section 4. Tokens = class token + 14-pixel patches, learned positions on a square grid
(37 x 37 in the published files) resized to the image's grid, pre-norm blocks with layer scale and
exact GELU. State-dict names are the published ones; `mask_token` is not kept (training only).

Shapes: B batch, H W pixels, h w patches, L = 1 + h*w tokens, D width, N heads, E head width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.errors import ConfigError
from nearfar.layers.attention import attention

PATCH = 14
SEMANTIC_STRIDE = 16  # network pixels a semantic token: the image is shown at 14/16 of its size
MEAN_RGB = (0.485, 0.456, 0.406)  # ImageNet statistics of RGB in 0..1
STD_RGB = (0.229, 0.224, 0.225)
HEAD_WIDTH = 64  # of every published DINOv2
_LAYER_NORM_EPS = 1e-6
_GRID_OFFSET = 0.1  # the published networks resize positions by (h + 0.1) / grid, not to h


@dataclass(frozen=True, kw_only=True, slots=True)
class DinoV2Config:
    """Size of the transformer; `grid` is the side of the learned position table."""

    width: int = 384
    depth: int = 12
    heads: int = 6
    grid: int = 37
    mlp_ratio: int = 4

    def __post_init__(self) -> None:
        if min(self.width, self.depth, self.heads, self.grid, self.mlp_ratio) < 1:
            raise ConfigError("DinoV2Config", f"every size must be positive, got {self}")
        if self.width % self.heads:
            raise ConfigError(
                "DinoV2Config", f"width {self.width} is no multiple of heads {self.heads}"
            )


PRESETS = {
    "vits": DinoV2Config(),
    "vitb": DinoV2Config(width=768, heads=12),
    "vitl": DinoV2Config(width=1024, depth=24, heads=16),
}


class DinoV2Features(NamedTuple):
    """Normalized tokens after one block: patches_BLD row-major (no class token), class_BD."""

    patches_BLD: Tensor
    class_BD: Tensor


class LayerScale(nn.Module):
    """x * gamma, one learned factor per channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x_BLD: Tensor) -> Tensor:
        return x_BLD * self.gamma


class SelfAttention(nn.Module):
    """Multi-head attention over all tokens; qkv is split as (3, heads, head width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x_BLD: Tensor) -> Tensor:
        B, L, D = x_BLD.shape
        qkv_BL3NE = self.qkv(x_BLD).view(B, L, 3, self.heads, D // self.heads)
        q_BNLE, k_BNLE, v_BNLE = qkv_BL3NE.permute(2, 0, 3, 1, 4).unbind(0)
        mixed_BNLE = attention(q_BNLE, k_BNLE, v_BNLE)
        return self.proj(mixed_BNLE.transpose(1, 2).reshape(B, L, D))


class Mlp(nn.Module):
    """Linear, exact GELU, linear."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x_BLD: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x_BLD)))


class Block(nn.Module):
    """x + ls1 * attn(norm1(x)), then x + ls2 * mlp(norm2(x))."""

    def __init__(self, config: DinoV2Config) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=_LAYER_NORM_EPS)
        self.attn = SelfAttention(config.width, config.heads)
        self.ls1 = LayerScale(config.width)
        self.norm2 = nn.LayerNorm(config.width, eps=_LAYER_NORM_EPS)
        self.mlp = Mlp(config.width, config.mlp_ratio * config.width)
        self.ls2 = LayerScale(config.width)

    def forward(self, x_BLD: Tensor) -> Tensor:
        x_BLD = x_BLD + self.ls1(self.attn(self.norm1(x_BLD)))
        return x_BLD + self.ls2(self.mlp(self.norm2(x_BLD)))


class PatchEmbed(nn.Module):
    """One token per 14x14 pixels, as a contiguous row-major sequence."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, stride=PATCH)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        # a transposed view would make every later norm and residual run strided
        return self.proj(image_B3HW).flatten(2).transpose(1, 2).contiguous()


class DinoV2(nn.Module):
    """The transformer; takes ImageNet-normalized images whose sides are multiples of 14."""

    def __init__(self, config: DinoV2Config) -> None:
        super().__init__()
        self.config = config
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + config.grid**2, config.width))
        self.patch_embed = PatchEmbed(config.width)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(config.width, eps=_LAYER_NORM_EPS)

    def forward(self, image_B3HW: Tensor, *, layers: Sequence[int]) -> list[DinoV2Features]:
        """Tokens after the blocks named in `layers` (0-based), each through the final norm."""
        H, W = image_B3HW.shape[-2:]
        if H % PATCH or W % PATCH:
            raise ConfigError("DinoV2", f"image {H}x{W} is no multiple of {PATCH} pixels")
        x_BLD = self.tokens(image_B3HW)
        first = x_BLD.shape[1] - (H // PATCH) * (W // PATCH)  # what stands before the patches
        found: dict[int, DinoV2Features] = {}
        for i, block in enumerate(self.blocks[: max(layers) + 1]):
            x_BLD = block(x_BLD)
            if i in layers:
                y_BLD = self.norm(x_BLD)
                found[i] = DinoV2Features(y_BLD[:, first:], y_BLD[:, 0])
        return [found[i] for i in layers]

    def tokens(self, image_B3HW: Tensor) -> Tensor:
        """Class token and patches with their positions: what the first block takes."""
        h, w = image_B3HW.shape[-2] // PATCH, image_B3HW.shape[-1] // PATCH
        patches_BLD = self.patch_embed(image_B3HW.to(self.cls_token.dtype))
        class_B1D = self.cls_token.expand(len(patches_BLD), -1, -1)
        return torch.cat([class_B1D, patches_BLD], dim=1) + self.positions(h, w)

    def positions(self, h: int, w: int) -> Tensor:
        """Position embedding [1, 1 + h*w, D] of a grid: bicubic from the learned square one."""
        grid = self.config.grid
        if h == w == grid:
            return self.pos_embed
        width = self.config.width
        table_1DLL = self.pos_embed[:, 1:].view(1, grid, grid, width).permute(0, 3, 1, 2)
        table_1Dhw = F.interpolate(
            table_1DLL.float(),  # bicubic weights lose too much in bf16
            scale_factor=((h + _GRID_OFFSET) / grid, (w + _GRID_OFFSET) / grid),
            mode="bicubic",
            antialias=False,
        )
        found_hw = tuple(table_1Dhw.shape[-2:])
        if found_hw != (h, w):
            raise ConfigError("DinoV2", f"position grid {found_hw}, not {(h, w)}")
        patches_1LD = table_1Dhw.flatten(2).transpose(1, 2).to(self.pos_embed.dtype)
        return torch.cat([self.pos_embed[:, :1], patches_1LD], dim=1)


def normalize_rgb(image_B3HW: Tensor) -> Tensor:
    """(RGB 0..1 - mean) / std with the ImageNet statistics."""
    mean_311 = image_B3HW.new_tensor(MEAN_RGB)[:, None, None]
    std_311 = image_B3HW.new_tensor(STD_RGB)[:, None, None]
    return (image_B3HW - mean_311) / std_311


def patch_grid(height: int, width: int) -> tuple[int, int]:
    """The semantic grid (h, w) of a network image: one token per 16 pixels.

    The encoders see the image at 14/16 of its size, so that their 14-pixel patches are this grid.
    """
    stride = SEMANTIC_STRIDE
    if height < stride or width < stride or height % stride or width % stride:
        raise ConfigError(
            "encoder", f"network image {height}x{width} is no multiple of {stride} pixels"
        )
    return height // stride, width // stride


def config_of(tensors: Mapping[str, Tensor], prefix: str = "") -> DinoV2Config:
    """Sizes of published tensors from their shapes; heads are 64 wide in every published DINOv2."""
    width = tensors[f"{prefix}cls_token"].shape[-1]
    return DinoV2Config(
        width=width,
        depth=numbered(tensors, f"{prefix}blocks."),
        heads=max(1, width // HEAD_WIDTH),
        grid=math.isqrt(tensors[f"{prefix}pos_embed"].shape[1] - 1),
        mlp_ratio=len(tensors[f"{prefix}blocks.0.mlp.fc1.weight"]) // width,
    )


def numbered(names: Iterable[str], prefix: str) -> int:
    """One more than the highest number after the prefix; gaps show as missing tensors later."""
    numbers = [name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)]
    return 1 + max((int(n) for n in numbers if n.isdigit()), default=-1)
