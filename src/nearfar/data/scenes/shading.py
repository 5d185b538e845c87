"""Radiance at hit points: textures, soft lights, ambient light, contact shadows, sky, fog."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .builder import LIGHTS, Scene
from .patterns import SIZE
from .shapes import (
    Hits,
    Primitives,
    SoftRays,
    Surface,
    Vector,
    ambient_share,
    components,
    dot,
    light_share,
)
from .textures import Atlas, look_up


class View(NamedTuple):
    """Where the camera's rays went: all [B,P]. `direction` has z-depth 1, `length` is its norm."""

    direction: Vector
    length: Tensor
    depth: Tensor
    point: Vector
    pixel: Tensor  # width of a pixel at the hit, metres


def _pick(select: Vector, values: Vector) -> Tensor:
    """Where `select` marks an axis, the value of that axis."""
    return torch.where(select[0] > 0, values[0], torch.where(select[1] > 0, values[1], values[2]))


def reflectance(scene: Scene, atlas: Atlas, hits: Hits, surface: Surface, view: View) -> Tensor:
    """Albedo [B,P,3] at the hits: color x pattern x stain, filtered by the pixel's footprint."""
    row = torch.arange(hits.slot_BP.shape[0], device=hits.slot_BP.device)[:, None]
    slot = hits.slot_BP
    tiles = scene.tile_scale[row, slot]
    half = scene.half[row, slot]
    uvw = [surface.unit[i] * tiles[..., i] for i in range(3)]
    is_x, is_y, _ = surface.is_side
    u = torch.where(is_x > 0, uvw[2], uvw[0])
    v = torch.where((is_y > 0) & (is_x <= 0), uvw[2], -uvw[1])
    per_metre = torch.where(is_x > 0, tiles[..., 2] / half[..., 2], tiles[..., 0] / half[..., 0])
    cosine = (dot(surface.normal, view.direction).abs() / view.length).clamp_min(0.12)
    footprint = view.pixel * per_metre * SIZE / cosine.sqrt()
    level = footprint.clamp_min(1e-3).log2()
    pattern = look_up(atlas, scene.texture[row, slot], u + 0.5, v + 0.5, level)
    stain = look_up(atlas, scene.stain[row, slot], u * 0.13, v * 0.13, level - 3)
    contrast = scene.contrast[row, slot][..., None]
    share = scene.stain_share[row, slot][..., None]
    shade = (1 + contrast * (pattern - 1)) * (1 - share + share * stain.mean(-1, keepdim=True))
    return (scene.color[row, slot] * shade).clamp(0, 0.95)


class Light(NamedTuple):
    """One lamp as seen from the hits."""

    towards: Vector
    strength: Tensor  # visible share x falloff [B,P]
    falloff: Tensor


def _light(scene: Scene, shapes: Primitives, number: int, start: Vector, view: View) -> Light:
    """Direction and strength of one lamp at points just above the surface."""
    position = components(scene.light_position[:, number])
    is_sun = scene.light_is_sun[:, number, None] > 0
    radius = scene.light_radius[:, number, None]
    to = [torch.where(is_sun, q.expand_as(s), q - s) for q, s in zip(position, start)]
    distance = (to[0] ** 2 + to[1] ** 2 + to[2] ** 2 + 1e-6).sqrt()
    towards: Vector = (to[0] / distance, to[1] / distance, to[2] / distance)
    spread = torch.where(is_sun, radius, radius / distance)
    reach = torch.where(is_sun, 1e6, distance - radius)
    share = light_share(shapes, SoftRays(start, towards, reach, spread, 0.7 * view.pixel))
    falloff = torch.where(is_sun, 1.0, 1 / (distance * distance + radius * radius + 0.05))
    return Light(towards, share * falloff, falloff)


