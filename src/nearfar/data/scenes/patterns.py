"""Surface patterns of the texture atlas: plaster, wood, stone, cloth, leaves, facades.

Each returns [SIZE,SIZE,3] at any scale; the atlas makes the mean 1, so that pattern and color are
independent. Natural surfaces are 1/f noise with structure on top; contrasts are small.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SIZE = 128  # texels along a texture


def grid() -> tuple[Array, Array]:
    """x and y of the texels, 0..1, both [S,S]."""
    yy, xx = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    return xx, yy


def noise(rng: np.random.Generator, slope: float, channels: int = 1) -> Array:
    """Periodic 1/f^slope noise [S,S,C] with mean 0 and deviation 1."""
    f = np.fft.fftfreq(SIZE) * SIZE
    radius = np.maximum(np.hypot(f[:, None], f[None]), 1.0)
    waves = np.fft.fft2(rng.standard_normal((channels, SIZE, SIZE))) * radius**-slope
    waves[:, 0, 0] = 0
    waves = np.fft.ifft2(waves).real
    return np.moveaxis(waves / waves.std((1, 2), keepdims=True), 0, -1)


def streaks(rng: np.random.Generator, slope: float, stretch: float) -> Array:
    """Periodic noise [S,S] drawn out along x `stretch` times: grain, brushed metal."""
    f = np.fft.fftfreq(SIZE) * SIZE
    radius = np.maximum(np.hypot(f[:, None], f[None] * stretch), 1.0)
    waves = np.fft.fft2(rng.standard_normal((SIZE, SIZE))) * radius**-slope
    waves[0, 0] = 0
    drawn = np.fft.ifft2(waves).real
    return np.asarray(drawn / drawn.std())


def two_tone(mask: Array, rng: np.random.Generator, contrast: float) -> Array:
    """Two related shades by a mask in 0..1."""
    shade = 1 - contrast * rng.uniform(0.4, 1) * np.sign(rng.normal())
    tint = 1 + rng.normal(0, 0.06, 3)
    return 1 + (shade * tint - 1) * mask[..., None]


def plaster(rng: np.random.Generator) -> Array:
    """A painted or plastered wall."""
    return 1 + rng.uniform(0.02, 0.14) * noise(rng, rng.uniform(0.3, 1.8))


def wood(rng: np.random.Generator) -> Array:
    """Boards with rings and gaps."""
    xx, yy = grid()
    planks = int(rng.integers(1, 7))
    row = np.floor(yy * planks).astype(int)
    shift = rng.random(planks)[row]
    bend = noise(rng, 2.2)[..., 0]
    rings = np.sin(2 * math.pi * (yy * planks * rng.integers(2, 6) + 0.5 * bend + shift * 9))
    fine = noise(rng, 0.8)[..., 0]
    fine = np.mean([np.roll(fine, k, axis=1) for k in range(-8, 9)], axis=0)
    tone = 1 + 0.1 * rings + 0.25 * fine + 0.3 * (rng.random(planks)[row] - 0.5)
    gap = (yy * planks % 1 < 0.04) | (((xx + shift) % 1 < 0.008) & (planks > 2))
    return np.where(gap & (planks > 1), 0.45 * tone, tone)[..., None] * np.ones(3)


def tiles(rng: np.random.Generator) -> Array:
    """Tiles with grout, sometimes a chequerboard."""
    xx, yy = grid()
    k, m = int(rng.integers(2, 7)), int(rng.integers(2, 7))
    seam = rng.uniform(0.02, 0.07)
    grout = (xx * k % 1 < seam) | (yy * m % 1 < seam * m / k)
    shade = 1 + rng.uniform(0.02, 0.15) * rng.normal(size=(m, k))
    if rng.random() < 0.25:
        shade *= 1 - rng.uniform(0.2, 0.7) * (np.add.outer(np.arange(m), np.arange(k)) % 2)
    tile = shade[(yy * m).astype(int), (xx * k).astype(int)]
    tone = np.where(grout, rng.uniform(0.5, 1.2), tile + 0.05 * noise(rng, 1.2)[..., 0])
    return tone[..., None] * np.ones(3)


def bricks(rng: np.random.Generator) -> Array:
    """Bricks with joints."""
    xx, yy = grid()
    rows = 2 * int(rng.integers(3, 8))
    row = (yy * rows).astype(int)
    across = (xx * rows / 2 + 0.5 * (row % 2)) % (rows // 2)
    shade = 1 + rng.uniform(0.05, 0.25) * rng.normal(size=(rows, rows))
    joint = (yy * rows % 1 < 0.14) | (across % 1 < 0.07)
    tone = np.where(joint, rng.uniform(0.6, 1.5), shade[row, across.astype(int)])
    return (tone + 0.1 * noise(rng, 0.7)[..., 0])[..., None] * np.ones(3)


def cloth(rng: np.random.Generator) -> Array:
    """Stripes, checks or a weave."""
    xx, yy = grid()
    k, m = int(rng.integers(3, 24)), int(rng.integers(3, 24))
    kind = rng.integers(3)
    if kind == 0:  # stripes
        mask = (xx * k % 1 < rng.uniform(0.2, 0.8)).astype(float)
    elif kind == 1:  # checks
        mask = ((xx * k % 1 < 0.5).astype(float) + (yy * k % 1 < 0.5)) / 2
    else:  # weave
        mask = 0.5 + 0.5 * np.sin(2 * math.pi * m * 2 * xx) * np.sin(2 * math.pi * m * 2 * yy)
    return two_tone(mask, rng, 0.5) + 0.05 * noise(rng, 0.4)


def stone(rng: np.random.Generator) -> Array:
    """Cells of crazy paving."""
    xx, yy = grid()
    seeds = rng.random((int(rng.integers(20, 60)), 2))
    dx = (xx[..., None] - seeds[:, 0] + 0.5) % 1 - 0.5
    dy = (yy[..., None] - seeds[:, 1] + 0.5) % 1 - 0.5
    distance = np.hypot(dx, dy)
    nearest = distance.argmin(-1)
    ordered = np.partition(distance, 1, axis=-1)
    edge = np.clip((ordered[..., 1] - ordered[..., 0]) * 25, 0.35, 1)
    shade = 1 + 0.2 * rng.normal(size=len(seeds))
    return (shade[nearest] * edge + 0.08 * noise(rng, 1)[..., 0])[..., None] * np.ones(3)


def leaves(rng: np.random.Generator) -> Array:
    """Many overlapping leaves."""
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


def gravel(rng: np.random.Generator) -> Array:
    """Coarse grain: asphalt, gravel, carpet."""
    fine = noise(rng, rng.uniform(0.0, 0.9), 3)
    grey = fine[..., :1]
    low = noise(rng, 1.8)
    return 1 + rng.uniform(0.1, 0.4) * (0.8 * grey + 0.2 * fine) + 0.12 * low


def facade(rng: np.random.Generator) -> Array:
    """A 12 x 12 m piece of a house front: rows of windows."""
    xx, yy = grid()
    k, m = int(rng.integers(3, 7)), 4
    x, y = xx * k % 1, yy * m % 1
    w, h = rng.uniform(0.35, 0.75), rng.uniform(0.4, 0.7)
    window = (abs(x - 0.5) < w / 2) & (abs(y - 0.45) < h / 2)
    frame = (abs(x - 0.5) < w / 2 + 0.05) & (abs(y - 0.45) < h / 2 + 0.05) & ~window
    bar = window & (abs(x - 0.5) < 0.025)
    glass = rng.uniform(0.1, 0.5, (m, k))[(yy * m).astype(int), (xx * k).astype(int)]
    tone = 1 + 0.06 * noise(rng, 1.0)
    tone = np.where(window[..., None], glass[..., None] * np.array([0.85, 0.95, 1.1]), tone)
    return np.where((frame | bar)[..., None], rng.uniform(0.5, 1.5), tone)


def clouds(rng: np.random.Generator) -> Array:
    """Soft blots, for skies and stains."""
    return 1 / (1 + np.exp(-rng.uniform(0.8, 2.5) * (noise(rng, 1.7) + rng.normal(0, 0.5)))) + 0.3


def planks(rng: np.random.Generator) -> Array:
    """A floor of staggered boards: each its own tone and grain, thin dark gaps."""
    xx, yy = grid()
    rows, cuts = int(rng.integers(3, 11)), int(rng.integers(1, 4))
    row = (yy * rows).astype(int)
    along = (xx + rng.random(rows)[row]) * cuts
    board = along.astype(int) % cuts
    tone = 1 + rng.uniform(0.02, 0.16) * rng.normal(size=(rows, cuts))[row, board]
    warm = rng.uniform(0, 0.05) * rng.normal(size=(rows, cuts))[row, board]
    grain = streaks(rng, rng.uniform(0.6, 1.2), rng.uniform(6, 20))
    shift = rng.integers(0, SIZE, (rows, cuts))[row, board]
    grain = grain[(np.arange(SIZE)[:, None] + shift) % SIZE, np.arange(SIZE)]
    tone = tone + rng.uniform(0.03, 0.12) * grain
    gap = (yy * rows % 1 < rng.uniform(0.02, 0.08)) | (along % 1 < 0.008 * cuts)
    tone = np.where(gap, tone * rng.uniform(0.4, 0.9), tone)
    return np.stack([tone + warm, tone, tone - 1.5 * warm], -1)


def veneer(rng: np.random.Generator) -> Array:
    """A table top's wood: even, fine streaks, a few broad bands."""
    fine = streaks(rng, rng.uniform(0.4, 0.9), rng.uniform(8, 30))
    broad = streaks(rng, rng.uniform(1.4, 2.0), rng.uniform(4, 12))
    tone = rng.uniform(0.015, 0.07) * fine + rng.uniform(0.01, 0.1) * broad
    warm = rng.uniform(0, 0.4) * tone
    return 1 + np.stack([tone + warm, tone, tone - warm], -1)


