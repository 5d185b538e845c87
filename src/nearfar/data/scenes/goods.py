"""Hand-sized things of tables and floors: cartons, tins, mugs, bottles, bags, stationery, cables.

Origin of a frame: on the surface below the thing. Sizes are those of real goods, in metres.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .builder import SceneBuilder, any_rotation, tilt_x, tilt_z, turn
from .furniture import small_thing
from .placing import Frame, Spots


def carton(b: SceneBuilder, f: Frame) -> float:
    """A printed box, standing or lying; returns its height."""
    rng = b.rng
    kind = rng.random()
    if kind < 0.45:  # cereal
        half = np.array([0.09, 0.135, 0.03]) * rng.uniform(0.75, 1.2, 3)
    elif kind < 0.75:  # tea, biscuits
        half = np.array([0.07, 0.04, 0.05]) * rng.uniform(0.7, 1.4, 3)
    else:  # juice, milk
        half = np.array([0.04, 0.1, 0.035]) * rng.uniform(0.8, 1.2, 3)
    axes = f.axes
    if rng.random() < 0.3 and kind < 0.45:  # lying on its face
        high, axes = half[2], tilt_x(math.pi / 2) @ axes
    else:
        high = half[1]
    b.box(f.at(0, high, 0), half, b.material("carton"), axes)
    return float(2 * high)


def tin(b: SceneBuilder, f: Frame) -> float:
    """A can, jar or round tin with a lid; returns its height."""
    rng = b.rng
    r, high = (rng.uniform(0.03, 0.055), rng.uniform(0.04, 0.09))
    if rng.random() < 0.3:
        r, high = rng.uniform(0.07, 0.11), rng.uniform(0.025, 0.05)
    b.tube(f.at(0, high, 0), [r, high, r], b.material("label"), f.axes)
    if rng.random() < 0.6:
        b.tube(f.at(0, 2 * high, 0), [r * 1.03, 0.008, r * 1.03], b.material("object"), f.axes)
    return 2 * high + 0.008


def lying_tin(b: SceneBuilder, f: Frame) -> float:
    """A can or roll on its side."""
    r, long = b.rng.uniform(0.03, 0.045), b.rng.uniform(0.06, 0.13)
    b.tube(f.at(0, r, 0), [r, long, r], b.material("label"), tilt_z(math.pi / 2) @ f.axes)
    return 2 * r


def mug(b: SceneBuilder, f: Frame) -> float:
    """A mug with a handle and what is in it."""
    china = b.material("label" if b.rng.random() < 0.3 else "paint")
    r, high = b.rng.uniform(0.036, 0.046), b.rng.uniform(0.04, 0.055)
    b.tube(f.at(0, high, 0), [r, high, r], china, f.axes)
    b.tube(f.at(0, 2 * high, 0), [r * 0.85, 0.002, r * 0.85], b.material("metal"), f.axes)
    hoop = tilt_x(math.pi / 2) @ f.axes
    b.tube(f.at(r, high, 0), [0.026, 0.006, 0.03], china, hoop)
    return 2 * high


def bottle(b: SceneBuilder, f: Frame) -> float:
    """A bottle or jug: body, shoulder, neck, cap."""
    rng, body = b.rng, b.material("label" if b.rng.random() < 0.5 else "paint")
    r, high = rng.uniform(0.03, 0.06), rng.uniform(0.07, 0.12)
    squeeze = rng.uniform(0.5, 1)
    b.tube(f.at(0, high, 0), [r, high, r * squeeze], body, f.axes)
    b.ball(f.at(0, 2 * high, 0), [r, r * 0.9, r * squeeze], body, f.axes)
    cap = 2 * high + r * 0.9
    b.tube(f.at(0, cap, 0), [0.014, 0.025, 0.014], b.material("object"))
    return cap + 0.02


def tape(b: SceneBuilder, f: Frame) -> float:
    """A roll of tape, flat on the surface."""
    r = b.rng.uniform(0.04, 0.07)
    b.tube(f.at(0, 0.022, 0), [r, 0.022, r], b.material("object"), f.axes)
    b.tube(f.at(0, 0.023, 0), [r * 0.65, 0.022, r * 0.65], b.material("tabletop"), f.axes)
    return 0.044


def books(b: SceneBuilder, f: Frame) -> float:
    """A few books or magazines on each other."""
    y = 0.0
    for _ in range(int(b.rng.integers(1, 5))):
        half = [b.rng.uniform(0.07, 0.15), b.rng.uniform(0.004, 0.02), b.rng.uniform(0.09, 0.12)]
        cover = b.material(("carton", "paper", "object", "picture")[int(b.rng.integers(4))])
        b.box(f.at(0, y + half[1], 0), half, cover, turn(b.rng.normal(0, 0.25)) @ f.axes)
        y += 2 * half[1]
    return y


def bag(b: SceneBuilder, f: Frame, *, size: float = 0.12) -> float:
    """A plastic or cloth bag: a few lumps leaning together."""
    rng, skin = b.rng, b.material(("paint", "fabric", "label")[int(b.rng.integers(3))])
    for _ in range(int(rng.integers(2, 5))):
        half = rng.uniform(0.55, 1.0, 3) * size * [1, 0.9, 0.8]
        axes = turn(rng.uniform(0, 6)) @ tilt_x(rng.normal(0, 0.3))
        high = 0.95 * float(np.linalg.norm(axes[:, 1] * half))  # its lowest point touches
        place = f.at(rng.normal(0, 0.4) * size, high, rng.normal(0, 0.3) * size)
        b.ball(place, half, skin, axes)
    return 1.6 * size


def phone(b: SceneBuilder, f: Frame) -> float:
    """A desk telephone, calculator or box of electronics."""
    case = b.material("object")
    lean = tilt_x(0.25) @ f.axes
    b.box(f.at(0, 0.03, 0), [0.09, 0.018, 0.1], case, lean)
    b.box(f.at(-0.06, 0.065, 0), [0.022, 0.016, 0.1], case, lean)
    b.box(f.at(0.025, 0.047, 0), [0.045, 0.004, 0.06], b.material("keys"), lean)
    return 0.08


def six_pack(b: SceneBuilder, f: Frame) -> float:
    """Six bottles in two rows."""
    green, cap = b.material("paint"), b.material("object")
    for x in (-0.07, 0.0, 0.07):
        for z in (-0.035, 0.035):
            b.tube(f.at(x, 0.09, z), [0.033, 0.09, 0.033], green)
            b.ball(f.at(x, 0.18, z), [0.032, 0.06, 0.032], cap if z > 0 else green)
    return 0.24


def globe(b: SceneBuilder, f: Frame) -> float:
    """A ball on a foot, or a plain ball."""
    r = b.rng.uniform(0.06, 0.15)
    foot = r * b.rng.choice([0.0, 0.4])
    if foot:
        b.tube(f.at(0, 0.008, 0), [r * 0.6, 0.008, r * 0.6], b.material("object"))
        b.tube(f.at(0, foot / 2, 0), [0.01, foot / 2, 0.01], b.material("metal"))
    b.ball(f.at(0, r + foot, 0), [r, r, r], b.material("picture"), any_rotation(b.rng))
    return 2 * r + foot


def odd(b: SceneBuilder, f: Frame) -> float:
    """Any other small thing."""
    small_thing(b, f)
    return 0.1


def mouse(b: SceneBuilder, f: Frame) -> float:
    """A computer mouse."""
    b.ball(f.at(0, 0.012, 0), [0.03, 0.02, 0.052], b.material("metal"), f.axes)
    return 0.03


def paper(b: SceneBuilder, f: Frame) -> float:
    """A sheet or leaflet."""
    b.box(f.at(0, 0.0015, 0), [0.1, 0.0015, 0.14], b.material("paper"), f.axes)
    return 0.003


Good = Callable[[SceneBuilder, Frame], float]
# Thing, radius that it needs, and how often: among packages, and on a desk.
GOODS: tuple[tuple[Good, float, float, float], ...] = (
    (carton, 0.10, 6.0, 1.5),
    (tin, 0.07, 3.0, 1.5),
    (lying_tin, 0.09, 0.7, 0.2),
    (mug, 0.06, 1.5, 2.0),
    (bottle, 0.06, 1.5, 2.0),
    (tape, 0.06, 0.3, 0.5),
    (books, 0.13, 0.4, 2.5),
    (bag, 0.15, 0.4, 0.5),
    (phone, 0.12, 0.1, 1.0),
    (six_pack, 0.13, 0.15, 0.0),
    (globe, 0.12, 0.2, 0.3),
    (odd, 0.09, 1.5, 4.0),
    (mouse, 0.05, 0.1, 1.0),
    (paper, 0.13, 0.4, 2.0),
)
_SHARES = np.array([row[2:] for row in GOODS]) / np.array([row[2:] for row in GOODS]).sum(0)
_CARRIES = (carton, tin, books)


def put_goods(
    b: SceneBuilder, f: Frame, area: tuple[float, float], count: int, *, spots: Spots, desk: bool
) -> None:
    """Things that do not run into each other within +-area of the frame, some on top of others."""
    rng = b.rng
    for _ in range(count):
        good, radius, *_ = GOODS[int(rng.choice(len(GOODS), p=_SHARES[:, int(desk)]))]
        if not b.has(5, 4, 6):
            return
        spot = spots.find(rng, f, area, radius)
        if spot is None:
            continue
        high = good(b, spot)
        if good in _CARRIES and high < 0.16 and rng.random() < 0.4:
            carried = (carton, tin, lying_tin, mug, odd)[int(rng.integers(5))]
            carried(b, spot.moved(rng.normal(0, 0.01), high, 0, rng.normal(0, 0.3)))


def cable(b: SceneBuilder, f: Frame, *, thick: float = 0.005) -> None:
    """A cable on the floor: a bent row of thin tubes."""
    rng, rubber = b.rng, b.material("metal")
    x = z = 0.0
    heading, bend = rng.uniform(0, 6.3), rng.normal(0, 0.5)
    for _ in range(int(rng.integers(4, 8))):
        half = rng.uniform(0.05, 0.12)
        heading += bend + rng.normal(0, 0.15)
        middle = f.at(x + half * math.cos(heading), thick, z + half * math.sin(heading))
        axes = tilt_z(math.pi / 2) @ turn(-heading) @ f.axes
        b.tube(middle, [thick, half + thick, thick], rubber, axes)
        x, z = x + 2 * half * math.cos(heading), z + 2 * half * math.sin(heading)
