"""What makes rooms look lived in: parcels, drawers, metal chairs, curtains, radiators, leaves."""

from __future__ import annotations

import math

from . import goods
from .builder import SceneBuilder, any_rotation, tilt_x, tilt_z, turn
from .placing import Frame


def parcel(b: SceneBuilder, f: Frame, *, scale: float = 1.0) -> tuple[float, float]:
    """A cardboard box, closed, open or tilted; returns the radius it needs and its height."""
    rng = b.rng
    half = rng.uniform([0.12, 0.08, 0.1], [0.32, 0.3, 0.26]) * scale
    card = b.material("cardboard" if rng.random() < 0.8 else "carton")
    if rng.random() < 0.12:  # a flat box leaning on its edge
        half[2] = rng.uniform(0.03, 0.07)
        angle = rng.uniform(0.1, 0.5)
        high = half[1] * math.cos(angle) + half[2] * math.sin(angle)
        b.box(f.at(0, high, 0), half, card, tilt_x(angle) @ f.axes)
        return float(max(half)), float(2 * high)
    b.box(f.at(0, half[1], 0), half, card, f.axes)
    if rng.random() < 0.25:  # open flaps
        for side in (-1, 1):
            lean = tilt_x(side * rng.uniform(0.4, 1.2)) @ f.axes
            place = f.at(0, 2 * half[1] + half[2] * 0.35, side * (half[2] + 0.25 * half[2]))
            b.box(place, [half[0], half[2] * 0.45, 0.003], card, lean)
    return float(max(half[0], half[2])), float(2 * half[1])


def drawers(b: SceneBuilder, f: Frame) -> float:
    """A chest of drawers with handles, its front at +z; returns its height."""
    rng, wood = b.rng, b.material("furniture")
    half, deep, count = rng.uniform(0.2, 0.5), rng.uniform(0.2, 0.3), int(rng.integers(2, 6))
    high = rng.uniform(0.14, 0.24) * count + 0.05
    b.box(f.at(0, high / 2, 0), [half, high / 2, deep], wood, f.axes)
    front = wood if rng.random() < 0.6 else b.material("furniture")
    metal, bar = b.material("metal"), rng.random() < 0.5
    each = (high - 0.05) / count
    for i in range(count):
        y = 0.05 + each * (i + 0.5)
        face = [half - 0.012, each / 2 - 0.006, 0.008]
        b.box(f.at(0, y, deep + 0.004), face, front, f.axes)
        if bar:
            b.box(f.at(0, y, deep + 0.025), [half * 0.25, 0.007, 0.01], metal, f.axes)
        else:
            b.ball(f.at(0, y, deep + 0.025), [0.016, 0.016, 0.016], metal)
    return high


def folding_chair(b: SceneBuilder, f: Frame) -> None:
    """A chair of thin metal tubes with a seat and a back; crossed legs."""
    rng, metal = b.rng, b.material("metal")
    cover = b.material("fabric" if rng.random() < 0.6 else "metal")
    half, high, thin = rng.uniform(0.19, 0.23), rng.uniform(0.42, 0.47), rng.uniform(0.008, 0.014)
    for side in (-1, 1):
        x = side * half
        for lean, long, z in ((0.38, high * 0.52, 0.0), (-0.3, high * 0.95, -0.06)):
            axes = tilt_x(lean) @ f.axes
            b.tube(f.at(x, long * math.cos(lean), z), [thin, long, thin], metal, axes)
    b.box(f.at(0, high, 0.02), [half - 0.01, 0.014, 0.19], cover, f.axes)
    b.box(f.at(0, high + 0.32, -0.31), [half, 0.1, 0.012], cover, tilt_x(-0.25) @ f.axes)
    b.box(f.at(0, 0.1, 0.17), [half, thin, thin], metal, f.axes)


def swivel_chair(b: SceneBuilder, f: Frame) -> None:
    """An office chair: star foot on castors, column, cushion, back."""
    rng, cover, metal = b.rng, b.material("fabric"), b.material("metal")
    high = rng.uniform(0.42, 0.52)
    b.tube(f.at(0, high / 2, 0), [0.025, high / 2, 0.025], metal)
    for i in range(5):
        arm = turn(i * 2 * math.pi / 5 + 0.3) @ f.axes
        leg = Frame(f.origin, arm)
        b.box(leg.at(0.15, 0.075, 0), [0.15, 0.014, 0.02], metal, tilt_z(-0.1) @ arm)
    b.ball(f.at(0, high, 0), [0.25, 0.06, 0.25], cover, f.axes)
    back = rng.uniform(0.2, 0.3)
    lean = tilt_x(-rng.uniform(0, 0.2)) @ f.axes
    b.box(f.at(0, high + back * 0.6, -0.23), [0.03, back * 0.6, 0.012], metal, lean)
    if rng.random() < 0.5:
        b.ball(f.at(0, high + 0.12 + back, -0.25), [0.22, back, 0.05], cover, lean)
    else:
        b.box(f.at(0, high + 0.12 + back, -0.25), [0.21, back, 0.03], cover, lean)


