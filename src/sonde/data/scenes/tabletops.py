"""Tables and desks seen from near and above (pitch -60 to +10 degrees), with a room behind."""

from __future__ import annotations

import math

import numpy as np

from . import furniture as things
from .builder import SceneBuilder, any_rotation, turn
from .cameras import Camera, make_camera
from .rooms import Room, outside, room_light, shell


def tabletop(b: SceneBuilder) -> Camera:
    """A table full of things in a room; returns the camera above it."""
    rng = b.rng
    room = Room(rng.uniform(1.5, 4), rng.uniform(1.8, 4.5), rng.uniform(2.4, 3.2))
    height = rng.uniform(0.68, 0.95) if rng.random() < 0.75 else 0.02
    half_x, half_z = rng.uniform(0.35, 1.2), rng.uniform(0.3, 0.75)
    x, z = rng.uniform(-0.4, 0.4) * room.half_x, rng.uniform(-0.5, 0.5) * room.half_z
    f = things.frame(x, z, rng.choice([0, math.pi / 2]) + rng.normal(0, 0.25))
    if height > 0.1:
        things.table(b, f, half_x=half_x, half_z=half_z, height=height)
    top = f.moved(0, height if height > 0.1 else 0.0, 0)
    kind = rng.random()
    if kind < 0.3:
        things.screen(b, top.moved(rng.normal(0, 0.2), 0, -half_z * 0.6))
    elif kind < 0.45:
        things.laptop(b, top.moved(rng.normal(0, 0.2), 0, 0))
    elif kind < 0.55:
        things.plant(b, top.moved(rng.normal(0, 0.2), 0, -0.1), scale=0.5)
    crowd = int(rng.integers(2, 15))
    spread = rng.uniform(0.2, 0.95)
    things.clutter(b, top, half_x * spread, half_z * spread, crowd)
    for _ in range(int(rng.integers(0, 4))):  # bigger things and heaps
        half = np.exp(rng.uniform(math.log(0.03), math.log(0.13), 3))
        spot = top.at(rng.normal(0, 0.5) * half_x, half[1], rng.normal(0, 0.5) * half_z)
        add = (b.box, b.ball, b.tube)[int(rng.integers(3))]
        tumbled = any_rotation(rng) if rng.random() < 0.2 else turn(rng.uniform(0, 6.3))
        stuff = b.material("package" if rng.random() < 0.5 else "object")
        add(spot, half, stuff, tumbled)
    daylight = shell(b, room)
    outside(b)
    if rng.random() < 0.5:
        things.chair(b, f.moved(rng.normal(0, 0.3), 0, -half_z - 0.3, rng.normal(0, 0.4)))
    for wall, length in things_behind(rng, room):
        things.cabinet(b, wall.moved(rng.uniform(-0.6, 0.6) * length, 0, 0.36))
    room_light(b, room, daylight)
    return _camera_above(rng, top, room)


def things_behind(rng: np.random.Generator, room: Room) -> list[tuple[things.Frame, float]]:
    """The walls that get a cabinet."""
    from .rooms import wall_frames

    return [pair for pair in wall_frames(room) if rng.random() < 0.5]


def _camera_above(rng: np.random.Generator, top: things.Frame, room: Room) -> Camera:
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
