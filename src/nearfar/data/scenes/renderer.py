"""Rendered scenes with exact depth: seeds in, photos, depth, normals, sky and cameras out.

Scene i of seed s depends on (s, i, options) only, never on the batch. Same code on CPU and CUDA;
on CPU scenes go through one by one (their temporaries stay in cache), on CUDA in groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nearfar.data.sample import DepthBatch
from nearfar.errors import ConfigError

from .builder import Scene, stack_scenes
from .cameras import Camera, camera_path
from .layouts import build_scene
from .options import KINDS, SceneOptions
from .sensor import expose
from .shading import View, shade, sky_radiance
from .shapes import Vector, along, components, contains, dot, surface_at, trace
from .textures import Atlas, TextureIndex, make_atlas, read_photos, texture_index

FARTHEST = 2500.0  # metres; beyond is sky
_CHECK_HW = (18, 24)  # rays of the check for degenerate frames
_ATTEMPTS = 12
_FEWEST_SHAPES = 10  # seen in a frame; one less is asked for with every redraw
_CUDA_GROUP = 32


class RenderedBatch(NamedTuple):
    """Photos with everything known about them.

    image_B3HW: RGB 0..1. depth_BHW: z-depth in metres, 0 on sky. normal_B3HW: unit, camera axes
    (OpenCV), towards the camera, 0 on sky. intrinsics_B33: pixels. camera_to_world_B44: OpenCV
    camera to a right-handed world, y up. kind_B: index into options.KINDS.
    """

    image_B3HW: Tensor
    depth_BHW: Tensor
    normal_B3HW: Tensor
    sky_BHW: Tensor
    fov_x_deg_B: Tensor
    intrinsics_B33: Tensor
    camera_to_world_B44: Tensor
    kind_B: Tensor

    def as_depth_batch(self) -> DepthBatch:
        """The part that training uses."""
        return DepthBatch(
            self.image_B3HW, self.depth_BHW, ~self.sky_BHW, self.sky_BHW, self.fov_x_deg_B
        )


class BuiltScene(NamedTuple):
    """A scene (stack of one), what its textures are taken from, and the name of its kind."""

    scene: Scene
    atlas: Atlas
    kind: str


class Pixels(NamedTuple):
    """What the compiled part returns: photo, depth (0 on sky), camera-space normals, sky."""

    image_B3HW: Tensor
    depth_BHW: Tensor
    normal_B3HW: Tensor
    sky_BHW: Tensor


def camera_rays(scene: Scene, size_hw: tuple[int, int]) -> Vector:
    """World directions [B,H*W] through the pixel centers, with z-depth 1 in the camera."""
    height, width = size_hw
    device = scene.tan_half_x.device
    x = ((torch.arange(width, device=device) + 0.5) / width * 2 - 1).repeat(height)
    y = ((torch.arange(height, device=device) + 0.5) / height * 2 - 1).repeat_interleave(width)
    right = x * scene.tan_half_x[:, None]
    down = y * (scene.tan_half_x * (height / width))[:, None]
    r = scene.rotation
    return tuple(  # type: ignore[return-value]
        r[:, i, 0, None] * right + r[:, i, 1, None] * down + r[:, i, 2, None] for i in range(3)
    )


def draw_pixels(
    scene: Scene, texels_P3: Tensor, level_start_L: Tensor, size_hw: tuple[int, int]
) -> Pixels:
    """Render stacked scenes (the compiled function: tensors in, tensors out)."""
    height, width = size_hw
    batch = scene.tan_half_x.shape[0]
    atlas = Atlas(texels_P3, level_start_L, sum(4**k for k in range(level_start_L.shape[0])))
    direction = camera_rays(scene, size_hw)
    length = dot(direction, direction).sqrt()
    shapes = scene.primitives()
    hits = trace(shapes, components(scene.position), direction)
    sky = hits.t_BP > FARTHEST
    depth = hits.t_BP.clamp_max(FARTHEST)
    point = along(components(scene.position), direction, depth)
    view = View(direction, length, depth, point, depth * scene.tan_half_x[:, None] * (2 / width))
    surface = surface_at(shapes, hits, point, direction)
    sky_BP3 = sky_radiance(scene, atlas, view)
    color = shade(scene, atlas, hits, surface, view, sky_BP3)
    color = torch.where(sky[..., None], sky_BP3, color)
    radiance = color.view(batch, height, width, 3).permute(0, 3, 1, 2)
    image = expose(radiance.contiguous(), scene.sensor, scene.noise_seed)
    r, n = scene.rotation, surface.normal
    facing = torch.stack(
        [
            r[:, 0, i, None] * n[0] + r[:, 1, i, None] * n[1] + r[:, 2, i, None] * n[2]
            for i in range(3)
        ],
        dim=1,
    )
    facing = torch.where(sky[:, None], 0.0, facing)
    return Pixels(
        image,
        torch.where(sky, 0.0, depth).view(batch, height, width),
        facing.view(batch, 3, height, width),
        sky.view(batch, height, width),
    )


@lru_cache(maxsize=4)
def _textures(seed: int, folder: str, device: torch.device) -> tuple[Atlas, TextureIndex]:
    photos = read_photos(folder)
    return make_atlas(seed, photos).to(device), texture_index(len(photos))


@lru_cache(maxsize=1)
def _compiled() -> Callable[..., Pixels]:
    return torch.compile(draw_pixels, dynamic=False)  # type: ignore[return-value]


def is_usable(scene: Scene, fewest: int) -> Tensor:
    """[B] False for frames that teach little.

    The camera is inside a thing, the view is nearly flat or blocked within 15 cm, or fewer than
    `fewest` shapes are seen.
    """
    direction = camera_rays(scene, _CHECK_HW)
    hits = trace(scene.primitives(), components(scene.position), direction)
    seen = torch.zeros_like(scene.contrast).scatter_add_(
        1, hits.slot_BP, (hits.t_BP < FARTHEST).to(scene.contrast.dtype)
    )
    shapes = (seen >= 2).sum(1)
    depth = hits.t_BP.clamp_max(400.0).sort(dim=1).values
    count = depth.shape[1]
    low, mid, high = depth[:, count // 20], depth[:, count // 4], depth[:, -(count // 20)]
    free = ~contains(scene.primitives(), scene.position, margin=0.05)
    free &= shapes >= fewest
    return free & (high > 1.25 * low) & (mid > 0.25) & (low > 0.15) & (depth[:, 0] < 300)


@dataclass(frozen=True, slots=True)
class SceneSource:
    """Builds the scenes of one seed; redraws degenerate ones with a sub-seed."""

    seed: int
    options: SceneOptions
    textures: TextureIndex
    device: torch.device

    def build(self, indices: Sequence[int]) -> tuple[Scene, list[str]]:
        """Stacked scenes and the name of each one's kind."""
        kinds, scenes = [""] * len(indices), [None] * len(indices)  # type: list[str], list[Scene | None]
        todo = list(range(len(indices)))
        for attempt in range(_ATTEMPTS):
            for place in todo:
                rng = np.random.default_rng([self.seed, indices[place], attempt])
                scenes[place], kinds[place] = build_scene(rng, self.textures, self.options)
            drawn = [s for place in todo if (s := scenes[place]) is not None]
            usable = self._usable(drawn, max(2, _FEWEST_SHAPES - attempt))
            todo = [place for place, good in zip(todo, usable) if not good]
            if not todo:
                break
        return stack_scenes([s for s in scenes if s is not None], self.device), kinds

    def _usable(self, scenes: list[Scene], fewest: int) -> list[bool]:
        """`is_usable` of each scene; few at a time on CPU, where larger ones leave the cache."""
        size = len(scenes) if self.device.type == "cuda" else 4
        answers: list[bool] = []
        for start in range(0, len(scenes), size):
            part = stack_scenes(scenes[start : start + size], self.device)
            answers += is_usable(part, fewest).tolist()
        return answers


