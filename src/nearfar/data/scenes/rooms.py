"""Rooms: floor, ceiling, walls with windows and doorways, furniture along them, lamps, daylight."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import fittings
from . import furniture as things
from .builder import SceneBuilder, turn
from .cameras import Camera, make_camera
from .materials import Material
from .placing import Frame, Spots, frame

Array = NDArray[np.float64]
_THICK = 0.12


class Room(NamedTuple):
    """Half width (x), half length (z) and height of a room; its middle is at x = z = 0."""

    half_x: float
    half_z: float
    height: float


class Opening(NamedTuple):
    """A hole in a wall, in the wall's own x (along) and y (up)."""

    left: float
    right: float
    bottom: float
    top: float


def wall_frames(room: Room) -> list[tuple[Frame, float]]:
    """Frame (x along the wall, z into the room) and half length of each of the four walls."""
    return [
        (frame(0, -room.half_z, 0.0), room.half_x),
        (frame(0, room.half_z, math.pi), room.half_x),
        (frame(-room.half_x, 0, math.pi / 2), room.half_z),
        (frame(room.half_x, 0, -math.pi / 2), room.half_z),
    ]


def wall(
    b: SceneBuilder, f: Frame, half: float, height: float, paint: Material, hole: Opening | None
) -> None:
    """A wall behind the frame's z = 0, with an optional opening."""

    def piece(left: float, right: float, bottom: float, top: float) -> None:
        if right - left > 1e-3 and top - bottom > 1e-3:
            center = f.at((left + right) / 2, (bottom + top) / 2, -_THICK)
            b.box(center, [(right - left) / 2, (top - bottom) / 2, _THICK], paint, f.axes)

    ends = half + 2 * _THICK
    if hole is None:
        piece(-ends, ends, -0.1, height + 0.1)
        return
    piece(-ends, hole.left, -0.1, height + 0.1)
    piece(hole.right, ends, -0.1, height + 0.1)
    piece(hole.left, hole.right, hole.top, height + 0.1)
    piece(hole.left, hole.right, -0.1, hole.bottom)


def window(b: SceneBuilder, f: Frame, hole: Opening) -> None:
    """Frame and panes of a window; the pane is over-exposed, or missing (one sees outside)."""
    rng = b.rng
    x, y = (hole.left + hole.right) / 2, (hole.bottom + hole.top) / 2
    half_x, half_y = (hole.right - hole.left) / 2, (hole.top - hole.bottom) / 2
    bar = b.material("ceiling")
    b.box(f.at(x, y, -0.1), [0.02, half_y, 0.02], bar, f.axes)
    if rng.random() < 0.5:
        b.box(f.at(x, y + rng.uniform(-0.3, 0.3) * half_y, -0.1), [half_x, 0.02, 0.02], bar, f.axes)
    b.box(f.at(x, hole.bottom, 0.02), [half_x + 0.05, 0.02, 0.08], bar, f.axes)
    if rng.random() < 0.4:
        glow = rng.uniform(1, 8)
        b.box(f.at(x, y, -0.15), [half_x, half_y, 0.01], b.material("lamp", glow=glow), f.axes)
    if rng.random() < 0.45:
        floor = rng.random() < 0.4
        for side in (-1, 1) if rng.random() < 0.7 else (1,):
            part = half_x * rng.uniform(0.15, 0.5)
            place = f.moved(x + side * (half_x + 0.1 - part), 0, 0)
            fittings.curtain(b, place, part, 0.02 if floor else hole.bottom - 0.1, hole.top + 0.1)
    elif hole.bottom > 0.5 and rng.random() < 0.5:
        fittings.radiator(b, f.moved(x, 0, 0))