def sky_radiance(scene: Scene, atlas: Atlas, view: View) -> Tensor:
    """Color of the sky [B,P,3] along the camera's rays; of the horizon below it (haze)."""
    up = view.direction[1] / view.length
    rise = up.clamp(0, 1).sqrt()[..., None]
    sky = scene.horizon_color[:, None] * (1 - rise) + scene.sky_color[:, None] * rise
    flat = 0.15 / (up.clamp_min(0.0) + 0.08)
    u, v = (view.direction[i] / view.length * flat * 0.6 for i in (0, 2))
    texture = scene.clouds[:, 0, None].long().expand_as(up)
    level = (7 - 60 * up.clamp_min(0)).clamp_min(1.0)
    cloud = look_up(atlas, texture, u, v, level).mean(-1, keepdim=True) - 0.8
    mask = (cloud.clamp(0, 0.6) * scene.clouds[:, 1, None, None]).clamp(0, 1)
    bright = scene.horizon_color.mean(-1)[:, None, None] * 1.2
    return sky * (1 - mask) + bright * mask


def shade(
    scene: Scene, atlas: Atlas, hits: Hits, surface: Surface, view: View, sky_BP3: Tensor
) -> Tensor:
    """Radiance [B,P,3] of the surfaces at the hits, fog included."""
    shapes = scene.primitives()
    row = torch.arange(hits.slot_BP.shape[0], device=hits.slot_BP.device)[:, None]
    albedo = reflectance(scene, atlas, hits, surface, view)
    gloss = scene.gloss[row, hits.slot_BP]
    lift = 2e-3 + 1e-3 * view.depth
    start: Vector = tuple(  # type: ignore[assignment]
        p + lift * n for p, n in zip(view.point, surface.normal)
    )
    near = ambient_share(shapes, start, surface.normal, scene.color)
    open_share = near.open_share
    upward = 0.5 + 0.5 * surface.normal[1]
    above = (scene.sky_color + scene.horizon_color)[:, None] * 0.5
    ambient = above * upward[..., None] + scene.ground_color[:, None] * (1 - upward)[..., None]
    ambient = ambient * scene.ambient[:, None, None]
    fill = components(scene.fill_direction)
    broad = (0.5 + 0.5 * dot(surface.normal, fill)) ** 2
    ambient = ambient + scene.fill_color[:, None] * broad[..., None]
    diffuse = ambient * open_share[..., None]
    thrown = ambient
    shine = torch.zeros_like(diffuse)
    eye: Vector = tuple(-d / view.length for d in view.direction)  # type: ignore[assignment]
    for number in range(LIGHTS):
        light = _light(scene, shapes, number, start, view)
        color = scene.light_color[:, None, number]
        cosine = dot(surface.normal, light.towards).clamp_min(0)
        diffuse = diffuse + color * (cosine * light.strength * open_share.sqrt())[..., None]
        thrown = thrown + color * (0.25 * light.falloff)[..., None]
        between: Vector = tuple(a + b for a, b in zip(light.towards, eye))  # type: ignore[assignment]
        facing = dot(surface.normal, between) * torch.rsqrt(dot(between, between) + 1e-9)
        glint = facing.clamp(0, 1) ** 48 * gloss * light.strength
        shine = shine + color * glint[..., None]
    closed = scene.bounce[:, None] * (1 - open_share)
    diffuse = diffuse + thrown * torch.stack(near.color, -1) * closed[..., None]
    shine = shine + _reflected(scene, surface, eye, fill, gloss * open_share)
    color = albedo * diffuse + shine + albedo * scene.glow[row, hits.slot_BP][..., None]
    air = (1 - torch.exp(-view.depth * view.length * scene.fog[:, None]))[..., None]
    return color * (1 - air) + sky_BP3 * air


def _reflected(scene: Scene, surface: Surface, eye: Vector, fill: Vector, gloss: Tensor) -> Tensor:
    """What a smooth surface mirrors [B,P,3]: the surroundings' colors and a soft bright field."""
    facing = dot(surface.normal, eye).clamp(0, 1)
    rim = (1 - facing) ** 4
    mirrored: Vector = tuple(  # type: ignore[assignment]
        2 * facing * n - e for n, e in zip(surface.normal, eye)
    )
    up = (0.5 + 0.5 * mirrored[1])[..., None]
    sky = (scene.sky_color + scene.horizon_color)[:, None] * 0.5
    around = (sky * up + scene.ground_color[:, None] * (1 - up)) * scene.ambient[:, None, None]
    field = dot(mirrored, fill).clamp_min(0) ** 12
    seen = around * (0.15 + rim)[..., None]
    seen = seen + scene.fill_color[:, None] * (field * (0.6 + 2 * rim))[..., None]
    return seen * gloss[..., None]
