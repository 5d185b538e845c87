"""A mip-mapped atlas of patterns and prints, and photos of the user's as more of them.

Textures hold patterns with mean 1, a factor on the material's color, so that pattern and color
are independent; pictures keep their own colors.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from . import patterns, prints
from .patterns import SIZE

Array = NDArray[np.float64]
LEVELS = 8  # 128, 64, ... 1


class Atlas(NamedTuple):
    """All textures with all their smaller copies: texel rows and where each copy starts."""

    texels_P3: Tensor
    level_start_L: Tensor
    texture_stride: int

    def to(self, device: torch.device) -> Atlas:
        """The same atlas on another device."""
        return Atlas(self.texels_P3.to(device), self.level_start_L.to(device), self.texture_stride)


def look_up(atlas: Atlas, texture: Tensor, u: Tensor, v: Tensor, level: Tensor) -> Tensor:
    """Bilinear texture values [...,3] at u, v (1 = one tile, repeating) on a mip level."""
    step = level.clamp(0, LEVELS - 1).round().long()
    size = SIZE >> step
    base = texture * atlas.texture_stride + atlas.level_start_L[step]
    u, v = u * size - 0.5, v * size - 0.5
    left, above = u.floor(), v.floor()
    right_part, below_part = (u - left)[..., None], (v - above)[..., None]
    mask = size - 1  # sizes are powers of two
    x0, y0 = left.long() & mask, above.long() & mask
    x1, y1 = (x0 + 1) & mask, (y0 + 1) & mask
    t = atlas.texels_P3
    upper = t[base + y0 * size + x0] * (1 - right_part) + t[base + y0 * size + x1] * right_part
    lower = t[base + y1 * size + x0] * (1 - right_part) + t[base + y1 * size + x1] * right_part
    return upper * (1 - below_part) + lower * below_part


PATTERNS: dict[str, tuple[Callable[[np.random.Generator], Array], int]] = {
    "plaster": (patterns.plaster, 20),
    "wood": (patterns.wood, 24),
    "tiles": (patterns.tiles, 16),
    "bricks": (patterns.bricks, 12),
    "cloth": (patterns.cloth, 24),
    "stone": (patterns.stone, 12),
    "leaves": (patterns.leaves, 12),
    "gravel": (patterns.gravel, 20),
    "facade": (patterns.facade, 16),
    "poster": (prints.poster, 32),
    "package": (prints.package, 32),
    "lines": (prints.lines, 10),
    "clouds": (patterns.clouds, 10),
    "planks": (patterns.planks, 20),
    "veneer": (patterns.veneer, 16),
    "carpet": (patterns.carpet, 12),
    "concrete": (patterns.concrete, 16),
    "folds": (patterns.folds, 10),
    "ribs": (patterns.ribs, 6),
    "rug": (patterns.rug, 10),
    "carton": (prints.carton, 36),
    "cardboard": (prints.cardboard, 24),
    "label": (prints.label, 14),
    "keys": (prints.keys, 3),
    "display": (prints.display, 10),
    "spines": (prints.spines, 14),
}


class TextureIndex(NamedTuple):
    """Which texture numbers belong to which pattern name."""

    ranges: dict[str, range]

    def draw(self, rng: np.random.Generator, pattern: str) -> int:
        """A texture of a pattern."""
        numbers = self.ranges[pattern]
        return int(numbers[int(rng.integers(len(numbers)))])


def texture_index(photos: int = 0) -> TextureIndex:
    """The atlas order: patterns as in PATTERNS, then photos (as more posters)."""
    ranges, start = {}, 0
    for name, (_, count) in PATTERNS.items():
        ranges[name] = range(start, start + count)
        start += count
    ranges["photo"] = range(start, start + photos) if photos else ranges["poster"]
    return TextureIndex(ranges)


def read_photos(folder: str) -> list[Array]:
    """The folder's photos as squares [S,S,3] in linear light, sorted by name."""
    if not folder:
        return []
    from nearfar.io.images import read_image

    names = sorted(p for p in Path(folder).iterdir() if p.suffix.lower() in (".jpg", ".png"))
    squares = []
    for name in names:
        rgb = torch.from_numpy(np.array(read_image(name).rgb_HW3)).permute(2, 0, 1)[None].float()
        side = min(rgb.shape[-2:])
        top, left = (rgb.shape[-2] - side) // 2, (rgb.shape[-1] - side) // 2
        square = F.adaptive_avg_pool2d(rgb[..., top : top + side, left : left + side] / 255, SIZE)
        squares.append((square[0].permute(1, 2, 0) ** 2.2).double().numpy())
    return squares


def make_atlas(seed: int, photos: list[Array]) -> Atlas:
    """The atlas of a texture seed: every texture depends only on the seed and its number."""
    textures: list[Array] = []
    for number, (draw, count) in enumerate(PATTERNS.values()):
        textures += [draw(np.random.default_rng([seed, number, i])) for i in range(count)]
    textures += photos
    stack = np.stack([np.clip(t, 0.02, None) * np.ones(3) for t in textures])
    stack /= stack.mean((1, 2, 3), keepdims=True)
    level = torch.from_numpy(stack.clip(0, 10).astype(np.float32)).permute(0, 3, 1, 2)
    rows, starts, start = [], [], 0
    for _ in range(LEVELS):
        starts.append(start)
        rows.append(level.permute(0, 2, 3, 1).reshape(len(stack), -1, 3))
        start += rows[-1].shape[1]
        level = F.avg_pool2d(level, 2) if level.shape[-1] > 1 else level
    texels = torch.cat(rows, 1).reshape(-1, 3).contiguous()
    return Atlas(texels, torch.tensor(starts), start)