def door_leaf(b: SceneBuilder, f: Frame, x: float) -> None:
    """A closed door on the wall with its frame and handle."""
    paint, half = b.material("furniture"), b.rng.uniform(0.38, 0.48)
    b.box(f.at(x, 1.0, 0), [half, 1.02, 0.02], paint, f.axes)
    edge = b.material("ceiling")
    for side in (-1, 1):
        b.box(f.at(x + side * (half + 0.04), 1.03, 0), [0.04, 1.06, 0.03], edge, f.axes)
    b.box(f.at(x, 2.06, 0), [half + 0.08, 0.04, 0.03], edge, f.axes)
    b.box(f.at(x + half * 0.8, 1.02, 0.05), [0.06, 0.012, 0.012], b.material("metal"), f.axes)


def next_room(b: SceneBuilder, f: Frame, half: float, height: float) -> None:
    """What one sees through a doorway: floor, walls and ceiling of another room."""
    rng, paint = b.rng, b.material("wall")
    deep, side = rng.uniform(0.6, 2.5), half + rng.uniform(0, 1)
    z = -2 * _THICK - deep
    b.box(f.at(0, -0.1, z), [side, 0.1, deep], b.material("floor"), f.axes)
    b.box(f.at(0, height + 0.1, z), [side, 0.1, deep], b.material("ceiling"), f.axes)
    b.box(f.at(0, height / 2, z - deep - 0.1), [side, height / 2, 0.1], paint, f.axes)
    for end in (-1, 1):
        b.box(f.at(end * side, height / 2, z), [0.1, height / 2, deep], paint, f.axes)


def shell(b: SceneBuilder, room: Room) -> list[Array]:
    """Floor, ceiling, walls, openings; returns where daylight enters (points in the room)."""
    rng = b.rng
    paint = b.material("wall")
    accent = b.material("wall") if rng.random() < 0.3 else paint
    wide, far = room.half_x + 0.3, room.half_z + 0.3
    b.box([0, -0.1, 0], [wide, 0.1, far], b.material("floor"))
    b.box([0, room.height + 0.1, 0], [wide, 0.1, far], b.material("ceiling"))
    daylight: list[Array] = []
    doors = 0
    accented = int(rng.integers(4))
    for number, (f, half) in enumerate(wall_frames(room)):
        color = accent if number == accented else paint
        style = rng.random()
        if style < 0.38 and half > 0.7:
            width = rng.uniform(0.35, min(1.6, half - 0.25))
            x = rng.uniform(-1, 1) * (half - width - 0.15)
            low = rng.uniform(0.05, min(1.1, room.height - 1.0))
            hole = Opening(x - width, x + width, low, rng.uniform(low + 0.8, room.height - 0.15))
            wall(b, f, half, room.height, color, hole)
            window(b, f, hole)
            daylight.append(f.at(x, (hole.bottom + hole.top) / 2, 0.3))
        elif style < 0.55 and half > 0.8 and doors < 1:
            doors += 1
            width = rng.uniform(0.4, 0.8)
            x = rng.uniform(-1, 1) * (half - width - 0.1)
            top = min(rng.uniform(1.95, 2.3), room.height - 0.05)
            wall(b, f, half, room.height, color, Opening(x - width, x + width, 0, top))
            next_room(b, f, half, room.height)
        else:
            wall(b, f, half, room.height, color, None)
            if style < 0.75 and half > 0.8:
                door_leaf(b, f, rng.uniform(-1, 1) * (half - 0.6))
            pictures(b, f, half, room.height)
    return daylight


def pictures(b: SceneBuilder, f: Frame, half: float, height: float) -> None:
    """Pictures, mirrors, boards or small wall shelves."""
    rng = b.rng
    for _ in range(int(rng.integers(0, 3))):
        w, h = rng.uniform(0.12, 0.6), rng.uniform(0.12, 0.5)
        x, y = rng.uniform(-1, 1) * max(half - w, 0), rng.uniform(1.2, max(1.3, height - 0.6))
        if rng.random() < 0.75:
            b.box(f.at(x, y, 0), [w + 0.025, h + 0.025, 0.015], b.material("furniture"), f.axes)
            b.box(f.at(x, y, 0.003), [w, h, 0.015], b.material("picture"), f.axes)
        else:
            b.box(f.at(x, y, 0.1), [w, 0.012, 0.1], b.material("furniture"), f.axes)
            things.clutter(b, f.moved(x, y + 0.012, 0.1), w * 0.8, 0.05, int(rng.integers(1, 4)))


