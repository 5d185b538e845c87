"""Cameras: where they stand and look, and smooth paths for clips.

World right-handed, y up; a rotation's columns are the camera's right, down and forward (OpenCV).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera. position: [3] metres; rotation: [3,3] camera to world."""

    position: Array
    rotation: Array
    tan_half_x: float


def look(yaw: float, pitch: float, roll: float) -> Array:
    """Camera-to-world rotation; radians, pitch > 0 looks up, yaw 0 looks along +z."""
    forward = np.array(
        [math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)]
    )
    right = np.array([-math.cos(yaw), 0.0, math.sin(yaw)])  # forward x up, at pitch 0
    down = np.cross(forward, right)
    c, s = math.cos(roll), math.sin(roll)
    return np.stack([c * right + s * down, c * down - s * right, forward], axis=1)


def look_at(position: Array, target: Array, roll: float) -> Array:
    """Camera-to-world rotation of a camera looking at a point."""
    d = target - position
    return look(math.atan2(d[0], d[2]), math.atan2(d[1], math.hypot(d[0], d[2])), roll)


def draw_fov_deg(rng: np.random.Generator) -> float:
    """Horizontal field of view, 40 to 100 degrees, most of them as phones have (50 to 75)."""
    return float(
        np.clip(rng.normal(64, 12) if rng.random() < 0.7 else rng.uniform(40, 100), 40, 100)
    )


def make_camera(rng: np.random.Generator, position: Array, *, yaw: float, pitch: float) -> Camera:
    """A camera with a random field of view and a small random roll (sometimes a large one)."""
    roll = rng.normal(0, math.radians(2 if rng.random() < 0.85 else 8))
    tan_half = math.tan(math.radians(draw_fov_deg(rng)) / 2)
    return Camera(np.asarray(position, float), look(yaw, pitch, roll), tan_half)


def camera_path(
    camera: Camera, *, frames: int, generator: np.random.Generator, speed: float = 0.03
) -> list[Camera]:
    """A smooth clip: `frames` cameras from this one on, about `speed` metres a frame.

    Velocity and turning rate follow low-frequency random waves, so steps change gently.
    """
    t = np.arange(frames)
    period = generator.uniform(30, 90, (6, 2, 1))
    phase = generator.uniform(0, 2 * math.pi, (6, 2, 1))
    rate = np.cos(2 * math.pi * t / period + phase).sum(1) / 2  # [6, frames]
    forward = camera.rotation[:, 2]
    drift = forward * generator.choice([-1, 1]) * speed * generator.uniform(0.3, 1)
    moves = speed * 0.5 * rate[:3].T * np.array([1, 0.3, 1]) + drift
    places = camera.position + np.concatenate([np.zeros((1, 3)), np.cumsum(moves, 0)[:-1]])
    turns = np.concatenate(
        [np.zeros((3, 1)), np.cumsum(rate[3:] * np.radians([[0.5], [0.2], [0.1]]), 1)[:, :-1]], 1
    )
    yaw, pitch = math.atan2(forward[0], forward[2]), math.asin(float(np.clip(forward[1], -1, 1)))
    level = look(yaw, pitch, 0.0)
    roll = math.atan2(
        float(camera.rotation[:, 0] @ level[:, 1]), float(camera.rotation[:, 0] @ level[:, 0])
    )
    return [
        replace(camera, position=p, rotation=look(yaw + a, pitch + b, roll + c))
        for p, a, b, c in zip(places, *turns)
    ]
