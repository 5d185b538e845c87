"""Printed things of the texture atlas: packages, cartons, labels, pages, screens, book spines.

Each returns [SIZE,SIZE,3], made to lie once over a face, y downwards; the atlas makes the mean 1.
"""

from __future__ import annotations

import numpy as np

from .patterns import SIZE, Array, grid, noise, streaks

_INKS = (
    (0.85, 0.82, 0.75), (0.9, 0.9, 0.9), (0.02, 0.02, 0.025), (0.55, 0.02, 0.03), (0.8, 0.45, 0.02),
    (0.75, 0.2, 0.02), (0.03, 0.09, 0.4), (0.1, 0.35, 0.65), (0.04, 0.25, 0.06), (0.3, 0.5, 0.1),
    (0.25, 0.12, 0.05), (0.6, 0.45, 0.25), (0.25, 0.05, 0.25), (0.8, 0.35, 0.4),
)  # fmt: skip


def ink(rng: np.random.Generator) -> Array:
    """A printing color, linear light [3]: those that packages have, each a little different."""
    base = np.array(_INKS[int(rng.integers(len(_INKS)))])
    return np.clip(base * np.exp(rng.normal(0, 0.25, 3) + rng.normal(0, 0.2)), 0.012, 0.95)


def scenery(rng: np.random.Generator, slope: float) -> Array:
    """A picture-like field: light and dark of one noise, two hues of another."""
    light = np.exp(0.7 * noise(rng, slope))
    share = np.clip(0.5 + 0.6 * noise(rng, slope + 0.3), 0, 1)
    return np.asarray((ink(rng) * share + ink(rng) * (1 - share)) * light)


def poster(rng: np.random.Generator) -> Array:
    """Made-up picture: a field of two hues with a few shapes, or sky, land and things."""
    xx, yy = grid()
    out = np.clip(scenery(rng, rng.uniform(1.4, 2.2)), 0.03, 1)
    if rng.random() < 0.4:
        land = yy > rng.uniform(0.3, 0.7) + 0.06 * noise(rng, 2.2)[..., 0]
        out = np.where(land[..., None], np.clip(scenery(rng, 1.2), 0.03, 1), out)
    for _ in range(int(rng.integers(0, 9))):
        x, y, w, h = *rng.random(2), *(rng.random(2) * 0.25 + 0.02)
        if rng.random() < 0.5:
            mask = (abs(xx - x) < w) & (abs(yy - y) < h)
        else:
            mask = ((xx - x) / w) ** 2 + ((yy - y) / h) ** 2 < 1
        out[mask] = ink(rng)
    return out + 0.03 * noise(rng, 0.6)


def package(rng: np.random.Generator) -> Array:
    """A printed box: ground color, bands, a picture blob, rows of print."""
    xx, yy = grid()
    out = np.ones((SIZE, SIZE, 3)) * ink(rng)
    for _ in range(int(rng.integers(1, 4))):
        low, high = np.sort(rng.random(2))
        band = (yy > low) & (yy < high) if rng.random() < 0.6 else (xx > low) & (xx < high)
        out[band] = ink(rng)
    x, y, w, h = *rng.uniform(0.3, 0.7, 2), *rng.uniform(0.1, 0.35, 2)
    blob = ((xx - x) / w) ** 2 + ((yy - y) / h) ** 2 < 1 + 0.3 * noise(rng, 2)[..., 0]
    out[blob] = ink(rng) * (1 + 0.3 * noise(rng, 1.5))[blob]
    for _ in range(int(rng.integers(1, 5))):
        x, y, w, h = *rng.uniform(0.1, 0.6, 2), rng.uniform(0.2, 0.4), rng.uniform(0.01, 0.06)
        letters = np.sin(xx * rng.uniform(60, 250) + rng.uniform(0, 6)) > -0.3
        mark = letters & (xx > x) & (xx < x + w) & (abs(yy - y) < h)
        out[mark] = rng.choice([0.04, 1.0]) * np.ones(3)
    return np.asarray(out)