def along_walls(b: SceneBuilder, room: Room, spots: Spots) -> None:
    """Furniture with its back to the walls, where `spots` leaves room."""
    for number in b.rng.permutation(4):
        f, half = wall_frames(room)[number]
        x = -half + b.rng.uniform(0.05, 0.8)
        while x < half - 0.4:
            wide = min(b.rng.uniform(0.3, 1.0), (half - x) / 2)
            _stand(b, f.moved(x + wide, 0, 0), wide, half, spots)
            x += 2 * wide + (b.rng.uniform(0, 0.7) if b.rng.random() < 0.6 else 0.02)


def _stand(b: SceneBuilder, f: Frame, wide: float, half: float, spots: Spots) -> None:
    """One piece of furniture within +-wide of the frame, which lies on the wall."""
    rng = b.rng
    kind = int(rng.choice(len(_PIECES), p=_PIECE_SHARES))
    name, deep, least, _ = _PIECES[kind]
    if not b.has(18 if name in ("kitchen", "shelf", "drawers", "desk") else 10, 3, 4):
        return
    if wide < least or not spots.take(f.moved(0, 0, deep / 2), wide, deep / 2):
        return
    spot = f.moved(0, 0, deep / 2)
    if name == "kitchen":
        things.kitchen(b, f, wide)
    elif name == "cabinet":
        things.cabinet(b, f.moved(0, 0, 0.36), half=wide - 0.02)
    elif name == "drawers":
        high = fittings.drawers(b, f.moved(0, 0, 0.32))
        if rng.random() < 0.6 and b.has(4, 4, 3):
            fittings.lying_on(b, f.moved(0, high, 0.32))
    elif name == "desk":
        _desk(b, f.moved(0, 0, 0.4), wide)
    elif name == "parcel":
        _, high = fittings.parcel(b, spot)
        if rng.random() < 0.4:
            fittings.lying_on(b, spot.moved(0, high, 0, rng.normal(0, 0.3)))
    elif name == "plant":
        grow = things.plant if rng.random() < 0.5 else fittings.leafy_plant
        grow(b, spot, scale=rng.uniform(0.8, 2.0))
    elif name == "curtain":
        fittings.curtain(b, f, wide, 0.02, rng.uniform(1.9, 2.4))
    elif name == "radiator":
        fittings.radiator(b, f)
    elif name == "person":
        things.person(b, spot)
    elif name != "gap":
        add = {"shelf": things.shelf, "sofa": things.sofa, "bed": things.bed,
               "lamp": things.floor_lamp, "chair": fittings.folding_chair,
               "block": things.loose_block}[name]  # fmt: skip
        add(b, spot)


# Piece, its depth, half the width that it needs, and how often it stands at a wall.
_PIECES = (
    ("kitchen", 0.65, 0.7, 0.07), ("cabinet", 0.75, 0.3, 0.13), ("drawers", 0.65, 0.3, 0.11),
    ("shelf", 0.48, 0.3, 0.12), ("sofa", 1.0, 0.6, 0.08), ("bed", 2.2, 0.6, 0.05),
    ("desk", 0.85, 0.5, 0.1), ("lamp", 0.45, 0.2, 0.04), ("plant", 0.5, 0.2, 0.06),
    ("radiator", 0.15, 0.3, 0.05), ("curtain", 0.15, 0.3, 0.04), ("parcel", 0.6, 0.3, 0.07),
    ("block", 0.6, 0.3, 0.04), ("chair", 0.7, 0.25, 0.03), ("person", 0.4, 0.25, 0.01),
    ("gap", 0.3, 0.2, 0.1),
)  # fmt: skip
_PIECE_SHARES = np.array([row[3] for row in _PIECES]) / sum(row[3] for row in _PIECES)


