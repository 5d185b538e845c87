import numpy as np
import pytest
import torch

from nearfar.data.scenes.builder import SceneBuilder, stack_scenes
from nearfar.data.scenes.cameras import Camera, look
from nearfar.data.scenes.materials import Material
from nearfar.data.scenes.renderer import draw_pixels
from nearfar.data.scenes.sensor import neutral_sensor
from nearfar.data.scenes.textures import texture_index

GREY = Material((0.5, 0.5, 0.5), 0, 0, 0.0, 1.0)


def floor(*, with_box=False, fog=0.0, surface=GREY, bounce=0.0, fill=0.0):
    b = SceneBuilder(np.random.default_rng(0), texture_index(), plain=1.0)
    b.box([0, -1, 0], [3000, 1, 3000], surface)
    if with_box:
        b.box([0, 2.0, 3.0], [0.4, 0.05, 0.4], GREY)
    b.sun([0, 1, 0], 3.0, 0.01)
    b.bounce, b.fill_color = bounce, np.array([fill] * 3)
    b.fill_direction = np.array([0, 0.39, 0.92])
    b.ambient, b.fog, b.clouds = 0.2, fog, 0.0
    camera = Camera(np.array([0.0, 1.2, 0.0]), look(0, -0.4, 0), 0.7)
    return stack_scenes(
        [b.build(camera, sensor=neutral_sensor(), noise_seed=3)], torch.device("cpu")
    )


@pytest.fixture
def photo(atlas):
    return lambda scene: draw_pixels(scene, atlas.texels_P3, atlas.level_start_L, (48, 64))


def test_a_box_in_the_air_throws_a_shadow_where_the_sun_says(photo):
    plain, shadowed = photo(floor()), photo(floor(with_box=True))
    assert torch.equal(plain.depth_BHW[0, 24:], shadowed.depth_BHW[0, 24:])
    change = (shadowed.image_B3HW / plain.image_B3HW).mean(1)[0]
    depth = plain.depth_BHW[0]
    ray = depth * np.cos(0.4)  # distance ahead of a floor point in the middle column
    v = (torch.arange(48) + 0.5 - 24) / 64 * 1.4
    ahead = depth[:, 32] * (np.cos(0.4) - v * np.sin(0.4))
    under = (ahead > 2.75) & (ahead < 3.25) & (ray[:, 32] > 0)
    beside = (ahead > 0) & (ahead < 2.3)
    assert under.any() and change[under, 32].max() < 0.85 * change[beside, 32].min()


def test_thick_fog_turns_far_ground_into_sky_and_leaves_near_ground(photo):
    green = Material((0.05, 0.5, 0.05), 0, 0, 0.0, 1.0)
    clear, foggy = (photo(floor(surface=green, fog=fog)).image_B3HW[0] for fog in (0.0, 0.5))
    greenness = [image[1] - image[0] for image in (clear, foggy)]  # of the floor; the sky has none
    assert greenness[0][10:].min() > 0.15
    assert greenness[1][8:12].mean() < 0.2 * greenness[0][8:12].mean()
    assert greenness[1][44:].mean() > 0.4 * greenness[0][44:].mean()


def test_glowing_things_are_bright(photo):
    glowing = photo(floor(surface=Material((0.5, 0.5, 0.5), 0, 0, 0.0, 1.0, glow=20.0)))
    assert torch.isfinite(glowing.image_B3HW).all()
    assert glowing.image_B3HW[0, :, 40:].mean() > glowing.image_B3HW[0, :, :3].mean()


def test_bounced_light_has_the_color_of_the_neighbor(photo):
    red = Material((0.8, 0.02, 0.02), 0, 0, 0.0, 1.0)

    def wall(bounce):
        b = SceneBuilder(np.random.default_rng(0), texture_index(), plain=1.0)
        b.box([0, -1, 0], [3000, 1, 3000], GREY)
        b.box([0, 1.0, 3.2], [2.0, 1.0, 0.1], red)
        b.sun([0, 1, -0.2], 3.0, 0.01)
        b.ambient, b.clouds, b.bounce = 0.2, 0.0, bounce
        camera = Camera(np.array([0.0, 1.2, 1.2]), look(0, -0.7, 0), 0.5)
        built = b.build(camera, sensor=neutral_sensor(), noise_seed=3)
        return photo(stack_scenes([built], torch.device("cpu")))

    lit, plain = wall(1.0), wall(0.0)
    assert torch.equal(lit.depth_BHW, plain.depth_BHW)
    floor_at_wall = lit.normal_B3HW[0, 1, 16:19, 32] < -0.5
    assert floor_at_wall.any()
    ratio = (lit.image_B3HW / plain.image_B3HW.clamp_min(1e-3))[0, :, 16:19, 32]
    assert (ratio[0] / ratio[1])[floor_at_wall].max() > 1.03


def test_smooth_floors_mirror_the_soft_light(photo):
    dull = Material((0.3, 0.3, 0.3), 0, 0, 0.0, 1.0, gloss=0.0)
    glossy = Material((0.3, 0.3, 0.3), 0, 0, 0.0, 1.0, gloss=0.5)
    flat, shiny = (photo(floor(surface=s, fill=1.0)).image_B3HW for s in (dull, glossy))
    assert (shiny[0, :, 20:] - flat[0, :, 20:]).abs().max() > 0.03
