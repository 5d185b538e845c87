"""Rendered clips: a scene along a camera path, with moving things; and their cache on disk.

Clip i of seed s depends on (s, i, options) only. Frames are neighbors in time; steps of the camera
grow with the scene's depth, from a hand that rests to a fast walk.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nearfar.errors import ConfigError

from .builder import Scene
from .cameras import Camera, camera_path
from .moving import moved_centers
from .options import SceneOptions
from .renderer import (
    RenderedBatch,
    along_path,
    build_one,
    camera_of,
    camera_rays,
    is_usable,
    render_built,
)
from .shapes import components, trace
from .shards import SceneShards, Shard, as_shard

_FEWEST_SHAPES = 3
_ATTEMPTS = 4  # at half the steps each, before the camera stands still
_LOOK_HW = (9, 12)  # rays that measure how deep a scene is


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipOptions(SceneOptions):
    """What to render, and how it moves.

    frames: of a clip. speed: of the camera, 1 = about 1 % of the scene's depth a frame. moving,
    still: shares of clips with moving things, and with a camera that stands.
    """

    frames: int = 12
    speed: float = 1.0
    moving: float = 0.5
    still: float = 0.1

    def __post_init__(self) -> None:
        SceneOptions.__post_init__(self)
        if self.frames < 1 or self.speed < 0:
            raise ConfigError("ClipOptions", f"{self.frames} frames at speed {self.speed}")
        for name in ("moving", "still"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"ClipOptions.{name}", f"{getattr(self, name)} is not in 0..1")


def render_clip(
    index: int,
    *,
    seed: int,
    size_hw: tuple[int, int],
    device: torch.device | str,
    options: ClipOptions,
) -> RenderedBatch:
    """The frames of clip `index`, in order; frame 0 is the scene's own view."""
    if index < 0 or seed < 0:
        raise ConfigError("render_clip", f"index {index}, seed {seed}: need >= 0")
    generator = np.random.default_rng([seed, index, options.frames])
    with torch.no_grad():
        one = build_one(index, seed=seed, device=device, options=options)
        scene = one.scene
        is_still, has_motion = generator.random(2) < (options.still, options.moving)
        step = 0.0 if is_still else options.speed * _step_of(scene, generator)
        centers = None
        if has_motion:
            centers = moved_centers(scene, frames=options.frames, generator=generator)
        path_seed = int(generator.integers(2**31))
        clip = _moving(scene, [camera_of(scene)] * options.frames, centers)
        for attempt in range(_ATTEMPTS if step > 0 else 0):
            path = camera_path(
                camera_of(scene),
                frames=options.frames,
                generator=np.random.default_rng(path_seed),
                speed=step * 0.5**attempt,
            )
            tried = _moving(scene, path, centers)
            if bool(is_usable(tried, _FEWEST_SHAPES).all()):
                clip = tried
                break
        kinds = [one.kind] * options.frames
        return render_built(clip, one.atlas, size_hw=size_hw, options=options, kinds=kinds)


def _step_of(scene: Scene, generator: np.random.Generator) -> float:
    """Metres the camera moves a frame: about 1 % of the median depth, at most 0.3."""
    hits = trace(scene.primitives(), components(scene.position), camera_rays(scene, _LOOK_HW))
    median = float(hits.t_BP.clamp_max(40.0).median())
    return min(0.3, 0.01 * median * math.exp(generator.normal(0.5, 0.6)))


def _moving(scene: Scene, path: Sequence[Camera], centers: torch.Tensor | None) -> Scene:
    """The scene as a stack of frames from these cameras, with these places of its things."""
    clip = along_path(scene, path)
    return clip if centers is None else clip._replace(center=centers)


class ClipShards(SceneShards):
    """Clips in the cache of scenes: `batch` gives [B,T,...], one field of view a clip."""

    kind = "clips"
    at_once = 1
    options: ClipOptions

    def __init__(
        self,
        folder: Path | str,
        *,
        seed: int,
        size_hw: tuple[int, int],
        options: ClipOptions,
        device: torch.device | str = "cpu",
        shard_size: int = 16,
    ) -> None:
        super().__init__(
            folder,
            seed=seed,
            size_hw=size_hw,
            options=options,
            device=device,
            shard_size=shard_size,
        )

    def _draw(self, indices: Sequence[int]) -> Shard:
        """The clips with these indices, rendered."""
        parts = [as_shard(RenderedBatch(*(t[None] for t in self._clip(i)))) for i in indices]
        image, depth, sky_bits, fov, kind = (torch.cat(part) for part in zip(*parts, strict=True))
        return Shard(image, depth, sky_bits, fov[:, 0], kind[:, 0])

    def _clip(self, index: int) -> RenderedBatch:
        return render_clip(
            index,
            seed=self.seed,
            size_hw=self.size_hw,
            device=self.device,
            options=self.options,
        )
