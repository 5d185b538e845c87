"""Things that stand in rooms and streets, each built from a few primitives in a local frame.

A frame's origin is on the floor (or table) below the thing; x is its width, z its front.
"""

from __future__ import annotations

import math

import numpy as np

from .builder import UPRIGHT, SceneBuilder, any_rotation, tilt_x, tilt_z, turn
from .materials import Material
from .placing import Frame, Spots


def table(b: SceneBuilder, f: Frame, *, half_x: float, half_z: float, height: float) -> None:
    """A table top on four legs, a pedestal or two side panels."""
    rng, wood = b.rng, b.material("tabletop")
    legs = wood if rng.random() < 0.6 else b.material("metal")
    thick = rng.uniform(0.012, 0.03)
    style = rng.random()
    if style < 0.12:
        b.tube(f.at(0, height - thick, 0), [half_x, thick, half_z], wood, f.axes)
        b.tube(f.at(0, height / 2, 0), [0.05, height / 2, 0.05], legs)
        b.tube(f.at(0, 0.015, 0), [half_x * 0.5, 0.015, half_z * 0.5], legs, f.axes)
        return
    b.box(f.at(0, height - thick, 0), [half_x, thick, half_z], wood, f.axes)
    if style < 0.3:
        for side in (-1, 1):
            b.box(
                f.at(side * (half_x - 0.03), height / 2 - thick, 0),
                [0.02, height / 2 - thick, half_z * 0.9],
                legs,
                f.axes,
            )
        return
    width = rng.uniform(0.015, 0.04)
    for sx in (-1, 1):
        for sz in (-1, 1):
            place = f.at(sx * (half_x - 0.05), height / 2 - thick, sz * (half_z - 0.05))
            b.box(place, [width, height / 2 - thick, width], legs, f.axes)


def chair(b: SceneBuilder, f: Frame) -> None:
    """A chair with its back at -z."""
    rng, wood = b.rng, b.material("furniture")
    seat = wood if rng.random() < 0.5 else b.material("fabric")
    half, height = rng.uniform(0.19, 0.25), rng.uniform(0.42, 0.48)
    b.box(f.at(0, height, 0), [half, 0.025, half], seat, f.axes)
    back = rng.uniform(0.18, 0.3)
    lean = tilt_x(-rng.uniform(0, 0.2)) @ f.axes
    b.box(f.at(0, height + back + 0.08, -half - 0.03), [half, back, 0.018], seat, lean)
    if rng.random() < 0.25:  # office chair
        b.tube(f.at(0, height / 2, 0), [0.03, height / 2, 0.03], b.material("metal"))
        for angle in (0.0, math.pi / 2):
            b.box(f.at(0, 0.04, 0), [0.28, 0.02, 0.025], wood, turn(angle) @ f.axes)
        return
    for sx in (-1, 1):
        for sz in (-1, 1):
            place = f.at(sx * (half - 0.02), height / 2, sz * (half - 0.02))
            b.box(place, [0.018, height / 2, 0.018], wood, f.axes)


def sofa(b: SceneBuilder, f: Frame) -> None:
    """A sofa or armchair with its back at -z."""
    rng, cloth = b.rng, b.material("fabric")
    half = rng.uniform(0.4, 1.2)
    b.box(f.at(0, 0.22, 0), [half, 0.2, 0.42], cloth, f.axes)
    b.box(f.at(0, 0.5, -0.36), [half, 0.36, 0.1], cloth, tilt_x(-0.12) @ f.axes)
    for side in (-1, 1):
        b.box(f.at(side * (half + 0.06), 0.32, 0), [0.08, 0.3, 0.44], cloth, f.axes)
    for _ in range(rng.integers(0, 3)):
        place = f.at(rng.uniform(-0.8, 0.8) * half, 0.58, -0.16)
        lean = tilt_x(-rng.uniform(0.2, 0.7)) @ f.axes
        b.ball(place, [0.22, 0.17, 0.08], b.material("fabric"), lean)


def bed(b: SceneBuilder, f: Frame) -> None:
    """A bed with its head at -z."""
    rng, cloth = b.rng, b.material("fabric")
    half, wood = rng.uniform(0.45, 0.95), b.material("furniture")
    b.box(f.at(0, 0.15, 0), [half, 0.13, 1.02], wood, f.axes)
    b.box(f.at(0, 0.36, 0), [half * 0.98, 0.1, 1.0], b.material("fabric"), f.axes)
    b.box(f.at(0, 0.4, 0.3), [half * 1.01, 0.085, 0.72], cloth, f.axes)
    b.box(f.at(0, 0.5, -1.05), [half, 0.5, 0.03], wood, f.axes)
    for side in (-0.5, 0.5) if half > 0.65 else (0.0,):
        b.ball(f.at(side * half, 0.5, -0.75), [0.3, 0.09, 0.2], b.material("fabric"), f.axes)


