"""A mip-mapped atlas of procedural textures, and photos of the user's as more of them.

Textures hold patterns with mean 1, a factor on the material's colour, so that pattern and colour
are independent; pictures keep their own colours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Array = NDArray[np.float64]
SIZE = 128  # texels along a texture
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


# ---- patterns: each returns [S,S,3], any scale; _normalise makes the mean 1 ----


def _grid() -> tuple[Array, Array]:
    yy, xx = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    return xx, yy


def _noise(rng: np.random.Generator, slope: float, channels: int = 1) -> Array:
    """Periodic 1/f^slope noise [S,S,C] with mean 0 and deviation 1."""
    f = np.fft.fftfreq(SIZE) * SIZE
    radius = np.maximum(np.hypot(f[:, None], f[None]), 1.0)
    waves = np.fft.fft2(rng.standard_normal((channels, SIZE, SIZE))) * radius**-slope
    waves[:, 0, 0] = 0
    noise = np.fft.ifft2(waves).real
    return np.moveaxis(noise / noise.std((1, 2), keepdims=True), 0, -1)


def _two_tone(mask: Array, rng: np.random.Generator, contrast: float) -> Array:
    """Two related shades by a mask in 0..1."""
    shade = 1 - contrast * rng.uniform(0.4, 1) * np.sign(rng.normal())
    tint = 1 + rng.normal(0, 0.06, 3)
    return 1 + (shade * tint - 1) * mask[..., None]


def _plaster(rng: np.random.Generator) -> Array:
    return 1 + rng.uniform(0.02, 0.14) * _noise(rng, rng.uniform(0.3, 1.8))


def _wood(rng: np.random.Generator) -> Array:
    xx, yy = _grid()
    planks = int(rng.integers(1, 7))
    row = np.floor(yy * planks).astype(int)
    shift = rng.random(planks)[row]
    bend = _noise(rng, 2.2)[..., 0]
    rings = np.sin(2 * math.pi * (yy * planks * rng.integers(2, 6) + 0.5 * bend + shift * 9))
    fine = _noise(rng, 0.8)[..., 0]
    fine = np.mean([np.roll(fine, k, axis=1) for k in range(-8, 9)], axis=0)
    tone = 1 + 0.1 * rings + 0.25 * fine + 0.3 * (rng.random(planks)[row] - 0.5)
    gap = (yy * planks % 1 < 0.04) | (((xx + shift) % 1 < 0.008) & (planks > 2))
    return np.where(gap & (planks > 1), 0.45 * tone, tone)[..., None] * np.ones(3)


def _tiles(rng: np.random.Generator) -> Array:
    xx, yy = _grid()
    k, m = int(rng.integers(2, 7)), int(rng.integers(2, 7))
    seam = rng.uniform(0.02, 0.07)
    grout = (xx * k % 1 < seam) | (yy * m % 1 < seam * m / k)
    shade = 1 + rng.uniform(0.02, 0.15) * rng.normal(size=(m, k))
    if rng.random() < 0.25:
        shade *= 1 - rng.uniform(0.2, 0.7) * (np.add.outer(np.arange(m), np.arange(k)) % 2)
    tile = shade[(yy * m).astype(int), (xx * k).astype(int)]
    tone = np.where(grout, rng.uniform(0.5, 1.2), tile + 0.05 * _noise(rng, 1.2)[..., 0])
    return tone[..., None] * np.ones(3)


def _bricks(rng: np.random.Generator) -> Array:
    xx, yy = _grid()
    rows = 2 * int(rng.integers(3, 8))
    row = (yy * rows).astype(int)
    across = (xx * rows / 2 + 0.5 * (row % 2)) % (rows // 2)
    shade = 1 + rng.uniform(0.05, 0.25) * rng.normal(size=(rows, rows))
    joint = (yy * rows % 1 < 0.14) | (across % 1 < 0.07)
    tone = np.where(joint, rng.uniform(0.6, 1.5), shade[row, across.astype(int)])
    return (tone + 0.1 * _noise(rng, 0.7)[..., 0])[..., None] * np.ones(3)


def _cloth(rng: np.random.Generator) -> Array:
    xx, yy = _grid()
    k, m = int(rng.integers(3, 24)), int(rng.integers(3, 24))
    kind = rng.integers(3)
    if kind == 0:  # stripes
        mask = (xx * k % 1 < rng.uniform(0.2, 0.8)).astype(float)
    elif kind == 1:  # checks
        mask = ((xx * k % 1 < 0.5).astype(float) + (yy * k % 1 < 0.5)) / 2
    else:  # weave
        mask = 0.5 + 0.5 * np.sin(2 * math.pi * m * 2 * xx) * np.sin(2 * math.pi * m * 2 * yy)
    return _two_tone(mask, rng, 0.5) + 0.05 * _noise(rng, 0.4)


def _stone(rng: np.random.Generator) -> Array:
    xx, yy = _grid()
    seeds = rng.random((int(rng.integers(20, 60)), 2))
    dx = (xx[..., None] - seeds[:, 0] + 0.5) % 1 - 0.5
    dy = (yy[..., None] - seeds[:, 1] + 0.5) % 1 - 0.5
    distance = np.hypot(dx, dy)
    nearest = distance.argmin(-1)
    ordered = np.partition(distance, 1, axis=-1)
    edge = np.clip((ordered[..., 1] - ordered[..., 0]) * 25, 0.35, 1)
    shade = 1 + 0.2 * rng.normal(size=len(seeds))
    return (shade[nearest] * edge + 0.08 * _noise(rng, 1)[..., 0])[..., None] * np.ones(3)


def _leaves(rng: np.random.Generator) -> Array:
    out = np.ones((SIZE, SIZE, 3)) * 0.35
    for _ in range(220):
        r = rng.uniform(0.015, 0.06)
        x, y = rng.random(2)
        reach = np.arange(-math.ceil(r * SIZE) - 1, math.ceil(r * SIZE) + 2)
        cols, rows = int(x * SIZE) + reach, int(y * SIZE) + reach
        disc = (cols / SIZE - x) ** 2 + (rows[:, None] / SIZE - y) ** 2 < r * r
        patch = np.ix_(rows % SIZE, cols % SIZE)
        tone = rng.uniform(0.3, 1.9) * (1 + rng.normal(0, 0.08, 3))
        out[patch] = np.where(disc[..., None], tone, out[patch])
    return out


def _gravel(rng: np.random.Generator) -> Array:
    noise = _noise(rng, rng.uniform(0.0, 0.9), 3)
    grey = noise[..., :1]
    low = _noise(rng, 1.8)
    return 1 + rng.uniform(0.1, 0.4) * (0.8 * grey + 0.2 * noise) + 0.12 * low


def _facade(rng: np.random.Generator) -> Array:
    """A 12 x 12 m piece of a house front: rows of windows."""
    xx, yy = _grid()
    k, m = int(rng.integers(3, 7)), 4
    x, y = xx * k % 1, yy * m % 1
    w, h = rng.uniform(0.35, 0.75), rng.uniform(0.4, 0.7)
    window = (abs(x - 0.5) < w / 2) & (abs(y - 0.45) < h / 2)
    frame = (abs(x - 0.5) < w / 2 + 0.05) & (abs(y - 0.45) < h / 2 + 0.05) & ~window
    bar = window & (abs(x - 0.5) < 0.025)
    glass = rng.uniform(0.1, 0.5, (m, k))[(yy * m).astype(int), (xx * k).astype(int)]
    tone = 1 + 0.06 * _noise(rng, 1.0)
    tone = np.where(window[..., None], glass[..., None] * np.array([0.85, 0.95, 1.1]), tone)
    return np.where((frame | bar)[..., None], rng.uniform(0.5, 1.5), tone)


def _poster(rng: np.random.Generator) -> Array:
    """Made-up picture: soft colour field with a few shapes."""
    xx, yy = _grid()
    field = _noise(rng, rng.uniform(1.4, 2.4), 3)
    out = np.clip(rng.uniform(0.2, 0.8, 3) + 0.15 * field, 0.03, 1)
    for _ in range(int(rng.integers(2, 14))):
        x, y, w, h = *rng.random(2), *(rng.random(2) * 0.3 + 0.02)
        if rng.random() < 0.5:
            mask = (abs(xx - x) < w) & (abs(yy - y) < h)
        else:
            mask = ((xx - x) / w) ** 2 + ((yy - y) / h) ** 2 < 1
        out[mask] = rng.uniform(0.05, 0.95, 3)
    return out + 0.03 * _noise(rng, 0.6)


def _package(rng: np.random.Generator) -> Array:
    """A printed box: ground colour, bands, a picture blob, rows of print."""
    xx, yy = _grid()
    out = np.ones((SIZE, SIZE, 3)) * rng.uniform(0.3, 1, 3)
    for _ in range(int(rng.integers(1, 4))):
        low, high = np.sort(rng.random(2))
        band = (yy > low) & (yy < high) if rng.random() < 0.6 else (xx > low) & (xx < high)
        out[band] = rng.uniform(0.05, 1, 3)
    x, y, w, h = *rng.uniform(0.3, 0.7, 2), *rng.uniform(0.1, 0.35, 2)
    blob = ((xx - x) / w) ** 2 + ((yy - y) / h) ** 2 < 1 + 0.3 * _noise(rng, 2)[..., 0]
    out[blob] = rng.uniform(0.05, 1, 3) * (1 + 0.3 * _noise(rng, 1.5))[blob]
    for _ in range(int(rng.integers(1, 5))):
        x, y, w, h = *rng.uniform(0.1, 0.6, 2), rng.uniform(0.2, 0.4), rng.uniform(0.01, 0.06)
        letters = np.sin(xx * rng.uniform(60, 250) + rng.uniform(0, 6)) > -0.3
        mark = letters & (xx > x) & (xx < x + w) & (abs(yy - y) < h)
        out[mark] = rng.choice([0.04, 1.0]) * np.ones(3)
    return np.asarray(out)


def _lines(rng: np.random.Generator) -> Array:
    """Rows of print on a page or screen."""
    xx, yy = _grid()
    rows = int(rng.integers(8, 24))
    row = (yy * rows).astype(int)
    length = rng.uniform(0.3, 0.95, rows)[row]
    letters = (_noise(rng, 0.2)[..., 0] > -0.4) & (yy * rows % 1 < 0.55)
    ink = letters & (xx > 0.06) & (xx < length)
    return np.where(ink, 0.3, 1.0)[..., None] * np.ones(3)


def _clouds(rng: np.random.Generator) -> Array:
    return 1 / (1 + np.exp(-rng.uniform(0.8, 2.5) * (_noise(rng, 1.7) + rng.normal(0, 0.5)))) + 0.3


PATTERNS: dict[str, tuple[Callable[[np.random.Generator], Array], int]] = {
    "plaster": (_plaster, 20),
    "wood": (_wood, 24),
    "tiles": (_tiles, 16),
    "bricks": (_bricks, 12),
    "cloth": (_cloth, 24),
    "stone": (_stone, 12),
    "leaves": (_leaves, 12),
    "gravel": (_gravel, 20),
    "facade": (_facade, 16),
    "poster": (_poster, 32),
    "package": (_package, 32),
    "lines": (_lines, 10),
    "clouds": (_clouds, 10),
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
    from sonde.io.images import read_image

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
    level = torch.from_numpy(stack.clip(0, 4).astype(np.float32)).permute(0, 3, 1, 2)
    rows, starts, start = [], [], 0
    for _ in range(LEVELS):
        starts.append(start)
        rows.append(level.permute(0, 2, 3, 1).reshape(len(stack), -1, 3))
        start += rows[-1].shape[1]
        level = F.avg_pool2d(level, 2) if level.shape[-1] > 1 else level
    texels = torch.cat(rows, 1).reshape(-1, 3).contiguous()
    return Atlas(texels, torch.tensor(starts), start)