def lines(rng: np.random.Generator) -> Array:
    """Rows of print on a page or screen."""
    xx, yy = grid()
    rows = int(rng.integers(8, 24))
    row = (yy * rows).astype(int)
    length = rng.uniform(0.3, 0.95, rows)[row]
    letters = (noise(rng, 0.2)[..., 0] > -0.4) & (yy * rows % 1 < 0.55)
    ink = letters & (xx > 0.06) & (xx < length)
    return np.where(ink, 0.3, 1.0)[..., None] * np.ones(3)


def letters(out: Array, rng: np.random.Generator, box: tuple[float, float, float, float]) -> None:
    """Fill the box (x, y, width, height in 0..1) of `out` with a line of made-up letters."""
    x, y, w, h = (int(v * SIZE) for v in box)
    x, y = max(x, 0), max(y, 0)
    area = out[y : min(y + max(h, 2), SIZE), x : min(x + max(w, 3), SIZE)]
    if area.shape[0] < 2 or area.shape[1] < 3:
        return
    count = max(2, round(2 * w / max(h, 1)))
    bits = rng.random((5, 4 * count)) < 0.65
    bits[:, 3::4] = False  # between letters
    bits[:, 0::4] |= rng.random(count) < 0.7  # stems
    rows = np.arange(area.shape[0]) * 5 // area.shape[0]
    cols = np.arange(area.shape[1]) * 4 * count // area.shape[1]
    ink = rng.uniform(0.02, 0.3, 3) if area.mean() > 0.4 else rng.uniform(0.8, 1.0, 3)
    area[bits[rows][:, cols]] = ink


def bars(out: Array, rng: np.random.Generator, x: float, y: float) -> None:
    """A white field with a bar code."""
    left, top = int(x * SIZE), int(y * SIZE)
    area = out[top : top + 12, left : left + 22]
    area[:] = 0.9
    area[1:-2, 1:-1][:, rng.random(area.shape[1] - 2) < 0.5] = 0.05


def carton(rng: np.random.Generator) -> Array:
    """A cereal or tea box: strong ground, big name, a picture, small print, a bar code."""
    xx, yy = grid()
    ground, second = ink(rng), ink(rng)
    turn = rng.uniform(-0.8, 0.8)
    blend = np.clip((yy + turn * (xx - 0.5) - rng.uniform(0.2, 0.8)) * rng.uniform(1, 40), 0, 1)
    out = ground + (second - ground) * blend[..., None]
    x, y, w, h = *rng.uniform(0.3, 0.7, 2), *rng.uniform(0.15, 0.4, 2)
    picture = ((xx - x) / w) ** 2 + ((yy - y) / h) ** 2 < 1 + 0.25 * noise(rng, 2)[..., 0]
    scene = scenery(rng, 1.2)
    out = np.where(picture[..., None], scene, out)
    for _ in range(int(rng.integers(1, 7))):  # berries, flakes, badges
        cx, cy, r = *rng.random(2), rng.uniform(0.03, 0.12)
        out[(xx - cx) ** 2 + (yy - cy) ** 2 < r * r] = ink(rng)
    tall = rng.uniform(0.1, 0.24)
    letters(out, rng, (rng.uniform(0.04, 0.2), rng.uniform(0.04, 0.6), rng.uniform(0.5, 0.8), tall))
    for _ in range(int(rng.integers(1, 6))):
        at = (rng.uniform(0.03, 0.5), rng.uniform(0, 0.95))
        letters(out, rng, (*at, rng.uniform(0.2, 0.5), rng.uniform(0.03, 0.08)))
    if rng.random() < 0.3:
        bars(out, rng, rng.uniform(0.05, 0.75), rng.uniform(0.05, 0.85))
    return np.clip(out, 0.02, 1)


