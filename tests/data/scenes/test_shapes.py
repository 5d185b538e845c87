import math

import numpy as np
import pytest
import torch

from nearfar.data.scenes.builder import any_rotation
from nearfar.data.scenes.shapes import (
    BOXES,
    ELLIPSOIDS,
    FAR,
    SLOTS,
    Primitives,
    SoftRays,
    along,
    ambient_share,
    components,
    contains,
    dot,
    light_share,
    surface_at,
    trace,
)

BALL, TUBE = BOXES, BOXES + ELLIPSOIDS


def world(*shapes):
    """Primitives of one scene from (slot, center, half, axes or None)."""
    center = torch.zeros(1, SLOTS, 3)
    center[..., 1] = -1e4
    half = torch.full((1, SLOTS, 3), 0.01)
    axes = torch.eye(3).repeat(1, SLOTS, 1, 1)
    for slot, c, h, r in shapes:
        center[0, slot], half[0, slot] = torch.tensor(c), torch.tensor(h)
        if r is not None:
            axes[0, slot] = torch.tensor(np.asarray(r), dtype=torch.float32)
    return Primitives(center, half, axes)


def vector(x, y, z):
    return tuple(torch.tensor([v], dtype=torch.float32).reshape(1, -1) for v in (x, y, z))


def forward_rays(count=200):
    g = torch.Generator().manual_seed(0)
    x, y = 0.3 * torch.randn(2, 1, count, generator=g)
    return x, y, torch.ones_like(x)


def test_depth_of_a_wall_is_exact():
    wall = world((0, [0.0, 0, 5], [100.0, 100, 1], None))
    hits = trace(wall, components(torch.zeros(1, 3)), forward_rays())
    torch.testing.assert_close(hits.t_BP, torch.full((1, 200), 4.0), rtol=0, atol=1e-5)


def test_depth_of_a_ball_is_the_root_of_its_equation():
    ball = world((BALL, [0.1, -0.2, 4], [1.5, 1.5, 1.5], None))
    d = forward_rays()
    hits = trace(ball, components(torch.zeros(1, 3)), d)
    c = torch.tensor([0.1, -0.2, 4.0], dtype=torch.float64)
    x, y, z = (v[0].double() for v in d)
    a, b = x * x + y * y + z * z, x * c[0] + y * c[1] + z * c[2]
    inside = b * b - a * (c @ c - 1.5**2)
    expected = torch.where(inside > 0, (b - inside.clamp_min(0).sqrt()) / a, torch.tensor(FAR))
    clear = inside.abs() > 1e-3
    assert 20 < int((inside > 0).sum()) < 200
    torch.testing.assert_close(hits.t_BP[0][clear].double(), expected[clear], rtol=1e-5, atol=0)


def test_a_turned_tube_has_its_side_and_caps_where_they_should_be():
    tube = world((TUBE, [0.0, 0, 3], [0.5, 2.0, 0.5], None))
    side = trace(tube, components(torch.zeros(1, 3)), vector(0.0, 0.0, 1.0))
    assert side.t_BP.item() == pytest.approx(2.5, abs=1e-5)
    lying = world((TUBE, [0.0, 0, 5], [0.5, 2.0, 0.5], [[1, 0, 0], [0, 0, 1], [0, -1, 0]]))
    cap = trace(lying, components(torch.zeros(1, 3)), vector(0.0, 0.0, 1.0))
    assert cap.t_BP.item() == pytest.approx(3.0, abs=1e-5)
    assert cap.slot_BP.item() == TUBE


def test_nearest_of_several_wins_and_misses_are_far():
    scene = world((3, [0.0, 0, 9], [1.0, 1, 1], None), (BALL + 2, [0.0, 0, 4], [1.0, 1, 1], None))
    hits = trace(
        scene, components(torch.zeros(1, 3)), vector([0.0, 0.22, 9.0], [0, 0, 0], [1, 1, 1])
    )
    assert hits.slot_BP[0, 0].item() == BALL + 2
    assert hits.t_BP[0, :2].tolist() == pytest.approx([3.0, hits.t_BP[0, 1].item()])
    assert hits.t_BP[0, 2].item() == FAR


@pytest.mark.parametrize("slot", [0, BALL, TUBE])
def test_normals_are_unit_face_the_ray_and_stand_on_the_surface(slot):
    rotation = any_rotation(np.random.default_rng(4))
    scene = world((slot, [0.0, 0, 4], [1.2, 0.8, 0.6], rotation))
    origin, d = components(torch.zeros(1, 3)), forward_rays()
    hits = trace(scene, origin, d)
    point = along(origin, d, hits.t_BP)
    normal = surface_at(scene, hits, point, d).normal
    found = hits.t_BP < FAR
    assert int(found.sum()) > 50
    torch.testing.assert_close(dot(normal, normal)[found], torch.ones(int(found.sum())))
    assert (dot(normal, d)[found] < 0).all()
    # A step along the surface leaves the distance to it second-order small.
    tangent = tuple(a - dot(normal, d) * n for a, n in zip(d, normal))
    start = along(along(point, tangent, torch.tensor(1e-3)), normal, torch.tensor(0.5))
    back = trace(scene, start, tuple(-n for n in normal))
    near = back.t_BP[found]
    assert (near[near < 1] - 0.5).abs().median() < 1e-3


