"""A scene as fixed-size arrays, and the builder that layouts fill primitive by primitive.

World: right-handed, metres, y up. A rotation's rows are the shape's local axes in the world.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .cameras import Camera
from .materials import Material, draw_material
from .options import SceneOptions
from .shapes import BOXES, CYLINDERS, ELLIPSOIDS, SLOTS, Primitives
from .textures import TextureIndex

Array = NDArray[np.float64]
LIGHTS = 2
UPRIGHT = np.eye(3)


class Scene(NamedTuple):
    """Geometry [K slots], surfaces [K], lights [N], sky and sensor of one scene; float32 or int64.

    As numpy arrays for one scene, or as tensors with a leading batch axis after `stack_scenes`.
    """

    center: Tensor
    half: Tensor
    axes: Tensor
    texture: Tensor
    stain: Tensor
    stain_share: Tensor
    tile_scale: Tensor  # tiles per unit coordinate, per axis [K,3]
    contrast: Tensor
    color: Tensor
    gloss: Tensor
    glow: Tensor
    light_position: Tensor  # for suns: unit direction towards it
    light_is_sun: Tensor
    light_color: Tensor
    light_radius: Tensor  # metres; for suns radians
    fill_direction: Tensor  # unit, towards the middle of a broad soft light without shadows
    fill_color: Tensor
    bounce: Tensor  # strength of the light that neighbors throw back in their color
    sky_color: Tensor
    horizon_color: Tensor
    ground_color: Tensor
    ambient: Tensor
    clouds: Tensor  # texture number, amount
    fog: Tensor  # per metre
    position: Tensor
    rotation: Tensor  # columns: right, down, forward
    tan_half_x: Tensor
    sensor: Tensor  # see sensor.py
    noise_seed: Tensor

    def primitives(self) -> Primitives:
        """The geometry of a stacked scene."""
        return Primitives(self.center, self.half, self.axes)


def turn(angle: float) -> Array:
    """Rotation about the vertical: rows are the turned x, y, z axes."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])


def tilt_x(angle: float) -> Array:
    """Rotation about the local x axis."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[1, 0, 0], [0, c, s], [0, -s, c]])


def tilt_z(angle: float) -> Array:
    """Rotation about the local z axis."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])