def shelf(b: SceneBuilder, f: Frame) -> None:
    """A bookcase with boards and things on them; its back at -z."""
    rng, wood = b.rng, b.material("furniture")
    half, height, deep = rng.uniform(0.3, 0.7), rng.uniform(0.8, 2.2), rng.uniform(0.13, 0.2)
    for side in (-1, 1):
        b.box(f.at(side * half, height / 2, 0), [0.012, height / 2, deep], wood, f.axes)
    if rng.random() < 0.7:
        b.box(f.at(0, height / 2, -deep), [half, height / 2, 0.006], wood, f.axes)
    boards = max(2, int(height / rng.uniform(0.3, 0.5)))
    for i in range(boards + 1):
        y = 0.03 + (height - 0.04) * i / boards
        b.box(f.at(0, y, 0), [half, 0.011, deep], wood, f.axes)
        if i < boards and rng.random() < 0.8:
            things_on_board(b, f.moved(0, y + 0.011, 0), half, deep, 0.8 * height / boards)


def things_on_board(b: SceneBuilder, f: Frame, half: float, deep: float, room: float) -> None:
    """Rows of books and single items on one board."""
    rng, x = b.rng, -half + 0.04
    while x < half - 0.06:
        if rng.random() < 0.55:  # a block of books: few boxes of different height
            width = min(rng.uniform(0.03, 0.3), half - x)
            tall = rng.uniform(0.5, 0.95) * room / 2
            cover = b.material("spines") if width > 0.12 else book(b)
            b.box(f.at(x + width / 2, tall, 0.0), [width / 2, tall, deep * 0.7], cover, f.axes)
            x += width + (rng.uniform(0.01, 0.2) if rng.random() < 0.5 else 0.003)
        else:
            small_thing(b, f.moved(x + 0.05, 0, 0, rng.uniform(0, 6)), limit=room)
            x += rng.uniform(0.12, 0.4)


def book(b: SceneBuilder) -> Material:
    """A book's surface."""
    return b.material(("paper", "carton", "object", "object")[int(b.rng.integers(4))])


def cabinet(b: SceneBuilder, f: Frame, *, half: float = 0.5) -> float:
    """A chest, fridge or wardrobe `2 * half` wide with doors at +z; returns its height."""
    rng, wood = b.rng, b.material("furniture")
    height, deep = rng.uniform(0.4, 2.1), rng.uniform(0.2, 0.35)
    b.box(f.at(0, height / 2, 0), [half, height / 2, deep], wood, f.axes)
    doors = int(rng.integers(0, 4))
    front = wood if rng.random() < 0.5 else b.material("furniture")
    for i in range(doors):
        x = half * (2 * i + 1 - doors) / doors
        leaf = [half / doors - 0.012, height / 2 - 0.03, 0.01]
        b.box(f.at(x, height / 2, deep), leaf, front, f.axes)
        knob = f.at(x + 0.7 * half / doors, height * 0.55, deep + 0.02)
        b.box(knob, [0.01, 0.04, 0.012], b.material("metal"), f.axes)
    if height < 1.3:
        clutter(b, f.moved(0, height, 0), half * 0.8, deep * 0.7, int(rng.integers(0, 4)))
    return height


def kitchen(b: SceneBuilder, f: Frame, half: float) -> None:
    """A row of base units with a worktop and things, and units above."""
    rng, front = b.rng, b.material("furniture")
    b.box(f.at(0, 0.43, 0.3), [half, 0.43, 0.29], front, f.axes)
    b.box(f.at(0, 0.89, 0.31), [half + 0.01, 0.02, 0.32], b.material("furniture"), f.axes)
    units = max(1, int(half / 0.3))
    for i in range(units):
        x = half * (2 * i + 1 - units) / units
        b.box(f.at(x, 0.45, 0.59), [half / units - 0.01, 0.36, 0.012], front, f.axes)
    clutter(b, f.moved(0, 0.91, 0.3), half * 0.9, 0.2, int(rng.integers(2, 8)))
    if rng.random() < 0.7:
        low = rng.uniform(1.35, 1.5)
        x, wide = rng.uniform(-0.3, 0.3) * half, half * rng.uniform(0.4, 1)
        b.box(f.at(x, low + 0.35, 0.17), [wide, 0.35, 0.17], front, f.axes)
    if rng.random() < 0.5:  # fridge
        b.box(f.at(half + 0.34, 0.9, 0.33), [0.3, 0.9, 0.32], b.material("lamp"), f.axes)