def curtain(b: SceneBuilder, f: Frame, half: float, low: float, high: float) -> None:
    """A curtain in front of the frame's z = 0: a wavy row of flat columns, or one folded sheet."""
    rng, cloth = b.rng, b.material("curtain")
    middle, tall = (low + high) / 2, (high - low) / 2
    if b.options.clutter > 0.5 and b.free()[2] > 14 and rng.random() < 0.6:
        count = int(rng.integers(4, 8))
        wide = half / count
        for i in range(count):
            x, z = wide * (2 * i + 1 - count), 0.05 + rng.uniform(0, 0.03)
            b.tube(f.at(x, middle, z), [wide * 1.15, tall, rng.uniform(0.03, 0.06)], cloth, f.axes)
    else:
        b.box(f.at(0, middle, 0.05), [half, tall, 0.02], cloth, f.axes)


def radiator(b: SceneBuilder, f: Frame) -> None:
    """A radiator on the wall at z = 0, or a long low heater, sometimes with a pipe."""
    rng, white = b.rng, b.material("radiator")
    if rng.random() < 0.3:
        b.box(f.at(0, 0.12, 0.06), [rng.uniform(0.6, 1.5), 0.09, 0.05], white, f.axes)
        return
    half, tall = rng.uniform(0.3, 0.8), rng.uniform(0.18, 0.3)
    b.box(f.at(0, 0.12 + tall, 0.07), [half, tall, 0.04], white, f.axes)
    b.box(f.at(0, 0.12 + 2 * tall, 0.07), [half, 0.008, 0.05], b.material("ceiling"), f.axes)
    for side in (-1, 1) if b.free()[2] > 6 else ():
        b.tube(f.at(side * (half - 0.05), 0.06, 0.07), [0.012, 0.06, 0.012], white)


def leafy_plant(b: SceneBuilder, f: Frame, *, scale: float = 1.0) -> None:
    """A pot with thin, long leaves that bend outwards."""
    rng, leaf = b.rng, b.material("foliage")
    high = rng.uniform(0.06, 0.12) * scale
    b.tube(f.at(0, high, 0), [high * 0.85, high, high * 0.85], b.material("object"))
    leaves = min(b.several(5, 11), max(b.free()[1] - 4, 0))
    for i in range(leaves):
        round_ = turn(i * 2.4 + rng.normal(0, 0.3))
        lean = tilt_z(rng.uniform(0.15, 1.0)) @ round_
        long = rng.uniform(0.14, 0.3) * scale
        root = f.at(0, 2 * high, 0)
        shape = [rng.uniform(0.004, 0.01) * scale, long, rng.uniform(0.012, 0.04) * scale]
        b.ball(root + lean[1] * long * 0.95, shape, leaf, lean)
    if leaves < 2:
        b.ball(f.at(0, 2 * high + 0.12 * scale, 0), [0.13 * scale] * 3, leaf, any_rotation(rng))


def slippers(b: SceneBuilder, f: Frame) -> None:
    """A pair of shoes."""
    cloth = b.material("fabric")
    for side in (-1, 1):
        spot = f.moved(side * 0.07, 0, b.rng.normal(0, 0.03), b.rng.normal(0, 0.2))
        b.ball(spot.at(0, 0.03, 0.05), [0.045, 0.045, 0.075], cloth, spot.axes)
        b.box(spot.at(0, 0.012, -0.03), [0.04, 0.012, 0.11], cloth, spot.axes)


def lying_on(b: SceneBuilder, f: Frame) -> None:
    """Something on top of a parcel or chest: bag, books, cartons, another parcel."""
    kind = b.rng.random()
    if kind < 0.35:
        goods.bag(b, f, size=b.rng.uniform(0.08, 0.16))
    elif kind < 0.55:
        goods.books(b, f)
    elif kind < 0.75:
        parcel(b, f, scale=0.5)
    else:
        goods.carton(b, f)