def render_scenes(
    indices: Sequence[int],
    *,
    seed: int,
    size_hw: tuple[int, int],
    device: torch.device | str,
    options: SceneOptions,
) -> RenderedBatch:
    """The scenes with these indices, on `device`; sky has depth 0."""
    if not len(indices) or min(indices) < 0 or seed < 0:
        raise ConfigError("render_scenes", f"indices {list(indices)[:4]}, seed {seed}: need >= 0")
    device = torch.device(device)
    atlas, textures = _textures(options.texture_seed, options.texture_folder, device)
    source = SceneSource(seed, options, textures, device)
    with torch.no_grad():
        scene, kinds = source.build([int(i) for i in indices])
        return render_built(scene, atlas, size_hw=size_hw, options=options, kinds=kinds)


def render_path(
    index: int,
    *,
    frames: int,
    seed: int,
    size_hw: tuple[int, int],
    device: torch.device | str,
    options: SceneOptions,
) -> RenderedBatch:
    """A clip: scene `index` seen along a smooth camera path; frame 0 is the scene's own view."""
    if frames < 1:
        raise ConfigError("render_path", f"{frames} frames")
    with torch.no_grad():
        one = build_one(index, seed=seed, device=device, options=options)
        generator = np.random.default_rng([seed, index])
        path = camera_path(camera_of(one.scene), frames=frames, generator=generator)
        clip = along_path(one.scene, path)
        return render_built(
            clip, one.atlas, size_hw=size_hw, options=options, kinds=[one.kind] * frames
        )