def carpet(rng: np.random.Generator) -> Array:
    """Loop pile or felt: white noise, blotches, sometimes squares of two directions."""
    xx, yy = grid()
    tone = rng.uniform(0.06, 0.25) * noise(rng, rng.uniform(0, 0.5))
    tone = tone + rng.uniform(0.02, 0.1) * noise(rng, 1.6) + 0.03 * noise(rng, 0.2, 3)
    if rng.random() < 0.35:
        k = int(rng.integers(1, 3)) * 2
        squares = ((xx * k).astype(int) + (yy * k).astype(int)) % 2
        tone = tone + rng.uniform(0.03, 0.2) * squares[..., None]
    return 1 + tone


def concrete(rng: np.random.Generator) -> Array:
    """Stone, concrete or linoleum: 1/f blotches, specks, sometimes veins."""
    tone = rng.uniform(0.04, 0.16) * noise(rng, rng.uniform(1.0, 1.5))
    color = 0.02 * noise(rng, 1.3, 3)
    specks = noise(rng, 0.1)
    tone = tone + rng.uniform(0, 0.35) * np.sign(specks) * (abs(specks) > rng.uniform(1.6, 2.6))
    if rng.random() < 0.3:
        tone = tone - rng.uniform(0.1, 0.4) * (abs(noise(rng, 1.7)) < 0.05)
    return 1 + tone + color


