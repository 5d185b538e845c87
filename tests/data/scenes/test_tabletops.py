import numpy as np

from nearfar.data.scenes.builder import SceneBuilder
from nearfar.data.scenes.tabletops import tabletop
from nearfar.data.scenes.textures import texture_index


def test_cameras_look_at_the_table_from_above():
    down, far = [], []
    for seed in range(12):
        b = SceneBuilder(np.random.default_rng(seed), texture_index(), plain=0.7)
        camera = tabletop(b)
        down.append(np.degrees(np.arcsin(camera.rotation[1, 2])))
        far.append(camera.position[1])
        assert sum(b.free()) < 95
    assert -75 < min(down) < -25 and max(down) < 20
    assert min(far) > 0.1 and max(far) < 3.2
