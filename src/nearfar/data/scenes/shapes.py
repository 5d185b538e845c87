"""Rays against oriented boxes, ellipsoids and capped cylinders: each is one interval of the ray.

A primitive is the image of a unit shape (cube [-1,1]^3, unit ball, unit cylinder along y) under
x -> R (half * x) + center. Slots 0..BOXES-1 of every scene are boxes, then ellipsoids, then
cylinders; unused slots lie far below the ground. Vectors are three contiguous tensors (`Vector`),
not one with a last axis of 3, so that torch.compile makes each function one vectorised loop over
primitives per ray.

Shapes: B scenes, K primitives, P rays. Camera rays have z-depth 1, so their `t` is z-depth.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

BOXES, ELLIPSOIDS, CYLINDERS = 64, 24, 24
SLOTS = BOXES + ELLIPSOIDS + CYLINDERS
FAR = 1.0e9
_TINY = 1e-12

Vector = tuple[Tensor, Tensor, Tensor]  # x, y, z


class Primitives(NamedTuple):
    """Geometry of a batch of scenes: rows of `axes_BK33` are the local axes in the world."""

    center_BK3: Tensor
    half_BK3: Tensor
    axes_BK33: Tensor

    def part(self, start: int, count: int) -> Primitives:
        """The primitives of some slots."""
        return Primitives(*(tensor[:, start : start + count] for tensor in self))


class Hits(NamedTuple):
    """Nearest hit per ray: `t_BP` (FAR = none) and the primitive's slot."""

    t_BP: Tensor
    slot_BP: Tensor


def _local(shapes: Primitives, vector: Vector) -> Vector:
    """World vectors [B,P] in each primitive's axes [B,K,P], in metres."""
    x, y, z = (v[:, None] for v in vector)
    a = shapes.axes_BK33
    return tuple(  # type: ignore[return-value]
        a[:, :, i, 0, None] * x + a[:, :, i, 1, None] * y + a[:, :, i, 2, None] * z
        for i in range(3)
    )


def _local_points(shapes: Primitives, points: Vector) -> Vector:
    """World points [B,P] relative to each primitive's center and axes [B,K,P]."""
    x, y, z = _local(shapes, points)
    c = (shapes.axes_BK33 * shapes.center_BK3[:, :, None, :]).sum(-1)
    return x - c[:, :, 0, None], y - c[:, :, 1, None], z - c[:, :, 2, None]


def _halves(shapes: Primitives) -> Vector:
    h = shapes.half_BK3
    return h[:, :, 0, None], h[:, :, 1, None], h[:, :, 2, None]