def folds(rng: np.random.Generator) -> Array:
    """A curtain: uneven upright folds, bright and dark sides."""
    xx, yy = grid()
    phase = 2 * math.pi * (int(rng.integers(3, 9)) * xx + 0.12 * noise(rng, 2.0)[..., 0])
    tone = np.sin(phase + rng.uniform(0, 0.6) * np.sin(phase))
    fade = 1 + rng.uniform(0, 0.1) * np.sin(2 * math.pi * yy)
    tone = fade * (1 + rng.uniform(0.15, 0.45) * tone) + 0.03 * noise(rng, 0.5)[..., 0]
    return tone[..., None] * np.ones(3)


def ribs(rng: np.random.Generator) -> Array:
    """A radiator or a slatted front: narrow upright ribs."""
    xx, _ = grid()
    x = xx * int(rng.integers(6, 18)) % 1
    tone = 0.6 + 0.6 * np.sin(math.pi * x) ** rng.uniform(0.4, 2)
    return np.where(x < rng.uniform(0.05, 0.3), 0.35, tone)[..., None] * np.ones(3)


def rug(rng: np.random.Generator) -> Array:
    """A rug: borders around a field of ornaments; made for one tile over the shape."""
    xx, yy = grid()
    edge = np.minimum(np.minimum(xx, 1 - xx), np.minimum(yy, 1 - yy))
    shades = rng.uniform(0.15, 1.0, (6, 1)) * (1 + 0.2 * rng.normal(size=(6, 3))).clip(0.4, 2)
    bands = np.sort(rng.uniform(0.02, 0.22, 3))
    ring = np.digitize(edge, bands)
    k = int(rng.integers(2, 8))
    wave = (
        np.cos(2 * math.pi * k * xx) * np.cos(2 * math.pi * k * yy) + 0.3 * noise(rng, 1.5)[..., 0]
    )
    ring = np.where((ring == 3) & (wave > rng.uniform(0, 0.6)), 4, ring)
    return shades[ring] * (1 + 0.12 * noise(rng, 0.3))
