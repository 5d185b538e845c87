import numpy as np

from nearfar.data.scenes.builder import SceneBuilder
from nearfar.data.scenes.desks import desk_view
from nearfar.data.scenes.textures import texture_index


def test_cameras_look_down_at_a_crowded_desk(extents):
    down, counts = [], []
    for seed in range(12):
        b = SceneBuilder(np.random.default_rng(seed), texture_index(), plain=0.7)
        camera = desk_view(b)
        down.append(np.degrees(np.arcsin(camera.rotation[1, 2])))
        low, high = extents(b)
        on_top = (low[:, 1] > 0.62) & (high[:, 1] < 1.5) & ((high - low).max(1) < 0.9)
        counts.append(on_top.sum())
        assert camera.position[1] > 0.5
    assert -65 < min(down) < -20 and max(down) < 20
    assert np.median(counts) >= 8