def cardboard(rng: np.random.Generator) -> Array:
    """A parcel's side: corrugated brown, tape, sometimes a label, print or a seam."""
    xx, yy = grid()
    out = 1 + 0.05 * noise(rng, 1.4) + 0.03 * streaks(rng, 0.4, 20)[..., None] + np.zeros(3)
    out *= 0.45
    if rng.random() < 0.6:
        middle, wide = rng.uniform(0.4, 0.6), rng.uniform(0.03, 0.09)
        tape = (abs(yy - middle) if rng.random() < 0.6 else abs(xx - middle)) < wide
        out[tape] *= rng.uniform(0.5, 1.7)
    if rng.random() < 0.4:
        out[abs(xx - 0.5) < 0.008] *= 0.4
    kind = rng.random()
    if kind < 0.35:  # a pasted sheet
        x, y, w, h = *rng.uniform(0.1, 0.4, 2), *rng.uniform(0.2, 0.55, 2)
        out[(xx > x) & (xx < x + w) & (yy > y) & (yy < y + h)] = rng.uniform(0.7, 1.0)
        for i in range(int(rng.integers(1, 5))):
            letters(out, rng, (x + 0.03, y + 0.04 + 0.1 * i, w * 0.8, rng.uniform(0.02, 0.08)))
    elif kind < 0.8:
        for _ in range(int(rng.integers(1, 5))):
            x, y = rng.uniform(0.05, 0.5), rng.uniform(0.05, 0.85)
            letters(out, rng, (x, y, rng.uniform(0.2, 0.5), rng.uniform(0.03, 0.12)))
    if rng.random() < 0.3:
        bars(out, rng, rng.uniform(0.05, 0.75), rng.uniform(0.05, 0.85))
    return np.asarray(out)


def label(rng: np.random.Generator) -> Array:
    """A bottle or tin: one ground, a band with a name."""
    _, yy = grid()
    out = np.ones((SIZE, SIZE, 3)) * ink(rng)
    low, high = rng.uniform(0.1, 0.4), rng.uniform(0.6, 0.95)
    out[(yy > low) & (yy < high)] = ink(rng)
    letters(out, rng, (0.08, rng.uniform(low, high - 0.2), 0.84, rng.uniform(0.1, 0.2)))
    for _ in range(int(rng.integers(1, 4))):
        letters(out, rng, (rng.uniform(0, 0.5), rng.uniform(low, high), 0.4, 0.05))
    return out + 0.03 * noise(rng, 0.8)


def keys(rng: np.random.Generator) -> Array:
    """A keyboard from above."""
    xx, yy = grid()
    x, y = (xx * 18 + 0.5 * (yy * 6).astype(int)) % 1, yy * 6 % 1
    cap = (x > 0.14) & (y > 0.16)
    shade = np.where(cap, rng.uniform(0.5, 1.2), 0.25) * (1 + 0.05 * noise(rng, 0.5)[..., 0])
    return shade[..., None] * np.ones(3)


def display(rng: np.random.Generator) -> Array:
    """What a monitor shows: windows with rows of text, or a picture."""
    out = np.clip(scenery(rng, 1.6), 0.02, 1)
    for _ in range(int(rng.integers(0, 4))):
        x, y, w, h = *rng.uniform(0, 0.5, 2), *rng.uniform(0.25, 0.6, 2)
        left, top, right, low = (int(v * SIZE) for v in (x, y, x + w, y + h))
        out[top:low, left:right] = rng.choice([0.04, 0.9])
        out[top : top + 4, left:right] = ink(rng)
        for i in range(int(h / 0.06) - 1):
            letters(out, rng, (x + 0.02, y + 0.05 + 0.06 * i, w * rng.uniform(0.2, 0.9), 0.03))
    return out


def spines(rng: np.random.Generator) -> Array:
    """A row of standing books."""
    out = np.ones((SIZE, SIZE, 3))
    x = 0
    while x < SIZE:
        wide = int(rng.integers(6, 22))
        color = ink(rng)
        out[:, x : x + wide] = color
        out[:, x : x + 1] *= 0.3
        out[: int(rng.integers(0, 30)), x : x + wide] = 0.06  # shorter than its neighbors
        for _ in range(int(rng.integers(0, 3))):
            top = int(rng.integers(20, 110))
            out[top : top + int(rng.integers(2, 14)), x + 2 : x + wide - 2] = ink(rng)
        x += wide
    return out + 0.02 * noise(rng, 0.8)
