import numpy as np
import pytest

from nearfar.data.scenes.builder import SceneBuilder
from nearfar.data.scenes.cameras import Camera, look
from nearfar.data.scenes.sensor import neutral_sensor
from nearfar.data.scenes.textures import make_atlas, texture_index

CAMERA = Camera(np.zeros(3), look(0, 0, 0), 0.7)


@pytest.fixture
def builder():
    return SceneBuilder(np.random.default_rng(5), texture_index(), plain=0.7)


@pytest.fixture
def extents():
    """Corners (low, high) [K,3] of the axis-aligned bounds of all shapes of a builder."""

    def measure(b):
        scene = b.build(CAMERA, sensor=neutral_sensor(), noise_seed=0)
        used = scene.center[:, 1] > -1000
        center, half, axes = (t[used].numpy() for t in (scene.center, scene.half, scene.axes))
        reach = np.einsum("kij,ki->kj", np.abs(axes), half)
        return center - reach, center + reach

    return measure


@pytest.fixture(scope="session")
def atlas():
    return make_atlas(0, [])
