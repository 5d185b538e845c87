import math

import numpy as np
import pytest
import torch

from nearfar.data.scenes.builder import SceneBuilder, stack_scenes
from nearfar.data.scenes.cameras import Camera, look
from nearfar.data.scenes.options import KINDS, SceneOptions
from nearfar.data.scenes.renderer import (
    camera_rays,
    is_usable,
    render_built,
    render_path,
    render_scenes,
)
from nearfar.data.scenes.sensor import draw_sensor
from nearfar.data.scenes.textures import texture_index
from nearfar.errors import ConfigError

HW = (24, 32)
CPU = torch.device("cpu")


def rendered(indices, *, seed=0, size_hw=HW, options=None):
    return render_scenes(
        indices, seed=seed, size_hw=size_hw, device="cpu", options=options or SceneOptions()
    )


@pytest.fixture(scope="module")
def eight():
    return rendered(range(8))


def plane_scene(*, tilt=0.0, fov_x_deg=60.0, seed=0):
    """A camera 1.5 m above a huge floor, looking along +z and down by `tilt`."""
    rng = np.random.default_rng(seed)
    b = SceneBuilder(rng, texture_index(), plain=0.5)
    b.box([0, -1, 0], [3000, 1, 3000], b.material("floor"))
    b.sun([0.3, 1, 0.2], 2.0, 0.01)
    camera = Camera(
        np.array([0.0, 1.5, 0.0]), look(0, -tilt, 0), math.tan(math.radians(fov_x_deg) / 2)
    )
    return b.build(camera, sensor=draw_sensor(rng), noise_seed=1)


def draw(scene, atlas):
    stacked = stack_scenes([scene], CPU)
    return render_built(stacked, atlas, size_hw=HW, options=SceneOptions(), kinds=["field"])


def test_same_seed_same_pixels_whatever_the_batch(eight):
    alone = rendered([5])
    turned = rendered([7, 5, 0])
    for all_, one, three in zip(eight, alone, turned):
        assert torch.equal(all_[5], one[0])
        assert torch.equal(all_[[7, 5, 0]], three)
    other = rendered([5], seed=1)
    assert not torch.equal(alone.depth_BHW, other.depth_BHW)


def test_ranges_masks_and_shapes(eight):
    assert eight.image_B3HW.shape == (8, 3, *HW) and eight.image_B3HW.dtype == torch.float32
    assert eight.image_B3HW.min() >= 0 and eight.image_B3HW.max() <= 1
    assert eight.image_B3HW.std((1, 2, 3)).min() > 0.02
    assert torch.equal(eight.sky_BHW, eight.depth_BHW == 0)
    assert torch.isfinite(eight.depth_BHW).all() and eight.depth_BHW.max() <= 2500
    assert ((eight.fov_x_deg_B >= 40) & (eight.fov_x_deg_B <= 100)).all()
    batch = eight.as_depth_batch()
    assert torch.equal(batch.valid_BHW, ~batch.sky_BHW)


def test_normals_are_unit_and_face_the_camera(eight):
    on = ~eight.sky_BHW
    normal = eight.normal_B3HW.movedim(1, -1)
    assert (normal[on].norm(dim=-1) - 1).abs().max() < 1e-4
    assert (normal[~on] == 0).all()
    height, width = HW
    v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    k = eight.intrinsics_B33[:, :, :, None, None]
    ray = torch.stack(
        [(u - k[:, 0, 2]) / k[:, 0, 0], (v - k[:, 1, 2]) / k[:, 1, 1], torch.ones(8, *HW)], -1
    )
    assert ((normal * ray).sum(-1)[on] < 1e-3).all()


@pytest.mark.parametrize("tilt", [0.1, 0.7])
def test_depth_of_a_floor_is_exact_and_backprojects_to_a_plane(atlas, tilt):
    drawn = draw(plane_scene(tilt=tilt), atlas)
    height, width = HW
    k, pose = drawn.intrinsics_B33[0].double(), drawn.camera_to_world_B44[0].double()
    assert 2 * math.degrees(math.atan(width / 2 / k[0, 0])) == pytest.approx(60, abs=1e-3)
    v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    depth = drawn.depth_BHW[0].double()
    right, down = (u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1]
    points = torch.stack([right * depth, down * depth, depth], -1)
    world = points @ pose[:3, :3].T + pose[:3, 3]
    on = ~drawn.sky_BHW[0]
    assert on.any()
    assert (world[..., 1][on] / depth[on]).abs().max() < 1e-4
    # Closed form of the depth under a tilted camera: 1.5 / (sin + y cos).
    expected = 1.5 / (math.sin(tilt) + down * math.cos(tilt))
    torch.testing.assert_close(depth[on], expected[on].double(), rtol=2e-5, atol=0)
    up = drawn.normal_B3HW[0].movedim(0, -1)[on] @ drawn.camera_to_world_B44[0, :3, :3].T
    assert (up[:, 1] - 1).abs().max() < 1e-5


def test_the_horizon_splits_sky_from_ground(atlas):
    drawn = draw(plane_scene(tilt=0.0), atlas)
    assert drawn.sky_BHW[0, : HW[0] // 2].all() and not drawn.sky_BHW[0, HW[0] // 2 :].any()


def test_a_larger_picture_shows_the_same_scene():
    small, large = rendered([3]), rendered([3], size_hw=(48, 64))
    assert torch.equal(small.fov_x_deg_B, large.fov_x_deg_B)
    torch.testing.assert_close(small.intrinsics_B33[0, :2] * 2, large.intrinsics_B33[0, :2])
    picked = large.depth_BHW[:, 1::2, 1::2]
    close = (small.depth_BHW / picked.clamp_min(1e-3) - 1).abs() < 0.2
    assert close.float().mean() > 0.7


def test_kinds_follow_the_mix():
    only = rendered(
        range(6), options=SceneOptions(room=0, table=0, street=1, field=0, floor=0, desk=0)
    )
    assert [KINDS[i] for i in only.kind_B] == ["street"] * 6
    assert only.sky_BHW.any()


def test_unusable_frames_are_refused():
    inside = plane_scene()
    inside = inside._replace(position=torch.tensor([0.0, -0.5, 0.0]))
    flat = plane_scene(tilt=math.pi / 2)
    good = plane_scene(tilt=0.3)
    stacked = stack_scenes([inside, flat, good], CPU)
    assert is_usable(stacked, 1).tolist() == [False, False, True]
    assert is_usable(stacked, 2).tolist() == [False, False, False]


def test_rays_look_where_the_camera_does():
    stacked = stack_scenes([plane_scene(tilt=0.4)], CPU)
    x, y, z = (v.view(HW) for v in camera_rays(stacked, HW))
    middle = torch.stack([x.mean(), y.mean(), z.mean()])
    expected = torch.tensor([0.0, -math.sin(0.4), math.cos(0.4)])
    torch.testing.assert_close(middle, expected, atol=1e-5, rtol=0)
    assert x[:, 0].mean() > 0 > x[:, -1].mean()  # looking along +z, world x grows to the left


def test_a_clip_moves_smoothly_through_one_scene():
    clip = render_path(2, frames=4, seed=0, size_hw=HW, device="cpu", options=SceneOptions())
    first = rendered([2])
    assert torch.equal(clip.depth_BHW[0], first.depth_BHW[0])
    steps = clip.camera_to_world_B44[:, :3, 3].diff(dim=0).norm(dim=-1)
    assert (steps > 0).all() and (steps < 0.2).all()


def test_empty_and_negative_requests_are_refused():
    with pytest.raises(ConfigError):
        rendered([])
    with pytest.raises(ConfigError):
        rendered([-1])
