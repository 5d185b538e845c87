"""Where things stand: frames on floors and tables, and which rectangles are taken already."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .builder import turn

Array = NDArray[np.float64]


class Frame(NamedTuple):
    """Where a thing stands: origin in the world and its axes (rows)."""

    origin: Array
    axes: Array

    def at(self, x: float, y: float, z: float) -> Array:
        """World position of a local point."""
        return np.asarray(self.origin + np.array([x, y, z]) @ self.axes)

    def moved(self, x: float, y: float, z: float, angle: float = 0.0) -> Frame:
        """A frame at a local point, turned about the vertical."""
        return Frame(self.at(x, y, z), turn(angle) @ self.axes)


def frame(x: float, z: float, angle: float, y: float = 0.0) -> Frame:
    """A frame on the floor."""
    return Frame(np.array([x, y, z]), turn(angle))


class Spots:
    """Taken rectangles, along the world's x and z; turned ones count with their bounds."""

    def __init__(self) -> None:
        self._taken: list[tuple[float, float, float, float]] = []

    def take(self, f: Frame, half_x: float, half_z: float) -> bool:
        """True and taken, if the rectangle around the frame's origin is still free."""
        reach = abs(f.axes[0]) * half_x + abs(f.axes[2]) * half_z
        x, z = float(f.origin[0]), float(f.origin[2])
        new = (x - reach[0], x + reach[0], z - reach[2], z + reach[2])
        for low_x, high_x, low_z, high_z in self._taken:
            if new[0] < high_x and low_x < new[1] and new[2] < high_z and low_z < new[3]:
                return False
        self._taken.append(new)
        return True

    def find(
        self, rng: np.random.Generator, f: Frame, area: tuple[float, float], radius: float
    ) -> Frame | None:
        """A free, turned frame for a round thing within +-area (x, z) of `f`; None if crowded."""
        for _ in range(5):
            x, z = rng.uniform(-area[0], area[0]), rng.uniform(-area[1], area[1])
            spot = f.moved(x, 0, z, rng.uniform(0, 6.3))
            if self.take(Frame(spot.origin, np.eye(3)), radius, radius):
                return spot
        return None