def stool(b: SceneBuilder, f: Frame) -> None:
    """A round stool on three legs."""
    wood, height = b.material("furniture"), b.rng.uniform(0.4, 0.7)
    b.tube(f.at(0, height, 0), [0.18, 0.02, 0.18], wood)
    for angle in (0.3, 2.4, 4.5):
        x, z = 0.13 * math.cos(angle), 0.13 * math.sin(angle)
        b.tube(f.at(x, height / 2, z), [0.015, height / 2, 0.015], wood)


def soft_heap(b: SceneBuilder, f: Frame) -> None:
    """A bag, a coat or a heap of cloth: a few lumps."""
    rng, cloth = b.rng, b.material("fabric")
    size = rng.uniform(0.12, 0.3)
    for _ in range(int(rng.integers(2, 4))):
        half = rng.uniform(0.5, 1, 3) * size
        axes = any_rotation(rng)
        high = 0.92 * float(np.linalg.norm(axes[:, 1] * half))
        place = f.at(rng.normal(0, 0.4) * size, high, rng.normal(0, 0.4) * size)
        b.ball(place, half, cloth, axes)


def floor_lamp(b: SceneBuilder, f: Frame) -> None:
    """A standing lamp with a glowing shade."""
    metal, height = b.material("metal"), b.rng.uniform(1.2, 1.8)
    b.tube(f.at(0, 0.015, 0), [0.14, 0.015, 0.14], metal)
    b.tube(f.at(0, height / 2, 0), [0.013, height / 2, 0.013], metal)
    glow = b.rng.uniform(0, 5)
    b.tube(f.at(0, height, 0), [0.18, 0.13, 0.18], b.material("lamp", glow=glow))


def plant(b: SceneBuilder, f: Frame, *, scale: float = 1.0) -> None:
    """A pot with a few leafy lumps."""
    rng, leaves = b.rng, b.material("foliage")
    height = scale * rng.uniform(0.1, 0.25)
    b.tube(f.at(0, height, 0), [height * 0.8, height, height * 0.8], b.material("object"))
    for _ in range(rng.integers(2, 5)):
        place = f.at(*(rng.normal(0, 0.12, 3) * scale + [0, 2 * height + 0.25 * scale, 0]))
        b.ball(place, rng.uniform(0.06, 0.28, 3) * scale, leaves, any_rotation(rng))


def person(b: SceneBuilder, f: Frame) -> None:
    """A standing person of boxes, tubes and ellipsoids."""
    rng = b.rng
    size = rng.uniform(0.85, 1.08)
    shirt, trousers, skin = b.material("fabric"), b.material("fabric"), b.material("object")
    for side in (-1, 1):
        step = rng.normal(0, 0.15)
        leg = tilt_x(step) @ f.axes
        b.tube(f.at(side * 0.1, 0.42 * size, step * 0.3), [0.08, 0.43 * size, 0.08], trousers, leg)
        arm = tilt_x(rng.normal(0, 0.25)) @ tilt_z(side * 0.12) @ f.axes
        b.tube(f.at(side * 0.26, 1.1 * size, 0), [0.05, 0.3 * size, 0.05], shirt, arm)
    b.ball(f.at(0, 1.15 * size, 0), [0.22, 0.36 * size, 0.14], shirt, f.axes)
    b.ball(f.at(0, 1.62 * size, 0), [0.09, 0.12, 0.1], skin, f.axes)


def screen(b: SceneBuilder, f: Frame) -> None:
    """A monitor on its foot."""
    rng = b.rng
    half_x, half_y = rng.uniform(0.2, 0.36), rng.uniform(0.13, 0.2)
    dark = b.material("metal")
    b.box(f.at(0, 0.01, 0), [0.12, 0.008, 0.09], dark, f.axes)
    b.box(f.at(0, 0.1, -0.02), [0.025, 0.1, 0.012], dark, f.axes)
    b.box(f.at(0, 0.12 + half_y, 0), [half_x, half_y, 0.015], dark, f.axes)
    glow = rng.uniform(0, 1.5) if rng.random() < 0.6 else 0.0
    lit = b.material("display", glow=glow)
    b.box(f.at(0, 0.12 + half_y, 0.004), [half_x * 0.96, half_y * 0.93, 0.0125], lit, f.axes)


def laptop(b: SceneBuilder, f: Frame) -> None:
    """An open laptop."""
    case = b.material("metal")
    b.box(f.at(0, 0.009, 0), [0.165, 0.009, 0.115], case, f.axes)
    lid = tilt_x(-b.rng.uniform(0.1, 0.5)) @ f.axes
    b.box(f.at(0, 0.11, -0.14), [0.165, 0.11, 0.004], b.material("display", glow=0.6), lid)
    b.box(f.at(0, 0.018, -0.01), [0.15, 0.001, 0.06], b.material("keys"), f.axes)