def build_one(
    index: int, *, seed: int, device: torch.device | str, options: SceneOptions
) -> BuiltScene:
    """One scene that is not rendered yet."""
    device = torch.device(device)
    atlas, textures = _textures(options.texture_seed, options.texture_folder, device)
    scene, kinds = SceneSource(seed, options, textures, device).build([index])
    return BuiltScene(scene, atlas, kinds[0])


def camera_of(scene: Scene) -> Camera:
    """The camera of the (first) scene."""
    return Camera(
        scene.position[0].double().cpu().numpy(),
        scene.rotation[0].double().cpu().numpy(),
        float(scene.tan_half_x[0]),
    )


def along_path(scene: Scene, path: Sequence[Camera]) -> Scene:
    """One scene as a stack of frames, seen from these cameras; frame 0 keeps its own exactly."""
    frames, device = len(path), scene.position.device
    clip = Scene(*(t.expand(frames, *t.shape[1:]) for t in scene))
    places = torch.tensor(np.stack([c.position for c in path]), dtype=torch.float32)
    turns = torch.tensor(np.stack([c.rotation for c in path]), dtype=torch.float32)
    places[0], turns[0] = scene.position[0].cpu(), scene.rotation[0].cpu()
    return clip._replace(
        position=places.to(device),
        rotation=turns.to(device),
        noise_seed=(scene.noise_seed + torch.arange(frames, device=device)) % 2**31,
    )


def _groups(scene: Scene, size: int) -> Iterator[tuple[Scene, int]]:
    """Equal groups of scenes (the last one filled up) and how many of each are real."""
    count = scene.tan_half_x.shape[0]
    for start in range(0, count, size):
        real = min(size, count - start)
        part = Scene(*(t[start : start + size] for t in scene))
        if real < size:
            part = Scene(*(torch.cat([t, t[-1:].expand(size - real, *t.shape[1:])]) for t in part))
        yield part, real


def render_built(
    scene: Scene, atlas: Atlas, *, size_hw: tuple[int, int], options: SceneOptions, kinds: list[str]
) -> RenderedBatch:
    """Render scenes that are already built (a clip's frames, for example)."""
    draw = _compiled() if options.compile else draw_pixels
    on_cuda = scene.tan_half_x.device.type == "cuda"
    parts: list[Pixels] = []
    for part, real in _groups(scene, _CUDA_GROUP if on_cuda else 1):
        drawn = draw(part, atlas.texels_P3, atlas.level_start_L, size_hw)
        parts.append(Pixels(*(t[:real].clone() for t in drawn)))
    pixels = Pixels(*(torch.cat(p) for p in zip(*parts)))
    tan_half = scene.tan_half_x.double()
    height, width = size_hw
    intrinsics = torch.zeros(len(kinds), 3, 3, dtype=torch.float64, device=tan_half.device)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = width / 2 / tan_half
    intrinsics[:, 0, 2], intrinsics[:, 1, 2], intrinsics[:, 2, 2] = width / 2, height / 2, 1.0
    pose = torch.eye(4, device=tan_half.device).repeat(len(kinds), 1, 1)
    pose[:, :3, :3], pose[:, :3, 3] = scene.rotation, scene.position
    return RenderedBatch(
        *pixels,
        (2 * torch.rad2deg(tan_half.atan())).float(),
        intrinsics.float(),
        pose,
        torch.tensor([KINDS.index(k) for k in kinds], device=tan_half.device),
    )
