"""Things that move through a clip: small primitives near each other, as one, on a level path."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .builder import Scene

Array = NDArray[np.float64]

_SMALLEST, _LARGEST = 0.03, 0.7  # metres, largest half extent of what may move
_TOGETHER = 0.35  # metres beyond a thing's own reach: what is that near moves with it
_MOST = 3  # things that move in one clip


class Seen(NamedTuple):
    """Slots that may move, [K]: movable; distance_K: metres along the view axis; reach_K: size."""

    movable_K: NDArray[np.bool_]
    distance_K: Array
    reach_K: Array


def seen_things(scene: Scene) -> Seen:
    """The small primitives in the (first) scene's view, between 0.3 and 15 m away."""
    center_K3 = scene.center[0].double().cpu().numpy()
    reach_K = scene.half[0].amax(-1).double().cpu().numpy()
    rotation_33 = scene.rotation[0].double().cpu().numpy()
    local_K3 = (center_K3 - scene.position[0].double().cpu().numpy()) @ rotation_33
    z_K, tan_half = local_K3[:, 2], float(scene.tan_half_x[0])
    in_view_K = (np.abs(local_K3[:, :2]) < (tan_half * z_K + reach_K)[:, None]).all(-1)
    is_small_K = (reach_K > _SMALLEST) & (reach_K < _LARGEST)
    return Seen(in_view_K & is_small_K & (z_K > 0.3) & (z_K < 15), z_K, reach_K)


def moved_centers(scene: Scene, *, frames: int, generator: np.random.Generator) -> Tensor:
    """Centers [T,K,3] of one scene's primitives along a clip in which up to three things move.

    Larger things in view are likelier to move; speeds change gently and grow with the distance, so
    that motion in the picture is of the same order everywhere. Frame 0 is the scene as it is.
    """
    center_K3 = scene.center[0].double().cpu().numpy()
    movable_K, distance_K, reach_K = seen_things(scene)
    offset_TK3 = np.zeros((frames, *center_K3.shape))
    left_K = movable_K.copy()
    for _ in range(int(generator.integers(1, _MOST + 1))):
        if not left_K.any():
            break
        weight_K = np.where(left_K, reach_K / np.maximum(distance_K, 0.3), 0.0)
        chosen = int(generator.choice(len(weight_K), p=weight_K / weight_K.sum()))
        apart_K = np.linalg.norm(center_K3 - center_K3[chosen], axis=-1)
        group_K = left_K & (apart_K < 1.2 * reach_K[chosen] + _TOGETHER)
        step = 0.012 * max(0.5, float(distance_K[chosen])) * math.exp(generator.normal(0, 0.5))
        offset_TK3[:, group_K] = _level_path(frames, step, generator)[:, None]
        left_K &= ~group_K
    moved_TK3 = torch.tensor(center_K3 + offset_TK3, dtype=torch.float32)
    moved_TK3[0] = scene.center[0].cpu()
    return moved_TK3.to(scene.center.device)


def _level_path(frames: int, step: float, generator: np.random.Generator) -> Array:
    """Offsets [T,3] from 0 on: about `step` metres a frame, level, turning and slowing gently."""
    t_T = np.arange(frames)
    heading_T = generator.uniform(0, 2 * math.pi) + generator.normal(0, 0.05) * t_T
    wave_T = np.cos(2 * math.pi * (t_T / generator.uniform(20, 60) + generator.uniform()))
    pace_T = step * (1 + 0.5 * wave_T)
    move_T3 = (
        np.stack([np.cos(heading_T), np.zeros(frames), np.sin(heading_T)], 1) * pace_T[:, None]
    )
    return np.concatenate([np.zeros((1, 3)), np.cumsum(move_T3, 0)[:-1]])
