"""Tables seen from near and above (pitch -60 to +10 degrees), with a room behind and below."""

from __future__ import annotations

import math

import numpy as np

from . import fittings, goods
from . import furniture as things
from .builder import SceneBuilder, any_rotation, turn
from .cameras import Camera, make_camera
from .placing import Frame, Spots, frame
from .rooms import Room, along_walls, outside, room_light, shell


def tabletop(b: SceneBuilder) -> Camera:
    """A table with goods or full of things in a room; returns the camera above it."""
    rng = b.rng
    room = Room(rng.uniform(1.6, 4), rng.uniform(1.9, 4.5), rng.uniform(2.4, 3.2))
    height = rng.uniform(0.68, 0.95) if rng.random() < 0.8 else 0.0
    half_x, half_z = rng.uniform(0.4, 1.2), rng.uniform(0.35, 0.9)
    x, z = rng.uniform(-0.4, 0.4) * room.half_x, rng.uniform(-0.5, 0.5) * room.half_z
    f = frame(x, z, rng.choice([0, math.pi / 2]) + rng.normal(0, 0.2))
    daylight = shell(b, room)
    if height:
        things.table(b, f, half_x=half_x, half_z=half_z, height=height)
    top, spots, floor = f.moved(0, height, 0), Spots(), Spots()
    floor.take(f, half_x, half_z)
    # Mostly a group around one place, as when things are put out for a photo.
    group = top.moved(rng.normal(0, 0.25) * half_x, 0, rng.normal(0, 0.25) * half_z)
    spread = rng.uniform(0.12, 0.45) if rng.random() < 0.6 else 1.0
    area = (min(half_x * 0.6, spread), min(half_z * 0.6, spread))
    kind = rng.random()
    if kind < 0.55:
        goods.put_goods(b, group, area, int(rng.integers(1, 8)), spots=spots, desk=False)
    elif kind < 0.8:
        goods.put_goods(b, group, area, b.several(2, 12), spots=spots, desk=True)
    else:
        things.clutter(b, group, *area, int(rng.integers(2, 15)))
        for _ in range(int(rng.integers(1, 4))):  # bigger things
            _block(b, group.moved(rng.normal(0, 0.5) * area[0], 0, rng.normal(0, 0.5) * area[1]))
    for _ in range(int(rng.integers(0, 4))):
        side = rng.choice([-1, 1])
        spot = f.moved(rng.uniform(-1, 1) * half_x, 0, side * (half_z + rng.uniform(0, 0.5)))
        spot = Frame(spot.origin, turn(rng.normal(0, 0.4) + (math.pi if side > 0 else 0)) @ f.axes)
        if height and floor.take(spot, 0.2, 0.2):
            pick = int(rng.integers(3))
            (things.chair, fittings.swivel_chair, fittings.folding_chair)[pick](b, spot)
    outside(b)
    along_walls(b, room, floor)
    room_light(b, room, daylight)
    return _camera_above(rng, group, room)


def _block(b: SceneBuilder, spot: Frame) -> None:
    """A bigger box, ball or tin, sometimes tumbled."""
    rng = b.rng
    half = np.exp(rng.uniform(math.log(0.03), math.log(0.13), 3))
    add = (b.box, b.ball, b.tube)[int(rng.integers(3))]
    axes, high = turn(rng.uniform(0, 6.3)), half[1]
    if rng.random() < 0.2:
        axes = any_rotation(rng)
        high = float(abs(axes[:, 1]) @ half)  # its lowest corner touches
    add(spot.at(0, high, 0), half, b.material("carton" if rng.random() < 0.5 else "object"), axes)


def _camera_above(rng: np.random.Generator, top: Frame, room: Room) -> Camera:
    """A camera 0.45 to 2 m from a point on the table, at a random elevation around it."""
    target = top.at(rng.normal(0, 0.15), rng.uniform(0, 0.12), rng.normal(0, 0.12))
    pitch = math.radians(rng.uniform(-60, 2) if rng.random() < 0.85 else rng.uniform(-15, 10))
    far = math.exp(rng.uniform(math.log(0.45), math.log(2.0)))
    yaw = math.atan2(-top.axes[2, 0], -top.axes[2, 2]) + rng.normal(0, 0.7)
    back = np.array(
        [math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)]
    )
    place = target - far * back
    place[0] = np.clip(place[0], -room.half_x + 0.15, room.half_x - 0.15)
    place[2] = np.clip(place[2], -room.half_z + 0.15, room.half_z - 0.15)
    place[1] = np.clip(place[1], 0.15, room.height - 0.15)
    aim = target - place
    pitch = math.atan2(aim[1], math.hypot(aim[0], aim[2])) + math.radians(rng.normal(0, 5))
    yaw = math.atan2(aim[0], aim[2]) + math.radians(rng.normal(0, 6))
    return make_camera(rng, place, yaw=yaw, pitch=pitch)
