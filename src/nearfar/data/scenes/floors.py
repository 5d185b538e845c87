"""Close views near the floor: parcels, chairs, bottles, cables before furniture along the walls."""

from __future__ import annotations

import math

import numpy as np

from . import fittings, goods
from . import furniture as things
from .builder import SceneBuilder, turn
from .cameras import Camera, make_camera
from .placing import Frame, Spots, frame
from .rooms import Room, along_walls, outside, room_light, shell


def floor_view(b: SceneBuilder) -> Camera:
    """A room seen from near the floor, or its floor seen from above; returns the camera."""
    rng = b.rng
    room = Room(rng.uniform(1.3, 2.8), rng.uniform(1.2, 2.6), rng.uniform(2.3, 2.8))
    daylight = shell(b, room)
    if daylight:
        outside(b)
    spots = Spots()
    low = rng.random() < 0.72
    x, z = rng.uniform(-0.5, 0.5) * room.half_x, -room.half_z + rng.uniform(0.25, 0.9)
    eye = frame(x, z, 0.0)
    yaw = math.atan2(-x, room.half_z * 1.5) + rng.normal(0, 0.4)
    view = Frame(eye.origin, turn(-yaw))
    spots.take(eye, 0.22, 0.22)
    _near_things(b, view, spots, room)
    along_walls(b, room, spots)
    if rng.random() < 0.25:
        rug = [rng.uniform(0.5, 1.2), 0.004, rng.uniform(0.4, 0.9)]
        b.box(view.at(rng.normal(0, 0.3), 0.004, rng.uniform(0.8, 2)), rug, b.material("rug"))
    room_light(b, room, daylight)
    if low:
        height = math.exp(rng.uniform(math.log(0.1), math.log(0.55)))
        pitch = rng.normal(-3 - 12 * height, 7)
    else:
        height, pitch = rng.uniform(0.6, 1.6), rng.uniform(-50, -15)
    return make_camera(rng, np.array([x, height, z]), yaw=yaw, pitch=math.radians(pitch))


def _near_things(b: SceneBuilder, view: Frame, spots: Spots, room: Room) -> None:
    """What stands 0.4 to 2.5 m before the camera; `view` looks along its z axis."""
    rng = b.rng
    for _ in range(int(rng.integers(2, 7))):
        spot = _ahead(b, view, room, 0.45, 2.2)
        if not b.has(10, 4, 6) or not spots.take(spot, 0.27, 0.27):
            continue
        kind = rng.random()
        if kind < 0.62:
            _, high = fittings.parcel(b, spot)
            if rng.random() < 0.4 and high < 0.6:
                fittings.lying_on(b, spot.moved(0, high, 0, rng.normal(0, 0.4)))
        elif kind < 0.74:
            fittings.folding_chair(b, spot)
        elif kind < 0.82:
            fittings.swivel_chair(b, spot)
        elif kind < 0.9:
            things.soft_heap(b, spot)
        else:
            things.stool(b, spot)
    for _ in range(b.several(0, 7)):
        spot = _ahead(b, view, room, 0.4, 1.6)
        if b.has(5, 6, 6) and spots.take(spot, 0.09, 0.09):
            pick = (goods.carton, goods.bottle, goods.tin, goods.bag, goods.six_pack, goods.books)
            pick[int(rng.choice(6, p=[0.3, 0.25, 0.15, 0.1, 0.05, 0.15]))](b, spot)
    if rng.random() < 0.35 * b.options.clutter and b.has(2, 2, 0):
        fittings.slippers(b, _ahead(b, view, room, 0.7, 2.0))
    if rng.random() < 0.4 * b.options.clutter and b.has(0, 0, 8):
        goods.cable(b, _ahead(b, view, room, 0.4, 1.2), thick=rng.uniform(0.003, 0.01))


def _ahead(b: SceneBuilder, view: Frame, room: Room, near: float, far: float) -> Frame:
    """A turned frame within the view and the room; distances are log-uniform."""
    rng = b.rng
    distance, aside = math.exp(rng.uniform(math.log(near), math.log(far))), rng.uniform(-0.6, 0.6)
    spot = view.moved(
        distance * aside, 0, distance, rng.choice([0.0, 0.0, 1.0]) * rng.uniform(0, 6)
    )
    spot = Frame(spot.origin.copy(), turn(rng.normal(0, 0.35)) @ spot.axes)
    spot.origin[0] = np.clip(spot.origin[0], -room.half_x + 0.35, room.half_x - 0.35)
    spot.origin[2] = np.clip(spot.origin[2], -room.half_z + 0.35, room.half_z - 0.35)
    return spot