def small_thing(b: SceneBuilder, f: Frame, *, limit: float = 0.35) -> None:
    """One hand-sized thing: cup, bottle, book, bowl, can, box, fruit, plate, toy."""
    rng = b.rng
    if not b.has(3, 2, 2):
        return
    kind = int(rng.integers(10))
    printed = kind in (1, 4, 5, 9) and rng.random() < 0.6
    stuff = b.material(("carton", "label")[int(kind in (1, 4))] if printed else "object")
    tall = min(limit / 2, rng.uniform(0.03, 0.13))
    r = rng.uniform(0.025, 0.06)
    if kind == 0:  # cup
        b.tube(f.at(0, 0.045, 0), [0.04, 0.045, 0.04], stuff)
        b.box(f.at(0.05, 0.045, 0), [0.018, 0.025, 0.006], stuff, f.axes)
    elif kind == 1:  # bottle
        b.tube(f.at(0, tall, 0), [0.035, tall, 0.035], stuff)
        b.tube(f.at(0, min(2 * tall + 0.03, limit), 0), [0.013, 0.05, 0.013], stuff)
    elif kind == 2:  # lying books
        for i in range(int(rng.integers(1, 4))):
            turned = turn(rng.normal(0, 0.3)) @ f.axes
            half = [rng.uniform(0.06, 0.15), 0.012, rng.uniform(0.08, 0.12)]
            b.box(f.at(0, 0.012 + 0.025 * i, 0), half, book(b), turned)
    elif kind == 3:  # bowl
        b.ball(f.at(0, 0.03, 0), [r * 1.8, 0.045, r * 1.8], stuff)
    elif kind == 4:  # can, jar, vase
        b.tube(f.at(0, tall, 0), [r, tall, r], stuff)
    elif kind == 5:  # box
        b.box(f.at(0, tall, 0), [rng.uniform(0.03, 0.13), tall, r * 1.5], stuff, f.axes)
    elif kind == 9:  # standing carton
        high = min(limit / 2, rng.uniform(0.07, 0.16))
        b.box(f.at(0, high, 0), [rng.uniform(0.04, 0.1), high, r * 0.8], stuff, f.axes)
    elif kind == 6:  # fruit, ball
        b.ball(f.at(0, r, 0), [r, r, r * rng.uniform(0.8, 1.3)], stuff, f.axes)
    elif kind == 7:  # plate, paper
        if rng.random() < 0.5:
            b.tube(f.at(0, 0.008, 0), [0.1, 0.008, 0.1], stuff)
        else:
            b.box(f.at(0, 0.002, 0), [0.105, 0.002, 0.148], b.material("paper"), f.axes)
    else:  # lumpy toy, figure
        b.ball(f.at(0, tall, 0), [r, tall, r], stuff, f.axes)
        b.ball(f.at(0, 2 * tall + r * 0.4, 0), [r * 0.7, r * 0.7, r * 0.7], stuff, f.axes)


def clutter(b: SceneBuilder, f: Frame, half_x: float, half_z: float, count: int) -> None:
    """Small things scattered over a surface, none inside another."""
    spots = Spots()
    for _ in range(round(count * b.options.clutter)):
        spot = spots.find(b.rng, f, (half_x, half_z), 0.07)
        if spot is not None:
            small_thing(b, spot)


def loose_block(b: SceneBuilder, f: Frame) -> None:
    """A parcel, bag, ball, bin or stack on the floor."""
    rng = b.rng
    half = rng.uniform(0.08, 0.35, 3)
    kind = rng.random()
    if kind < 0.55:
        card = b.material(("cardboard", "carton", "furniture")[int(rng.integers(3))])
        b.box(f.at(0, half[1], 0), half, card, f.axes)
        if rng.random() < 0.3:
            top = half * rng.uniform(0.4, 0.9)
            on = f.at(0, 2 * half[1] + top[1], 0)
            b.box(on, top, b.material("object"), turn(rng.normal(0, 0.4)) @ f.axes)
    elif kind < 0.8:
        b.tube(f.at(0, half[1], 0), [half[0], half[1], half[0]], b.material("object"))
    else:
        soft_heap(b, f)


def hanging_lamp(b: SceneBuilder, x: float, z: float, ceiling: float) -> None:
    """A lamp below the ceiling, with a cord; lights nothing by itself."""
    rng, glow = b.rng, b.rng.uniform(1, 8)
    drop = rng.uniform(0.05, 0.7)
    shade = b.material("lamp", glow=glow)
    b.tube([x, ceiling - drop / 2, z], [0.006, drop / 2, 0.006], b.material("metal"), UPRIGHT)
    half = rng.uniform(0.08, 0.22)
    if rng.random() < 0.5:
        b.ball([x, ceiling - drop - half, z], [half, half, half], shade)
    else:
        b.tube([x, ceiling - drop - half * 0.4, z], [half, half * 0.5, half], shade)
