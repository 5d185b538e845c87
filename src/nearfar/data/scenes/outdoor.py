"""Streets and fields: houses, cars, trees, poles, people, hills; sun, clouds, haze."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from . import furniture as things
from .builder import SceneBuilder, any_rotation, tilt_z, turn
from .cameras import Camera, make_camera
from .materials import Material
from .placing import Frame

Array = NDArray[np.float64]


def tree(b: SceneBuilder, f: Frame) -> None:
    """A trunk and a crown of several ellipsoids, or a conifer of stacked ones."""
    rng, leaves = b.rng, b.material("foliage")
    trunk, thick = rng.uniform(0.6, 3.0), rng.uniform(0.07, 0.25)
    b.tube(f.at(0, trunk / 2, 0), [thick, trunk / 2 + 0.4, thick], b.material("bark"))
    size = rng.uniform(0.7, 2.2)
    if rng.random() < 0.2:
        for i in range(3):
            wide = size * (0.8 - 0.22 * i)
            b.ball(f.at(0, trunk + size * (0.4 + 0.7 * i), 0), [wide, size * 0.7, wide], leaves)
        return
    for _ in range(int(rng.integers(2, 6))):
        place = f.at(*(rng.normal(0, 0.5, 3) * size + [0, trunk + size * 0.7, 0]))
        b.ball(place, rng.uniform(0.5, 1.0, 3) * size, leaves, any_rotation(rng))


def car(b: SceneBuilder, f: Frame) -> None:
    """A car or van along z."""
    rng, paint = b.rng, b.material("paint")
    glass = b.material("metal")
    van = rng.random() < 0.2
    long, wide = rng.uniform(1.8, 2.4), rng.uniform(0.82, 0.95)
    waist = 0.9 if van else 0.62
    b.box(f.at(0, waist, 0), [wide, waist - 0.3, long], paint, f.axes)
    roof = rng.uniform(0.22, 0.32) * (1.7 if van else 1)
    cabin = 0.8 if van else rng.uniform(0.45, 0.62)
    place = f.at(0, 2 * waist - 0.3 + roof, -0.15 * long * rng.uniform(0, 1))
    b.box(place, [wide * 0.86, roof, long * cabin], glass, f.axes)
    b.box(place + np.array([0, roof, 0]), [wide * 0.8, 0.03, long * cabin * 0.85], paint, f.axes)
    tyre = b.material("road")
    for sz in (-1, 1):
        place = f.at(0, 0.31, sz * long * 0.62)
        b.tube(place, [0.31, wide + 0.02, 0.31], tyre, tilt_z(math.pi / 2) @ f.axes)


def house(b: SceneBuilder, f: Frame, *, half_x: float, half_z: float, height: float) -> None:
    """A building: body, sometimes a gable roof, plinth, door, awning or balconies."""
    rng, front = b.rng, b.material("facade")
    b.box(f.at(0, height / 2, 0), [half_x, height / 2, half_z], front, f.axes)
    if rng.random() < 0.45 and height < 9:  # gable: a box turned 45 degrees about the ridge
        rise = rng.uniform(0.4, 0.8) * half_x
        roof = tilt_z(math.pi / 4) @ f.axes
        edge = half_x / math.sqrt(2) * 1.05
        place = f.at(0, height - half_x * 0.75 + rise * 0.3, 0)
        b.box(place, [edge, edge, half_z * 1.04], b.material("roof"), roof)
    elif rng.random() < 0.6:
        lip = [half_x + 0.25, 0.2, half_z + 0.25]
        b.box(f.at(0, height, 0), lip, b.material("masonry"), f.axes)
    for side in (-1, 1):
        if rng.random() < 0.5:
            place = f.at(side * half_x, rng.uniform(2.6, 3.4), rng.uniform(-0.6, 0.6) * half_z)
            b.box(place, [rng.uniform(0.3, 0.9), 0.06, rng.uniform(0.8, 2)], b.material("paint"),
                  f.axes)  # fmt: skip
        if rng.random() < 0.4:
            place = f.at(side * half_x, 1.1, rng.uniform(-0.7, 0.7) * half_z)
            b.box(place, [0.05, 1.1, 0.6], b.material("furniture"), f.axes)


def pole(b: SceneBuilder, f: Frame) -> None:
    """A street lamp, sign or bollard."""
    rng, metal = b.rng, b.material("metal")
    kind = rng.random()
    height = rng.uniform(3.5, 7) if kind < 0.5 else rng.uniform(2, 2.8) if kind < 0.85 else 0.9
    thick = rng.uniform(0.03, 0.09)
    b.tube(f.at(0, height / 2, 0), [thick, height / 2, thick], metal)
    if kind < 0.5:
        b.box(f.at(0.6, height, 0), [0.7, 0.04, 0.06], metal, f.axes)
    elif kind < 0.85:
        b.box(f.at(0, height - 0.3, 0.05), [0.3, 0.3, 0.012], b.material("paint"), f.axes)


def daylight(b: SceneBuilder) -> None:
    """Sun or overcast, sky colors, haze."""
    rng = b.rng
    overcast = rng.random() < 0.35
    height = rng.uniform(0.15, 1.3)
    angle = rng.uniform(0, 2 * math.pi)
    direction = [
        math.cos(height) * math.sin(angle),
        math.sin(height),
        math.cos(height) * math.cos(angle),
    ]
    warm = np.array([1.0, 0.93, 0.85]) if height > 0.4 else np.array([1.0, 0.8, 0.6])
    bright = rng.uniform(0.7, 1.3)
    if overcast:
        b.sky = np.array([0.75, 0.8, 0.88]) * bright * rng.uniform(0.6, 1.1)
        b.horizon = np.array([0.9, 0.92, 0.95]) * bright
        b.sun(direction, warm * rng.uniform(0.1, 0.6), rng.uniform(0.15, 0.5))
        b.ambient = rng.uniform(0.6, 0.9)
    else:
        b.sky = np.array([0.18, 0.36, 0.8]) * bright * rng.uniform(0.7, 1.4)
        b.horizon = np.array([0.62, 0.74, 0.92]) * bright
        b.sun(direction, warm * rng.uniform(1.2, 3.2), rng.uniform(0.006, 0.03))
        b.ambient = rng.uniform(0.3, 0.6)
    b.soft_light(b.horizon * rng.uniform(0, 0.2))
    b.clouds = rng.uniform(0, 2.5) if rng.random() < 0.7 else 0.0
    b.ground = np.array([0.25, 0.24, 0.2]) * rng.uniform(0.5, 1.2)
    b.fog = 1 / rng.uniform(50, 700) if rng.random() < 0.6 else 1 / 4000


def skyline(b: SceneBuilder, f: Frame) -> None:
    """Far buildings or a far row of trees across the view."""
    rng, stone = b.rng, b.material("facade")
    for _ in range(int(rng.integers(2, 6))):
        far = rng.uniform(90, 400)
        half = np.array([rng.uniform(0.03, 0.1), rng.uniform(0.01, 0.07), 0.03]) * far
        place = f.at(rng.uniform(-0.8, 0.8) * far, half[1], far)
        b.box(place, half, stone if rng.random() < 0.6 else b.material("facade"), f.axes)


def bench(b: SceneBuilder, f: Frame) -> None:
    """A park bench."""
    wood, iron = b.material("furniture"), b.material("metal")
    b.box(f.at(0, 0.45, 0), [0.75, 0.025, 0.22], wood, f.axes)
    b.box(f.at(0, 0.75, -0.24), [0.75, 0.16, 0.02], wood, f.axes)
    for side in (-0.6, 0.6):
        b.box(f.at(side, 0.22, 0), [0.03, 0.22, 0.2], iron, f.axes)


def low_wall(b: SceneBuilder, f: Frame) -> None:
    """A garden wall or a hedge."""
    rng = b.rng
    half = [rng.uniform(2, 12), rng.uniform(0.3, 1.0), rng.uniform(0.1, 0.5)]
    surface = b.material("masonry" if rng.random() < 0.5 else "foliage")
    b.box(f.at(0, half[1], 0), half, surface, f.axes)


def near_things(b: SceneBuilder, f: Frame) -> None:
    """A few things close to the camera: bench, parcel, plant, person, wall."""
    rng = b.rng
    for _ in range(int(rng.integers(0, 3))):
        far = rng.uniform(1.8, 6)
        spot = f.moved(rng.uniform(-0.5, 0.5) * far, 0, far, rng.uniform(0, 6.3))
        kind = int(rng.integers(5))
        add = (bench, things.loose_block, things.plant, things.person, low_wall)[kind]
        add(b, spot if kind < 4 else f.moved(0, 0, far + 2, rng.normal(0, 0.5)))


def street(b: SceneBuilder) -> Camera:
    """A street with houses on both sides; returns the camera in it."""
    rng = b.rng
    along = turn(rng.uniform(0, 2 * math.pi))
    f = Frame(np.zeros(3), along)
    half = rng.uniform(3, 11)
    daylight(b)
    b.box([0, -1, 0], [3000, 1, 3000], b.material("road"))
    pavement = b.material("road")
    for side in (-1, 1):
        width = rng.uniform(0.8, 2.5)
        if rng.random() < 0.8:
            b.box(f.at(side * (half + width), 0.07, 40), [width, 0.08, 160], pavement, along)
        z = rng.uniform(-16, 4)
        edge = half + 2 * width + rng.choice([0.0, rng.uniform(0, 6)])
        for _ in range(int(rng.integers(2, 8))):
            if rng.random() < 0.15:
                z += rng.uniform(6, 25)
            deep, tall = (
                rng.uniform(3, 10),
                rng.uniform(3, 9) if rng.random() < 0.5 else rng.uniform(6, 22),
            )
            body = rng.uniform(3, 7)
            spot = f.moved(side * (edge + body), 0, z + deep)
            house(b, spot, half_x=body, half_z=deep, height=tall)
            z += 2 * deep + (rng.uniform(0.5, 7) if rng.random() < 0.4 else 0)
    if rng.random() < 0.5:  # far end
        b.box(f.at(rng.normal(0, 10), 6, rng.uniform(60, 160)), [14, rng.uniform(5, 14), 6],
              b.material("facade"), along)  # fmt: skip
    if rng.random() < 0.4:
        skyline(b, f)
    near_things(b, f)
    paint = b.material("lamp")
    if rng.random() < 0.5:
        b.box(f.at(0, 0.004, 40), [0.07, 0.004, 120], paint, along)
    side, z = rng.choice([-1, 1]), rng.uniform(2, 10)
    for _ in range(int(rng.integers(0, 5))):
        car(b, f.moved(side * (half - 1.2), 0, z, 0.0 if rng.random() < 0.5 else math.pi))
        z += rng.uniform(5.2, 12)
    for _ in range(int(rng.integers(0, 2))):
        car(b, f.moved(rng.uniform(-0.4, 0.4) * half, 0, rng.uniform(8, 40), rng.normal(0, 0.1)))
    for _ in range(int(rng.integers(0, 4))):
        tree(b, f.moved(rng.choice([-1, 1]) * (half + 0.8), 0, rng.uniform(4, 45)))
    for _ in range(int(rng.integers(0, 4))):
        pole(
            b,
            f.moved(
                rng.choice([-1, 1]) * (half + 0.3), 0, rng.uniform(3, 35), rng.choice([0, math.pi])
            ),
        )
    for _ in range(int(rng.integers(0, 3))):
        spot = f.moved(rng.uniform(-1.2, 1.2) * half, 0, 3 * math.exp(rng.uniform(0, 2)))
        things.person(b, Frame(spot.origin, turn(rng.uniform(0, 6.3))))
    height = rng.uniform(1.2, 1.9) if rng.random() < 0.75 else rng.uniform(2, 8)
    place = f.at(rng.uniform(-0.8, 0.8) * half, height, 0)
    yaw = yaw_of(f) + rng.normal(0, 0.35)
    return make_camera(rng, place, yaw=yaw, pitch=outdoor_pitch(rng))


def swells(b: SceneBuilder, f: Frame, grass: Material) -> None:
    """Rolling ground: wide, flat mounds."""
    rng = b.rng
    for _ in range(int(rng.integers(0, 4))):
        far = rng.uniform(8, 60)
        wide, high, deep = rng.uniform(0.4, 1.5), rng.uniform(0.02, 0.06), rng.uniform(0.3, 1)
        place = f.at(rng.uniform(-1, 1) * far, 0, far)
        b.ball(place, [wide * far, high * far, deep * far], grass)


def hills(b: SceneBuilder, f: Frame, grass: Material) -> None:
    """Far hills."""
    rng = b.rng
    for _ in range(int(rng.integers(0, 4))):
        far = rng.uniform(40, 350)
        place = f.at(rng.uniform(-1, 1) * far, -0.03 * far, far)
        half = [
            far * rng.uniform(0.3, 0.9),
            far * rng.uniform(0.05, 0.22),
            far * rng.uniform(0.2, 0.6),
        ]
        b.ball(place, half, grass if rng.random() < 0.6 else b.material("foliage"))


def rocks(b: SceneBuilder, f: Frame) -> None:
    """Rocks, bales, crates."""
    rng = b.rng
    for _ in range(int(rng.integers(0, 7))):
        far = 2.5 * math.exp(rng.uniform(0, 2.5))
        rock = np.exp(rng.uniform(-1.6, 0.3, 3)) * (0.4 + far / 25)
        place = f.at(rng.uniform(-0.8, 0.8) * far, rock[1] * 0.6, far)
        (b.ball if rng.random() < 0.6 else b.box)(
            place, rock, b.material("masonry"), turn(rng.uniform(0, 6))
        )


def fence(b: SceneBuilder, f: Frame) -> None:
    """A fence of posts and two rails across the view."""
    rng = b.rng
    start, spacing = f.moved(rng.normal(0, 3), 0, rng.uniform(3, 12), rng.normal(0, 0.6)), 2.2
    wood = b.material("bark")
    for i in range(-4, 5):
        b.tube(start.at(i * spacing, 0.55, 0), [0.05, 0.55, 0.05], wood)
    for y in (0.5, 0.95):
        b.box(start.at(0, y, 0), [4 * spacing, 0.04, 0.02], wood, start.axes)


def field(b: SceneBuilder) -> Camera:
    """Open country: grass, hills, trees, rocks, a house; returns the camera."""
    rng = b.rng
    daylight(b)
    yaw = rng.uniform(0, 2 * math.pi)
    f = Frame(np.zeros(3), turn(yaw))
    b.box([0, -1, 0], [3000, 1, 3000], b.material("grass" if rng.random() < 0.8 else "road"))
    if rng.random() < 0.4:  # path
        path = f.moved(rng.normal(0, 2), 0, 0, rng.normal(0, 0.4))
        b.box(
            path.at(0, 0.005, 20),
            [rng.uniform(0.5, 2.5), 0.006, 150],
            b.material("road"),
            path.axes,
        )
    grass = b.material("grass")
    swells(b, f, grass)
    near_things(b, f)
    if rng.random() < 0.3:
        skyline(b, f)
    if rng.random() < 0.3:
        low_wall(b, f.moved(rng.normal(0, 4), 0, rng.uniform(5, 25), rng.normal(0, 0.6)))
    if rng.random() < 0.2:
        trunks(b, f)
    hills(b, f, grass)
    for _ in range(int(rng.integers(1, 6))):
        far = 4 * math.exp(rng.uniform(0, 2.6))
        tree(b, f.moved(rng.uniform(-0.8, 0.8) * far, 0, far))
    for _ in range(int(rng.integers(0, 3))):
        far = rng.uniform(12, 60)
        spot = f.moved(rng.uniform(-0.6, 0.6) * far, 0, far, rng.uniform(0, 6.3))
        house(
            b,
            spot,
            half_x=rng.uniform(2.5, 5),
            half_z=rng.uniform(3, 7),
            height=rng.uniform(2.5, 6),
        )
    rocks(b, f)
    if rng.random() < 0.4:
        fence(b, f)
    for _ in range(int(rng.integers(0, 2))):
        far = 3 * math.exp(rng.uniform(0, 1.8))
        things.person(b, f.moved(rng.uniform(-0.5, 0.5) * far, 0, far, rng.uniform(0, 6.3)))
    if rng.random() < 0.2:
        far = rng.uniform(5, 25)
        car(b, f.moved(rng.uniform(-0.5, 0.5) * far, 0, far, rng.uniform(0, 6.3)))
    height = rng.uniform(1.0, 2.0) if rng.random() < 0.7 else rng.uniform(2, 15)
    look = yaw_of(f) + rng.normal(0, 0.2)
    place = np.array([0, height, 0.0])
    return make_camera(rng, place, yaw=look, pitch=outdoor_pitch(rng))


def trunks(b: SceneBuilder, f: Frame) -> None:
    """A wood: tall bare trunks."""
    rng, bark = b.rng, b.material("bark")
    for _ in range(int(rng.integers(5, 14))):
        far, thick = 3 * math.exp(rng.uniform(0, 2)), rng.uniform(0.08, 0.3)
        place = f.at(rng.uniform(-0.8, 0.8) * far, 4, far)
        b.tube(place, [thick, 4.2, thick], bark, tilt_z(rng.normal(0, 0.05)))


def outdoor_pitch(rng: np.random.Generator) -> float:
    """Mostly level; sometimes down at the ground or up at the houses. Radians."""
    if rng.random() < 0.8:
        return math.radians(rng.normal(-3, 6))
    return math.radians(rng.uniform(-35, 20))


def yaw_of(f: Frame) -> float:
    """The yaw that looks along a frame's z axis."""
    return math.atan2(f.axes[2, 0], f.axes[2, 2])