def any_rotation(rng: np.random.Generator) -> Array:
    """A uniformly random rotation."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return np.asarray(q * np.linalg.det(q))


class SceneBuilder:
    """Collects shapes, lights and sky; shapes beyond the slots of their kind are left out."""

    def __init__(
        self,
        rng: np.random.Generator,
        textures: TextureIndex,
        *,
        plain: float,
        options: SceneOptions | None = None,
    ) -> None:
        self.rng = rng
        self.textures = textures
        self.plain = plain
        self.options = options or SceneOptions()
        self._boxes: list[tuple[Array, Array, Array, Material]] = []
        self._ellipsoids: list[tuple[Array, Array, Array, Material]] = []
        self._cylinders: list[tuple[Array, Array, Array, Material]] = []
        self._lights: list[tuple[Array, bool, Array, float]] = []
        self.sky = np.array([0.25, 0.45, 0.9])
        self.horizon = np.array([0.7, 0.8, 0.95])
        self.ground = np.array([0.2, 0.18, 0.15])
        self.ambient = 0.3
        self.fill_direction = np.array([0.0, 1.0, 0.0])
        self.fill_color = np.zeros(3)
        self.bounce = 0.0
        self.clouds = 0.3
        self.fog = 0.0

    def material(self, family: str, *, glow: float = 0.0) -> Material:
        """A random surface of a family (materials.FAMILIES)."""
        look = self.options
        return draw_material(
            self.rng,
            self.textures,
            family,
            plain=self.plain,
            glow=glow,
            natural=look.albedo,
            prints=look.prints,
        )

    def several(self, low: int, high: int) -> int:
        """A random count from low to high - 1, less where clutter is switched down."""
        return round(float(self.rng.integers(low, high)) * self.options.clutter)

    def box(self, center: object, half: object, material: Material, axes: Array = UPRIGHT) -> None:
        """Add a box; `half` are half extents along its axes."""
        self._add(self._boxes, BOXES, center, half, material, axes)

    def ball(self, center: object, half: object, material: Material, axes: Array = UPRIGHT) -> None:
        """Add an ellipsoid."""
        self._add(self._ellipsoids, ELLIPSOIDS, center, half, material, axes)

    def tube(self, center: object, half: object, material: Material, axes: Array = UPRIGHT) -> None:
        """Add a capped cylinder along its y axis."""
        self._add(self._cylinders, CYLINDERS, center, half, material, axes)

    def free(self) -> tuple[int, int, int]:
        """Free slots for boxes, ellipsoids, cylinders."""
        return (
            BOXES - len(self._boxes),
            ELLIPSOIDS - len(self._ellipsoids),
            CYLINDERS - len(self._cylinders),
        )

    def has(self, boxes: int, balls: int, tubes: int) -> bool:
        """Whether so many slots are free: a thing without its body would float in parts."""
        return all(free >= need for free, need in zip(self.free(), (boxes, balls, tubes)))

    def light(self, position: object, color: object, radius: float) -> None:
        """Add a lamp at a place; `color` is its strength at 1 m."""
        self._lights.append(
            (np.asarray(position, float), False, np.asarray(color, float) * np.ones(3), radius)
        )

    def sun(self, direction: object, color: object, radius: float) -> None:
        """Add a far light; `radius` in radians (large = overcast)."""
        towards = np.asarray(direction, float)
        towards = towards / np.linalg.norm(towards)
        self._lights.append((towards, True, np.asarray(color, float) * np.ones(3), radius))

    def soft_light(self, color: object) -> None:
        """Broad light from a random side and the colors that surfaces throw at each other."""
        rng, strength = self.rng, self.options.lights
        towards = rng.normal(size=3) * [1, 0.4, 1] + [0, 0.5, 0]
        self.fill_direction = towards / np.linalg.norm(towards)
        self.fill_color = strength * np.asarray(color, float) * np.ones(3)
        self.bounce = strength * rng.uniform(0.3, 0.9)

    def _add(
        self,
        kind: list[tuple[Array, Array, Array, Material]],
        limit: int,
        center: object,
        half: object,
        material: Material,
        axes: Array,
    ) -> None:
        if len(kind) < limit:
            size = np.maximum(np.asarray(half, float), 2e-3)
            kind.append((np.asarray(center, float), size, axes, material))

    def build(self, camera: Camera, *, sensor: Array, noise_seed: int) -> Scene:
        """The finished scene as numpy arrays."""
        center, half = np.zeros((SLOTS, 3)), np.full((SLOTS, 3), 0.01)
        center[:, 1] = -1e4
        axes = np.tile(np.eye(3), (SLOTS, 1, 1))
        numbers = np.zeros((SLOTS, 2), np.int64)
        looks = np.zeros((SLOTS, 10))
        kinds = ((0, self._boxes), (BOXES, self._ellipsoids), (BOXES + ELLIPSOIDS, self._cylinders))
        for start, shapes in kinds:
            for slot, (c, h, r, m) in enumerate(shapes, start):
                center[slot], half[slot], axes[slot] = c, h, r
                numbers[slot] = m.texture, m.stain
                tiles = h / m.size_m if m.size_m > 0 else np.full(3, 0.5)
                looks[slot] = *tiles, m.contrast, *m.color, m.gloss, m.glow, m.stain_share
        lights = (self._lights + [(np.array([0.0, 1, 0]), True, np.zeros(3), 0.1)] * 2)[:LIGHTS]
        cloud_texture = self.textures.draw(self.rng, "clouds")
        arrays = {
            "center": center,
            "half": half,
            "axes": axes,
            "texture": numbers[:, 0],
            "stain": numbers[:, 1],
            "tile_scale": looks[:, :3],
            "contrast": looks[:, 3],
            "color": looks[:, 4:7],
            "gloss": looks[:, 7],
            "glow": looks[:, 8],
            "stain_share": looks[:, 9],
            "light_position": np.stack([light[0] for light in lights]),
            "light_is_sun": np.array([float(light[1]) for light in lights]),
            "light_color": np.stack([light[2] for light in lights]),
            "light_radius": np.array([light[3] for light in lights]),
            "fill_direction": self.fill_direction,
            "fill_color": self.fill_color,
            "bounce": np.array(self.bounce),
            "sky_color": self.sky,
            "horizon_color": self.horizon,
            "ground_color": self.ground,
            "ambient": np.array(self.ambient),
            "clouds": np.array([cloud_texture, self.clouds]),
            "fog": np.array(self.fog),
            "position": camera.position,
            "rotation": camera.rotation,
            "tan_half_x": np.array(camera.tan_half_x),
            "sensor": sensor,
            "noise_seed": np.array(noise_seed, np.int64),
        }
        return Scene(**{k: _typed(v) for k, v in arrays.items()})


def _typed(array: Array | NDArray[np.int64]) -> Tensor:
    """Integers as int64, everything else as float32."""
    if array.dtype == np.int64:
        return torch.from_numpy(array)
    return torch.from_numpy(array.astype(np.float32))


def stack_scenes(scenes: list[Scene], device: torch.device) -> Scene:
    """Scenes as one batch on a device."""
    return Scene(*(torch.stack(parts).to(device) for parts in zip(*scenes)))
