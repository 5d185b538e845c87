"""Materials: which colors and patterns the surfaces of each use have. Mostly plain and muted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .textures import TextureIndex

Color = tuple[float, float, float]  # linear light, 0..1


@dataclass(frozen=True, slots=True)
class Material:
    """One surface. size_m: metres per texture tile, 0 = stretch one tile over the shape."""

    color: Color
    texture: int
    stain: int  # large, faint variation of brightness
    contrast: float
    size_m: float
    gloss: float = 0.0
    glow: float = 0.0
    stain_share: float = 0.15  # how much of the light the stain takes


def draw_color(rng: np.random.Generator, low: float, high: float, vivid: float) -> Color:
    """A reflectance (linear): mostly grey, beige, brown; saturated with probability `vivid`."""
    value = math.exp(rng.uniform(math.log(low), math.log(high)))
    if rng.random() < vivid:
        hue = rng.uniform(0, 2 * math.pi) if rng.random() < 0.5 else rng.normal(0.5, 0.4)
        strength = rng.uniform(0.3, 1.15)
        tint = [math.exp(strength * math.cos(hue - k * math.pi / 3)) for k in (0, 2, 4)]
    else:
        warm = rng.normal(0.08, 0.12)
        green = rng.normal(0, 0.04)
        tint = [math.exp(part) for part in (warm, green, -warm * rng.uniform(0.8, 2))]
    scale = value * 3 / (tint[0] + tint[1] + tint[2])
    r, g, b = scale * tint[0], scale * tint[1], scale * tint[2]
    return min(max(r, 0.012), 0.92), min(max(g, 0.012), 0.92), min(max(b, 0.012), 0.92)


class Family(NamedTuple):
    """What surfaces of one use look like. tile_m: metres per tile (0 = one tile over the face)."""

    patterns: tuple[str, ...]
    tile_m: tuple[float, float]
    reflectance: tuple[float, float]
    gloss: float
    vivid: float  # share with a saturated color
    busy: bool = False  # always shows its pattern


PRINTED = ("package", "carton", "label", "cardboard", "display", "spines", "picture")
FAMILIES: dict[str, Family] = {
    "wall": Family(
        ("plaster", "plaster", "plaster", "bricks", "cloth"), (1, 3), (0.12, 0.85), 0.0, 0.12
    ),
    "ceiling": Family(("plaster", "plaster", "tiles"), (1, 3), (0.4, 0.9), 0.0, 0.02),
    "floor": Family(
        ("wood", "wood", "tiles", "cloth", "gravel"), (0.7, 2.5), (0.05, 0.6), 0.3, 0.08
    ),
    "furniture": Family(("wood", "wood", "plaster"), (0.5, 2.0), (0.03, 0.75), 0.2, 0.12),
    "fabric": Family(("cloth", "gravel", "plaster"), (0.15, 0.8), (0.03, 0.6), 0.0, 0.35),
    "object": Family(
        ("plaster", "cloth", "lines", "poster", "wood"), (0.05, 0.4), (0.03, 0.85), 0.4, 0.45
    ),
    "package": Family(("package", "package", "poster"), (0, 0), (0.1, 0.6), 0.2, 0.6, True),
    "paper": Family(("lines", "poster"), (0, 0), (0.3, 0.85), 0.1, 0.1),
    "lamp": Family(("plaster",), (3, 3), (0.7, 0.9), 0.0, 0.0),
    "metal": Family(("plaster",), (0.3, 1.0), (0.1, 0.6), 0.8, 0.03),
    "facade": Family(
        ("facade", "facade", "bricks", "plaster"), (12, 12), (0.08, 0.7), 0.0, 0.12, True
    ),
    "masonry": Family(("bricks", "stone", "plaster"), (1.5, 3), (0.08, 0.6), 0.0, 0.05),
    "roof": Family(("tiles", "plaster", "bricks"), (2, 4), (0.04, 0.3), 0.0, 0.25),
    "road": Family(("gravel", "plaster", "stone"), (1.5, 6), (0.06, 0.3), 0.1, 0.0),
    "grass": Family(("gravel", "leaves"), (1.5, 6), (0.05, 0.25), 0.0, 0.0),
    "foliage": Family(("leaves",), (0.8, 2.0), (0.03, 0.2), 0.0, 0.0, True),
    "bark": Family(("wood", "gravel"), (0.5, 1.0), (0.03, 0.2), 0.0, 0.0),
    "paint": Family(("plaster",), (2, 4), (0.03, 0.8), 0.9, 0.5),
    "tabletop": Family(("wood", "wood", "plaster"), (0.5, 2.0), (0.03, 0.75), 0.2, 0.12),
    "carton": Family(
        ("carton", "carton", "carton", "package"), (0, 0), (0.08, 0.5), 0.25, 0.0, True
    ),
    "label": Family(("label", "label", "carton"), (0, 0), (0.08, 0.6), 0.4, 0.0, True),
    "cardboard": Family(("cardboard",), (0, 0), (0.1, 0.3), 0.1, 0.0, True),
    "display": Family(("display", "display", "lines"), (0, 0), (0.02, 0.4), 0.5, 0.0, True),
    "keys": Family(("keys",), (0, 0), (0.015, 0.5), 0.1, 0.0, True),
    "spines": Family(("spines",), (0, 0), (0.08, 0.3), 0.1, 0.0, True),
    "rug": Family(("rug", "rug", "carpet"), (0, 0), (0.05, 0.35), 0.0, 0.1, True),
    "curtain": Family(("folds",), (0.35, 0.9), (0.1, 0.7), 0.0, 0.1, True),
    "radiator": Family(("ribs",), (0.5, 0.9), (0.5, 0.8), 0.2, 0.0, True),
    "picture": Family(("poster", "photo", "photo"), (0, 0), (0.2, 0.6), 0.1, 0.1, True),
}
# What stands in for a family of the same name where surfaces are natural (SceneOptions.albedo).
NATURAL: dict[str, Family] = {
    "wall": Family(("plaster",) * 6 + ("concrete", "concrete", "bricks", "veneer"), (1, 3),
                   (0.2, 0.8), 0.05, 0.06),
    "floor": Family(("planks",) * 4 + ("veneer", "concrete", "concrete", "tiles") + ("carpet",) * 3,
                    (0.8, 2.2), (0.06, 0.5), 0.5, 0.04),
    "furniture": Family(("veneer",) * 5 + ("wood", "plaster", "plaster", "concrete"), (0.5, 1.6),
                        (0.04, 0.7), 0.35, 0.08),
    "tabletop": Family(("veneer",) * 7 + ("planks", "plaster", "concrete"), (0.7, 1.8),
                       (0.1, 0.75), 0.6, 0.03),
    "fabric": Family(("carpet", "carpet", "cloth", "plaster", "folds"), (0.2, 0.8), (0.02, 0.5),
                     0.0, 0.25),
    "object": Family(("plaster",) * 4 + ("concrete", "veneer", "poster", "label"), (0.08, 0.5),
                     (0.02, 0.85), 0.6, 0.35),
    "metal": Family(("plaster", "veneer"), (0.3, 1.0), (0.03, 0.5), 0.9, 0.03),
    "road": Family(("gravel", "concrete", "concrete", "plaster", "stone"), (1.5, 6), (0.06, 0.3),
                   0.1, 0.0),
    "masonry": Family(("bricks", "stone", "concrete"), (1.5, 3), (0.08, 0.6), 0.0, 0.05),
    "ceiling": Family(("plaster", "plaster", "tiles", "concrete"), (1, 3), (0.45, 0.85), 0.0, 0.02),
}  # fmt: skip
_WOODS = ("wood", "planks", "veneer")
_GREENS = ("grass", "foliage")


def _tinted(rng: np.random.Generator, family: str, pattern: str, color: Color) -> Color:
    """The color where the surface decides its hue: leaves, wood, cardboard, print."""
    grey = sum(color) / 3
    if family in _GREENS and rng.random() < 0.85:
        return grey * rng.uniform(0.5, 1.1), grey, grey * rng.uniform(0.2, 0.5)
    if family == "cardboard":
        return grey * rng.uniform(1.3, 1.6), grey, grey * rng.uniform(0.4, 0.7)
    if family in ("carton", "label", "display", "spines"):
        return grey, grey, grey  # the print has the colors
    if pattern in _WOODS and rng.random() < 0.75:
        warm = rng.uniform(0, 1)
        return grey * (1.1 + 0.3 * warm), grey, grey * (0.9 - 0.5 * warm)
    return color


def draw_material(
    rng: np.random.Generator,
    textures: TextureIndex,
    family: str,
    *,
    plain: float,
    glow: float = 0,
    natural: float = 1.0,
    prints: float = 1.0,
) -> Material:
    """A random surface of a family; with probability `plain` it is nearly untextured.

    natural: probability of today's surfaces where a family has older ones too. prints: that of a
    print where the family is printed.
    """
    kind, stain_share = FAMILIES[family], 0.15
    stained = rng.random() < natural
    if stained:
        kind = NATURAL.get(family, kind)
        stain_share = rng.uniform(0, 0.5) if rng.random() < 0.6 else 0.1
    pattern = kind.patterns[int(rng.integers(len(kind.patterns)))]
    color = _tinted(rng, family, pattern, draw_color(rng, *kind.reflectance, kind.vivid))
    if kind.busy and (family not in PRINTED or rng.random() < prints):
        contrast = rng.uniform(0.7, 1.0)
    elif rng.random() < plain:
        contrast = rng.uniform(0.05, 0.5) if stained else rng.uniform(0.03, 0.3)
    else:
        contrast = rng.uniform(0.5, 1.0)
    small, large = kind.tile_m
    return Material(
        color,
        textures.draw(rng, pattern),
        textures.draw(rng, "clouds"),
        contrast,
        rng.uniform(small, large) if large > 0 else 0.0,
        gloss=kind.gloss * rng.uniform(0, 0.7) if rng.random() < 0.5 else 0.0,
        glow=glow,
        stain_share=stain_share,
    )
