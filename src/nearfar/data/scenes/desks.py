"""Desks full of things: monitor, keyboard, books, bottles, plants; a room or partition behind."""

from __future__ import annotations

import math

import numpy as np

from . import fittings, goods
from . import furniture as things
from .builder import SceneBuilder
from .cameras import Camera, make_camera
from .placing import Frame, Spots, frame
from .rooms import Room, along_walls, outside, room_light, shell


def desk_view(b: SceneBuilder) -> Camera:
    """A crowded desk from 0.8 to 2.4 m; returns the camera."""
    rng = b.rng
    room = Room(rng.uniform(1.6, 4), rng.uniform(1.9, 4.5), rng.uniform(2.4, 3.2))
    half_x, half_z, height = rng.uniform(0.55, 1.0), rng.uniform(0.33, 0.5), rng.uniform(0.68, 0.78)
    against_wall = rng.random() < 0.35
    z = room.half_z - half_z - 0.03 if against_wall else rng.uniform(0, 0.5) * room.half_z
    x = rng.uniform(-0.4, 0.4) * (room.half_x - half_x)
    f = frame(x, z, math.pi if against_wall else math.pi + rng.normal(0, 0.2))
    daylight = shell(b, room)
    things.table(b, f, half_x=half_x, half_z=half_z, height=height)
    spots, floor = Spots(), Spots()
    floor.take(f, half_x, half_z)
    top = f.moved(0, height, 0)
    _equip(b, top, spots, (half_x, half_z))
    goods.put_goods(b, top, (half_x * 0.9, half_z * 0.82), b.several(3, 14), spots=spots, desk=True)
    if not against_wall and rng.random() < 0.3:  # a partition behind
        tall = rng.uniform(0.5, 0.8)
        b.box(
            f.at(0, tall, -half_z - 0.04), [half_x * 1.1, tall, 0.025], b.material("wall"), f.axes
        )
    for _ in range(int(rng.choice([0, 1, 2], p=[0.35, 0.5, 0.15]))):
        spot = f.moved(rng.uniform(-0.8, 0.8) * half_x, 0, half_z + rng.uniform(0.1, 0.45),
                       math.pi + rng.normal(0, 0.7))  # fmt: skip
        if floor.take(spot, 0.2, 0.2):
            pick = (fittings.swivel_chair, fittings.folding_chair, things.chair)
            pick[int(rng.choice(3, p=[0.6, 0.2, 0.2]))](b, spot)
    if daylight:
        outside(b)
    along_walls(b, room, floor)
    room_light(b, room, daylight)
    return _camera(rng, top, room)


def _equip(b: SceneBuilder, top: Frame, spots: Spots, half: tuple[float, float]) -> None:
    """Monitor or laptop, keyboard and mouse, a plant, a lamp."""
    rng = b.rng
    x = rng.uniform(-0.45, 0.45) * half[0]
    place = top.moved(x, 0, -half[1] * 0.35, rng.normal(0, 0.25))
    kind = rng.random()
    if kind < 0.6:
        spots.take(place, 0.22, 0.1)
        things.screen(b, place)
    elif kind < 0.8:
        spots.take(place, 0.18, 0.14)
        things.laptop(b, place)
    if kind < 0.6:
        keys = place.moved(rng.normal(0, 0.04), 0, 0.27, rng.normal(0, 0.1))
        spots.take(keys, 0.21, 0.07)
        b.box(keys.at(0, 0.012, 0), [0.21, 0.012, 0.068], b.material("keys"), keys.axes)
        beside = keys.moved(0.29, 0, 0.02, rng.normal(0, 0.2))
        if spots.take(beside, 0.04, 0.06):
            goods.mouse(b, beside)
    if rng.random() < 0.4 * b.options.clutter:
        spot = top.moved(rng.choice([-0.8, 0.8]) * half[0], 0, -half[1] * 0.4)
        if spots.take(spot, 0.1, 0.1):
            fittings.leafy_plant(b, spot, scale=rng.uniform(0.8, 1.4))
    if rng.random() < 0.25:  # a row of books
        spot = top.moved(rng.choice([-0.6, 0.6]) * half[0], 0, -half[1] * 0.75)
        wide = rng.uniform(0.1, 0.25)
        if spots.take(spot, wide, 0.09):
            tall = rng.uniform(0.1, 0.14)
            b.box(spot.at(0, tall, 0), [wide, tall, 0.085], b.material("spines"), spot.axes)


def _camera(rng: np.random.Generator, top: Frame, room: Room) -> Camera:
    """A camera in front of the desk (its +z side), looking down at it a little."""
    target = top.at(rng.normal(0, 0.2), rng.uniform(0.0, 0.2), rng.normal(0, 0.1))
    far, angle = math.exp(rng.uniform(math.log(0.7), math.log(2.4))), rng.normal(0, 0.45)
    down = math.radians(rng.uniform(8, 48))
    aside = [math.sin(angle) * math.cos(down), math.sin(down), math.cos(angle) * math.cos(down)]
    place = target + far * (np.array(aside) @ top.axes)
    inside = np.array([room.half_x, room.height, room.half_z]) - 0.12
    place = np.clip(place, [-inside[0], 0.3, -inside[2]], inside)
    aim = target - place
    pitch = math.atan2(aim[1], math.hypot(aim[0], aim[2])) + math.radians(rng.normal(0, 4))
    yaw = math.atan2(aim[0], aim[2]) + math.radians(rng.normal(0, 5))
    return make_camera(rng, place, yaw=yaw, pitch=pitch)