def test_contains_knows_inside_and_margin():
    scene = world((0, [0.0, 0, 0], [1.0, 1, 1], None))
    points = torch.tensor([[0.5, 0.5, 0.5], [1.04, 0, 0], [2.0, 0, 0]])
    inside = [bool(contains(scene, p[None], margin=0.05)) for p in points]
    assert inside == [True, True, False]


def lit(scene, x, radius):
    """Share of a lamp at height 4 that points on the floor at x see: by one soft ray, by many rays.

    The lamp is a disc that faces the point.
    """
    lamp, up = torch.tensor([0.3, 4.0, 0.1]), torch.tensor([0.0, 1, 0])
    start = torch.stack([x, torch.zeros_like(x), torch.zeros_like(x)], -1)
    distance = (lamp - start).norm(dim=-1)
    towards = (lamp - start) / distance[:, None]
    rays_ = SoftRays(
        tuple(start.T[:, None]),
        tuple(towards.T[:, None]),
        distance[None],
        radius / distance[None],
        torch.full((1, len(x)), 1e-4),
    )
    soft = light_share(scene, rays_)[0]
    across = torch.linalg.cross(towards, up.expand_as(towards))
    across = across / across.norm(dim=-1, keepdim=True)
    other = torch.linalg.cross(towards, across)
    angle = torch.arange(600) * 2.399963  # sunflower points fill the disc evenly
    reach = radius * ((torch.arange(600) + 0.5) / 600).sqrt()
    seen = []
    for i in range(len(x)):
        wide, high = reach * angle.cos(), reach * angle.sin()
        spot = lamp + wide[:, None] * across[i] + high[:, None] * other[i]
        hits = trace(scene, components(start[i][None]), tuple((spot - start[i]).T[:, None]))
        seen.append((hits.t_BP > 1).float().mean())
    return soft, torch.stack(seen)


@pytest.mark.parametrize("radius", [0.1, 0.4])
@pytest.mark.parametrize("slot", [0, BALL, TUBE])
def test_one_soft_ray_agrees_with_many_hard_ones(slot, radius):
    scene = world((slot, [0.0, 2, 0.0], [1.0, 0.3, 0.9], None))
    soft, hard = lit(scene, torch.linspace(-4, 4, 41), radius)
    assert hard.min() == 0 and hard.max() == 1
    assert ((hard > 0.02) & (hard < 0.98)).sum() >= (3 if radius > 0.2 else 1)
    assert (soft - hard).abs().mean() < 0.03
    assert (soft - hard).abs().max() < 0.3


def test_things_behind_the_lamp_or_the_point_hide_nothing():
    above = world((0, [0.0, 9, 0], [1.0, 0.3, 1.0], None))
    below = world((0, [0.0, -1, 0], [5.0, 1.0, 5.0], None))  # the floor itself
    for scene in (above, below):
        soft, _ = lit(scene, torch.linspace(-2, 2, 9), 0.2)
        assert (soft == 1).all()


def test_two_halves_of_a_slab_leak_no_light_between_them():
    scene = world((0, [-1.0, 2, 0], [1.0, 0.1, 1], None), (1, [1.0, 2, 0], [1.0, 0.1, 1], None))
    soft, hard = lit(scene, torch.linspace(-0.5, 0.5, 11), 0.3)
    assert hard.max() == 0 and soft.max() < 0.2


def test_corners_are_darker_than_open_floor():
    room = world((0, [0.0, -1, 0], [9.0, 1, 9], None), (1, [-1.0, 1, 0], [1.0, 1, 9], None))
    point, up = (
        vector([0.02, 0.3, 3.0], [0, 0, 0], [0, 0, 0]),
        vector([0.0] * 3, [1.0] * 3, [0.0] * 3),
    )
    color = torch.zeros(1, SLOTS, 3)
    color[0, 1] = torch.tensor([0.9, 0.5, 0.1])
    near = ambient_share(room, point, up, color)
    share = near.open_share[0]
    assert near.color[0][0, 0] > 1.5 * near.color[1][0, 0] > 2 * near.color[2][0, 0]
    assert share[0] < share[1] < share[2] and share[2] > 0.97
    assert math.isclose(share[0].item(), math.exp(-1.2 * 0.5), rel_tol=0.2)
