"""What moves in a clip: small things in view, in groups, level, gently."""

import numpy as np
import torch

from nearfar.data.scenes.moving import moved_centers, seen_things
from nearfar.data.scenes.options import SceneOptions
from nearfar.data.scenes.renderer import build_one


def scene(index):
    return build_one(index, seed=0, device="cpu", options=SceneOptions()).scene


def test_moving_things_are_small_seen_and_level():
    moved = 0
    for index in range(6):
        one = scene(index)
        path = moved_centers(one, frames=8, generator=np.random.default_rng(index))
        assert torch.equal(path[0], one.center[0])
        goes = (path[-1] != path[0]).any(-1)
        moved += bool(goes.any())
        assert not (goes & ~torch.from_numpy(seen_things(one).movable_K)).any()
        assert (one.half[0].amax(-1)[goes] < 0.7).all()
        assert torch.equal(path[..., 1], one.center[0, :, 1].expand(8, -1))
        steps = path.diff(dim=0).norm(dim=-1)
        assert (steps[:, goes] > 0).all() and steps.max() < 2
    assert moved >= 4


def test_neighbors_move_as_one():
    one = scene(0)
    near = one.center[0].clone()
    slots = np.flatnonzero(seen_things(one).movable_K)[:2]
    near[slots[1]] = near[slots[0]] + 0.05
    one = one._replace(center=near[None], half=one.half.clone())
    one.half[0, slots] = 0.6  # so that these two are likely to be chosen
    for seed in range(5):
        path = moved_centers(one, frames=3, generator=np.random.default_rng(seed))
        first, second = (path[-1] - path[0])[slots]
        torch.testing.assert_close(first, second, atol=1e-5, rtol=0)
