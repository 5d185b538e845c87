"""Clips: one scene, moving camera, moving things, the cache; and what a clip depends on."""

from dataclasses import replace

import pytest
import torch

from nearfar.data.scenes.clips import ClipOptions, ClipShards, render_clip
from nearfar.data.scenes.options import SceneOptions
from nearfar.data.scenes.renderer import render_scenes
from nearfar.errors import ConfigError

HW = (16, 21)  # an odd number of pixels: sky bits need padding
MOVING = ClipOptions(frames=4, moving=1.0, still=0.0)


def clip(index=2, options=MOVING):
    return render_clip(index, seed=0, size_hw=HW, device="cpu", options=options)


def test_camera_moves_from_the_scenes_own_view():
    found = clip()
    own = render_scenes([2], seed=0, size_hw=HW, device="cpu", options=SceneOptions())
    assert torch.equal(found.depth_BHW[0], own.depth_BHW[0])
    steps = found.camera_to_world_B44[:, :3, 3].diff(dim=0).norm(dim=-1)
    assert (steps > 0).all() and (steps < 0.9).all()
    changes = (found.depth_BHW[1:] != found.depth_BHW[:-1]).float().mean(dim=(1, 2))
    assert (changes > 0.2).all()


def test_things_move_in_front_of_a_camera_that_stands():
    moved = 0
    for index in range(3):
        found = clip(index, replace(MOVING, still=1.0))
        assert torch.equal(found.camera_to_world_B44[0], found.camera_to_world_B44[-1])
        changed = (found.depth_BHW[0] != found.depth_BHW[-1]).float().mean()
        assert changed < 0.9
        moved += bool(changed > 0)
    assert moved >= 2
    rest = clip(0, replace(MOVING, still=1.0, moving=0.0))
    assert torch.equal(rest.depth_BHW[0], rest.depth_BHW[-1])


def test_a_clip_depends_on_its_number_seed_and_options():
    assert torch.equal(clip().image_B3HW, clip().image_B3HW)
    assert not torch.equal(clip().depth_BHW, clip(3).depth_BHW)
    names = {MOVING.identity(), SceneOptions().identity()}
    names |= {replace(MOVING, speed=2.0).identity(), replace(MOVING, frames=5).identity()}
    assert len(names) == 4
    assert replace(MOVING, compile=True).identity() == MOVING.identity()


def test_shards_give_back_what_was_rendered(tmp_path):
    settings = dict(seed=0, size_hw=HW, options=MOVING, shard_size=2)
    batch = ClipShards(tmp_path, **settings).batch(torch.tensor([2, 0]))
    exact = clip(2)
    assert batch.image_B3HW.shape == (2, 4, 3, *HW) and batch.depth_BHW.shape == (2, 4, *HW)
    assert (batch.image_B3HW[0] - exact.image_B3HW).abs().max() <= 0.5 / 255 + 1e-6
    torch.testing.assert_close(batch.depth_BHW[0], exact.depth_BHW, rtol=6e-4, atol=1e-6)
    assert torch.equal(batch.sky_BHW[0], exact.sky_BHW)
    assert torch.equal(batch.fov_x_deg_B[:1], exact.fov_x_deg_B[:1])
    files = sorted(path.name for path in tmp_path.rglob("*.pt"))
    assert files == ["000000.pt", "000001.pt"]
    assert ClipShards(tmp_path, **settings).missing(4) == []
    assert next(tmp_path.iterdir()).name.startswith("clips_0_16x21_2_")


def test_impossible_clips_are_refused():
    with pytest.raises(ConfigError, match="moving"):
        ClipOptions(moving=2.0)
    with pytest.raises(ConfigError, match="0 frames"):
        ClipOptions(frames=0)
    with pytest.raises(ConfigError, match="index -1"):
        clip(-1)