def _desk(b: SceneBuilder, f: Frame, half_x: float) -> None:
    """A desk with a screen or clutter, and often a chair."""
    rng = b.rng
    half_z, height = rng.uniform(0.27, 0.4), rng.uniform(0.7, 0.78)
    things.table(b, f, half_x=half_x, half_z=half_z, height=height)
    top = f.moved(0, height, 0)
    if rng.random() < 0.6:
        (things.screen if rng.random() < 0.6 else things.laptop)(b, top.moved(0, 0, -0.05))
    things.clutter(b, top, half_x * 0.85, half_z * 0.7, int(rng.integers(0, 5)))
    if rng.random() < 0.7:
        things.chair(b, f.moved(rng.normal(0, 0.2), 0, half_z + 0.2, math.pi + rng.normal(0, 0.4)))


def dining(b: SceneBuilder, f: Frame) -> None:
    """A table with chairs around it and things on it."""
    rng = b.rng
    half_x, half_z = rng.uniform(0.35, 1.0), rng.uniform(0.3, 0.5)
    height = rng.uniform(0.7, 0.77) if rng.random() < 0.7 else rng.uniform(0.35, 0.5)
    things.table(b, f, half_x=half_x, half_z=half_z, height=height)
    things.clutter(b, f.moved(0, height, 0), half_x * 0.8, half_z * 0.8, int(rng.integers(0, 7)))
    if height < 0.6:
        return
    for side in (-1, 1):
        for x in (-half_x / 2, half_x / 2) if half_x > 0.65 else (0.0,):
            if rng.random() < 0.7:
                spot = f.moved(x, 0, side * (half_z + rng.uniform(0, 0.3)))
                facing = (0 if side < 0 else math.pi) + rng.normal(0, 0.25)
                things.chair(b, Frame(spot.origin, turn(facing) @ f.axes))


def room_light(b: SceneBuilder, room: Room, daylight: list[Array]) -> None:
    """Two lamps: daylight from a window or the sun through it, and a ceiling or floor lamp."""
    rng = b.rng
    warm = np.array([1.0, rng.uniform(0.75, 1.0), rng.uniform(0.5, 1.0)])
    size = room.half_x * room.half_z
    b.ambient = rng.uniform(0.15, 0.6)
    b.sky = np.array([0.6, 0.75, 1.0]) * rng.uniform(0.7, 1.2)
    b.horizon = np.array([0.9, 0.92, 0.95]) * rng.uniform(0.8, 1.3)
    b.ground = np.array([0.45, 0.4, 0.35]) * rng.uniform(0.5, 1.3)
    b.soft_light(rng.uniform(0, 0.5) * b.horizon * warm)
    if daylight and rng.random() < 0.75:
        where = daylight[int(rng.integers(len(daylight)))]
        b.light(where, np.array([0.9, 0.97, 1.05]) * rng.uniform(1, 5) * size**0.5, 0.45)
        outside_gain = rng.uniform(1.2, 5)
        b.sky, b.horizon = b.sky * outside_gain, b.horizon * outside_gain
        b.ambient /= outside_gain
        if rng.random() < 0.4:
            b.sun(rng.normal(size=3) * [1, 0.3, 1] + [0, 0.9, 0], warm * rng.uniform(2, 8), 0.01)
            return
    x, z = rng.uniform(-0.7, 0.7) * room.half_x, rng.uniform(-0.7, 0.7) * room.half_z
    things.hanging_lamp(b, x, z, room.height)
    low = room.height - rng.uniform(0.15, 0.9)
    b.light([x, low, z], warm * rng.uniform(0.5, 4) * size**0.5, rng.uniform(0.1, 0.5))
    x, z = rng.uniform(-0.8, 0.8) * room.half_x, rng.uniform(-0.8, 0.8) * room.half_z
    b.light([x, rng.uniform(1, 2.2), z], warm * rng.uniform(0, 3), rng.uniform(0.1, 0.4))