def _slab(p: Tensor, d: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """Interval of t in which |p + t d| <= half."""
    inverse = 1 / (d + _TINY)
    middle, reach = -p * inverse, half * inverse.abs()
    return middle - reach, middle + reach


def _quadric(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Interval of t in which a t^2 + 2 b t + c <= 0 (empty: near > far)."""
    a = a + _TINY
    inside = b * b - a * c
    root, inverse = inside.clamp_min(0).sqrt(), 1 / a
    miss = inside < 0
    return (
        torch.where(miss, FAR, (-b - root) * inverse),
        torch.where(miss, -FAR, (-b + root) * inverse),
    )


def _box_interval(p: Vector, d: Vector, half: Vector) -> tuple[Tensor, Tensor]:
    near_x, far_x = _slab(p[0], d[0], half[0])
    near_y, far_y = _slab(p[1], d[1], half[1])
    near_z, far_z = _slab(p[2], d[2], half[2])
    near = torch.maximum(torch.maximum(near_x, near_y), near_z)
    return near, torch.minimum(torch.minimum(far_x, far_y), far_z)


def _ellipsoid_interval(p: Vector, d: Vector, half: Vector) -> tuple[Tensor, Tensor]:
    (px, py, pz), (dx, dy, dz) = ([v / h for v, h in zip(w, half)] for w in (p, d))
    return _quadric(
        dx * dx + dy * dy + dz * dz,
        px * dx + py * dy + pz * dz,
        px * px + py * py + pz * pz - 1,
    )


def _cylinder_interval(p: Vector, d: Vector, half: Vector) -> tuple[Tensor, Tensor]:
    px, pz, dx, dz = p[0] / half[0], p[2] / half[2], d[0] / half[0], d[2] / half[2]
    near, far = _quadric(dx * dx + dz * dz, px * dx + pz * dz, px * px + pz * pz - 1)
    near_y, far_y = _slab(p[1], d[1], half[1])
    return torch.maximum(near, near_y), torch.minimum(far, far_y)


_KINDS = (
    (0, BOXES, _box_interval),
    (BOXES, ELLIPSOIDS, _ellipsoid_interval),
    (BOXES + ELLIPSOIDS, CYLINDERS, _cylinder_interval),
)


def components(vector_B3: Tensor) -> Vector:
    """One vector per scene [B,3] as components [B,1]."""
    return vector_B3[:, 0, None], vector_B3[:, 1, None], vector_B3[:, 2, None]


def dot(a: Vector, b: Vector) -> Tensor:
    """Inner product of vectors."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def along(origin: Vector, direction: Vector, t: Tensor) -> Vector:
    """origin + t * direction."""
    return (
        origin[0] + t * direction[0],
        origin[1] + t * direction[1],
        origin[2] + t * direction[2],
    )


def trace(shapes: Primitives, origin: Vector, direction: Vector) -> Hits:
    """The first surface in front of each ray's origin (FAR where there is none)."""
    found: list[Tensor] = []
    slots: list[Tensor] = []
    for start, count, interval in _KINDS:
        part = shapes.part(start, count)
        near, far = interval(_local_points(part, origin), _local(part, direction), _halves(part))
        t = torch.where((far >= near) & (near > 1e-4), near, FAR)
        t_BP, slot_BP = t.min(1)
        found.append(t_BP)
        slots.append(slot_BP + start)
    t_BP, slot_BP = found[0], slots[0]
    for other, slot in zip(found[1:], slots[1:]):
        slot_BP = torch.where(other < t_BP, slot, slot_BP)
        t_BP = torch.minimum(t_BP, other)
    return Hits(t_BP, slot_BP)


def contains(shapes: Primitives, point_B3: Tensor, *, margin: float = 0.0) -> Tensor:
    """[B] True where the point is inside (or within `margin` metres of) some primitive's box."""
    point = components(point_B3)
    inside = torch.ones(shapes.center_BK3.shape[:2], dtype=torch.bool, device=point_B3.device)
    for p, half in zip(_local_points(shapes, point), _halves(shapes)):
        inside &= (p.abs() < half + margin)[..., 0]
    return inside.any(1)


class SoftRays(NamedTuple):
    """Rays towards a light: all [B,P]. Directions are unit; `spread` is light radius / distance.

    `reach` is the distance to the light, `blur` a floor for the penumbra's half width in metres.
    """

    origin: Vector
    direction: Vector
    reach: Tensor
    spread: Tensor
    blur: Tensor


def _covered(margin: Tensor, near: Tensor, far: Tensor, rays: SoftRays) -> Tensor:
    """Share of the light hidden by one primitive, summed over primitives [B,P].

    `margin` is how deep inside the primitive's silhouette the ray passes, in metres.
    """
    at = torch.minimum(near, far).clamp_min(0)
    share = (0.5 + 0.5 * margin / (rays.spread[:, None] * at + rays.blur[:, None])).clamp(0, 1)
    blocks = (far > 1e-4) & (at < rays.reach[:, None])
    return torch.where(blocks, share, 0.0).sum(1)


def _box_cover(shapes: Primitives, rays: SoftRays) -> Tensor:
    p, d, half = _local_points(shapes, rays.origin), _local(shapes, rays.direction), _halves(shapes)
    near, far = _box_interval(p, d, half)
    e = [v.abs() + 1e-6 for v in d]  # never two zeros: a ray along an axis has two
    towards = [torch.where(v < 0, -q, q) for v, q in zip(d, p)]
    before = [h + m for h, m in zip(half, towards)]
    after = [h - m for h, m in zip(half, towards)]
    margin = torch.full_like(near, FAR)
    for a, b in ((0, 1), (1, 2), (2, 0)):  # the two silhouette edges between faces a and b
        scale = torch.rsqrt(e[a] * e[a] + e[b] * e[b])
        edge = torch.minimum(e[a] * after[b] + e[b] * before[a], e[b] * after[a] + e[a] * before[b])
        margin = torch.minimum(margin, edge * scale)
    return _covered(margin, near, far, rays)


def _ellipsoid_cover(shapes: Primitives, rays: SoftRays) -> Tensor:
    half = _halves(shapes)
    p = [v / h for v, h in zip(_local_points(shapes, rays.origin), half)]
    d = [v / h for v, h in zip(_local(shapes, rays.direction), half)]
    a = d[0] * d[0] + d[1] * d[1] + d[2] * d[2] + _TINY
    b = p[0] * d[0] + p[1] * d[1] + p[2] * d[2]
    c = p[0] * p[0] + p[1] * p[1] + p[2] * p[2]
    off = (c - b * b / a).clamp_min(0)
    root = ((1 - off).clamp_min(0) / a).sqrt()
    margin = (1 - off.sqrt()) * (half[0] + half[1] + half[2]) / 3
    return _covered(margin, -b / a - root, -b / a + root, rays)


def _cylinder_cover(shapes: Primitives, rays: SoftRays) -> Tensor:
    half = _halves(shapes)
    p, d = _local_points(shapes, rays.origin), _local(shapes, rays.direction)
    px, pz, dx, dz = p[0] / half[0], p[2] / half[2], d[0] / half[0], d[2] / half[2]
    a = dx * dx + dz * dz + _TINY
    b = px * dx + pz * dz
    off = (px * px + pz * pz - b * b / a).clamp_min(0)
    root = ((1 - off).clamp_min(0) / a).sqrt()
    near_y, far_y = _slab(p[1], d[1], half[1])
    near, far = -b / a - root, -b / a + root
    slope = d[1].abs() * (1 - d[1] * d[1]).clamp_min(0).sqrt()
    caps = torch.minimum(far - near_y, far_y - near) * slope
    margin = torch.minimum((1 - off.sqrt()) * (half[0] + half[2]) / 2, caps)
    return _covered(margin, torch.maximum(near, near_y), torch.minimum(far, far_y), rays)


def light_share(shapes: Primitives, rays: SoftRays) -> Tensor:
    """Share 0..1 of a round light that each point sees [B,P]: soft shadows with one ray.

    The penumbra comes from the signed distance between ray and silhouette over the light's size at
    that distance; exact for single straight edges, an approximation elsewhere.
    """
    covers = (_box_cover, _ellipsoid_cover, _cylinder_cover)
    hidden = sum(
        cover(shapes.part(start, count), rays) for cover, (start, count, _) in zip(covers, _KINDS)
    )
    return 1 - torch.as_tensor(hidden).clamp(0, 1)


class Near(NamedTuple):
    """What is near each point: open share of the hemisphere [B,P], color of the rest [B,P] x 3."""

    open_share: Tensor
    color: Vector


def ambient_share(
    shapes: Primitives, point: Vector, normal: Vector, color_BK3: Tensor, *, reach: float = 0.35
) -> Near:
    """How open the hemisphere near each point is (contact shadows), and what color closes it.

    For every primitive's box: the point nearest to (point + reach * normal) hides
    cos * area / (area + distance^2), area at most reach^2.
    """
    half = _halves(shapes)
    to: list[Tensor] = []
    rise: list[Tensor] = []
    for q, m, h in zip(_local_points(shapes, point), _local(shapes, normal), half):
        v = torch.minimum(torch.maximum(q + reach * m, -h), h) - q
        to.append(v * v)
        rise.append(v * m)
    square = to[0] + to[1] + to[2] + 1e-6
    cosine = (rise[0] + rise[1] + rise[2]).clamp_min(0) * torch.rsqrt(square)
    x, y, z = half
    area = torch.maximum(torch.maximum(x * y, y * z), x * z).clamp_max(reach * reach)
    hidden = cosine * area / (area + square)
    total = hidden.sum(1)
    r, g, b = ((hidden * color_BK3[:, :, i, None]).sum(1) / (total + 1e-6) for i in range(3))
    return Near(torch.exp(-1.2 * total), (r, g, b))


class Surface(NamedTuple):
    """The surface at hits: unit normal towards the ray's origin, and unit-shape coordinates."""

    normal: Vector
    unit: Vector
    is_side: Vector  # 1.0 for the axis the face looks along; the other two carry the texture


def surface_at(shapes: Primitives, hits: Hits, point: Vector, direction: Vector) -> Surface:
    """Normals and texture coordinates at hit points."""
    scene = torch.arange(point[0].shape[0], device=point[0].device)[:, None]
    axes_BP33 = shapes.axes_BK33[scene, hits.slot_BP]
    half_BP3 = shapes.half_BK3[scene, hits.slot_BP]
    center_BP3 = shapes.center_BK3[scene, hits.slot_BP]
    offset = [p - center_BP3[..., i] for i, p in enumerate(point)]
    half = [half_BP3[..., i] for i in range(3)]
    unit = [
        sum((axes_BP33[..., i, j] * offset[j] for j in (1, 2)), axes_BP33[..., i, 0] * offset[0])
        / half[i]
        for i in range(3)
    ]
    is_box = hits.slot_BP < BOXES
    is_ball = hits.slot_BP < BOXES + ELLIPSOIDS
    cap = unit[1].abs() > 0.9995
    size = [u.abs() for u in unit]
    top = torch.maximum(torch.maximum(size[0], size[1]), size[2])
    local = []
    for i in range(3):
        flat = torch.where(size[i] >= top, unit[i].sign(), 0.0)
        round_ = unit[i] / half[i]
        tube = torch.where(cap, unit[i], 0.0) if i == 1 else torch.where(cap, 0.0, round_)
        local.append(torch.where(is_box, flat, torch.where(is_ball, round_, tube)))
    a = axes_BP33
    normal: Vector = tuple(  # type: ignore[assignment]
        a[..., 0, j] * local[0] + a[..., 1, j] * local[1] + a[..., 2, j] * local[2]
        for j in range(3)
    )
    scale = torch.rsqrt(dot(normal, normal) + 1e-20)
    scale = torch.where(dot(normal, direction) > 0, -scale, scale)
    main = torch.maximum(torch.maximum(local[0].abs(), local[1].abs()), local[2].abs())
    side = [(v.abs() >= main).to(scale.dtype) for v in local]
    return Surface(
        (normal[0] * scale, normal[1] * scale, normal[2] * scale),
        (unit[0], unit[1], unit[2]),
        (side[0], side[1], side[2]),
    )
