import numpy as np
import pytest
import torch

from nearfar.data.scenes.builder import (
    SceneBuilder,
    any_rotation,
    stack_scenes,
    tilt_x,
    tilt_z,
    turn,
)
from nearfar.data.scenes.cameras import Camera, look
from nearfar.data.scenes.options import SceneOptions
from nearfar.data.scenes.sensor import neutral_sensor
from nearfar.data.scenes.shapes import BOXES, ELLIPSOIDS, SLOTS
from nearfar.data.scenes.textures import texture_index

CAMERA = Camera(np.array([1.0, 2.0, 3.0]), look(0, 0, 0), 0.7)


def builder():
    return SceneBuilder(np.random.default_rng(0), texture_index(), plain=0.5)


def test_shapes_land_in_the_slots_of_their_kind():
    b = builder()
    wood = b.material("furniture")
    b.box([1, 2, 3], [0.1, 0.2, 0.3], wood)
    b.ball([4, 5, 6], [1, 1, 1], wood, turn(0.3))
    b.tube([7, 8, 9], [0.5, 1, 0.5], wood)
    assert b.free() == (BOXES - 1, ELLIPSOIDS - 1, SLOTS - BOXES - ELLIPSOIDS - 1)
    scene = b.build(CAMERA, sensor=neutral_sensor(), noise_seed=7)
    assert scene.center[0].tolist() == [1, 2, 3]
    assert scene.center[BOXES].tolist() == [4, 5, 6]
    assert scene.center[BOXES + ELLIPSOIDS].tolist() == [7, 8, 9]
    assert scene.half[0].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert (scene.center[1:BOXES, 1] < -1000).all()
    assert scene.texture.dtype == torch.int64 and scene.noise_seed.item() == 7


def test_what_does_not_fit_is_left_out():
    b = builder()
    stone = b.material("masonry")
    for i in range(BOXES + 5):
        b.box([i, 0, 0], [1, 1, 1], stone)
    scene = b.build(CAMERA, sensor=neutral_sensor(), noise_seed=0)
    assert scene.center[BOXES - 1, 0].item() == BOXES - 1
    assert b.free()[0] == 0


def test_a_thing_fits_only_whole():
    b = builder()
    wood = b.material("furniture")
    assert b.has(BOXES, ELLIPSOIDS, 1)
    b.ball([0, 0, 0], [1, 1, 1], wood)
    assert not b.has(1, ELLIPSOIDS, 1) and b.has(BOXES, 1, 1)


def test_switched_down_clutter_makes_counts_small():
    b = SceneBuilder(
        np.random.default_rng(0), texture_index(), plain=0.5, options=SceneOptions(clutter=0.0)
    )
    assert {b.several(2, 9) for _ in range(5)} == {0}
    assert 2 <= builder().several(2, 9) < 9


def test_lights_keep_their_kind_and_missing_ones_are_dark():
    b = builder()
    b.sun([0, 2, 0], 3.0, 0.01)
    scene = b.build(CAMERA, sensor=neutral_sensor(), noise_seed=0)
    assert scene.light_position[0].tolist() == [0, 1, 0]
    assert scene.light_is_sun.tolist() == [1, 1]
    assert scene.light_color[1].abs().max() == 0


@pytest.mark.parametrize("rotation", [turn(0.7), tilt_x(0.2), tilt_z(-1.0)])
def test_rotations_are_right_handed(rotation):
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_any_rotation_is_a_rotation_and_varies():
    rng = np.random.default_rng(0)
    a, b = any_rotation(rng), any_rotation(rng)
    assert np.linalg.det(a) == pytest.approx(1) and np.linalg.det(b) == pytest.approx(1)
    np.testing.assert_allclose(a @ a.T, np.eye(3), atol=1e-12)
    assert np.abs(a - b).max() > 0.1


def test_stacking_adds_a_batch_axis():
    scene = builder().build(CAMERA, sensor=neutral_sensor(), noise_seed=0)
    stacked = stack_scenes([scene, scene], torch.device("cpu"))
    assert stacked.center.shape == (2, SLOTS, 3) and stacked.tan_half_x.shape == (2,)
    assert stacked.primitives().half_BK3.shape == (2, SLOTS, 3)