def draw_room(rng: np.random.Generator) -> Room:
    """Sizes from a box room to a hall."""
    big = rng.random() < 0.15
    return Room(
        float(np.exp(rng.uniform(np.log(1.2), np.log(7 if big else 3.5)))),
        float(np.exp(rng.uniform(np.log(1.4), np.log(11 if big else 4.5)))),
        float(rng.uniform(2.6, 6) if big else rng.normal(2.6, 0.2)),
    )


def outside(b: SceneBuilder) -> None:
    """Ground and a few houses that windows show."""
    rng = b.rng
    level = -rng.uniform(0.2, 12)
    b.box([0, level - 1, 0], [3000, 1, 3000], b.material("grass"))
    for _ in range(int(rng.integers(0, 3))):
        angle, far = rng.uniform(0, 6.3), rng.uniform(18, 60)
        place = [far * math.sin(angle), level + 4, far * math.cos(angle)]
        b.box(place, [rng.uniform(4, 9), rng.uniform(4, 12), 5], b.material("facade"))


def furnished_room(b: SceneBuilder) -> Camera:
    """A whole room; returns the camera that looks into it."""
    rng, spots = b.rng, Spots()
    room = draw_room(rng)
    daylight = shell(b, room)
    outside(b)
    for _ in range(int(rng.integers(0, 3)) if min(room.half_x, room.half_z) > 1.2 else 0):
        spot = frame(
            rng.uniform(-0.5, 0.5) * room.half_x,
            rng.uniform(-0.5, 0.5) * room.half_z,
            rng.choice([0, math.pi / 2]) + rng.normal(0, 0.15),
        )
        if spots.take(spot, 0.9, 0.8):
            dining(b, spot)
    if rng.random() < 0.35:
        rug = [rng.uniform(0.5, 1.4), 0.006, rng.uniform(0.4, 1.0)]
        b.box([rng.normal(0, 0.4), 0.006, rng.normal(0, 0.4)], rug, b.material("rug"))
    if rng.random() < 0.12:
        x, z = rng.uniform(-0.6, 0.6, 2) * [room.half_x, room.half_z]
        if spots.take(frame(x, z, 0.0), 0.25, 0.25):
            things.person(b, frame(x, z, rng.uniform(0, 6.3)))
    along_walls(b, room, spots)
    for _ in range(b.several(0, 7)):
        x, z = rng.uniform(-0.8, 0.8, 2) * [room.half_x, room.half_z]
        spot = frame(x, z, rng.uniform(0, 6.3))
        if b.has(8, 3, 4) and spots.take(frame(x, z, 0.0), 0.25, 0.25):
            _loose(b, spot)
    room_light(b, room, daylight)
    return room_camera(rng, room)


def _loose(b: SceneBuilder, spot: Frame) -> None:
    """Something that stands about in a room."""
    adds = (things.loose_block, fittings.parcel, things.chair, fittings.folding_chair,
            fittings.swivel_chair, things.stool, things.small_thing, things.soft_heap)  # fmt: skip
    pick = int(b.rng.choice(8, p=[0.2, 0.25, 0.13, 0.1, 0.1, 0.06, 0.08, 0.08]))
    adds[pick](b, spot)


def room_camera(rng: np.random.Generator, room: Room) -> Camera:
    """A camera near one end, looking across the room."""
    x, z = rng.uniform(-0.85, 0.85) * room.half_x, rng.uniform(-0.9, 0.9) * room.half_z
    y = rng.normal(1.35, 0.3) if rng.random() < 0.8 else rng.uniform(0.08, 0.7)
    y = min(float(np.clip(y, 0.08, 2.4)), room.height - 0.2)
    target = rng.uniform(-0.5, 0.5, 2) * [room.half_x, room.half_z]
    yaw = math.atan2(target[0] - x, target[1] - z) + rng.normal(0, 0.25)
    if rng.random() < 0.15:
        yaw = rng.uniform(0, 2 * math.pi)
    level = -10 if y > 0.8 else 2
    pitch = math.radians(float(np.clip(rng.normal(level, 10), -50, 20)))
    return make_camera(rng, np.array([x, y, z]), yaw=yaw, pitch=pitch)
