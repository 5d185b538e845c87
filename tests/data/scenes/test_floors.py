import numpy as np

from nearfar.data.scenes.builder import SceneBuilder
from nearfar.data.scenes.floors import floor_view
from nearfar.data.scenes.textures import texture_index


def test_most_cameras_are_low_and_things_stand_near(extents):
    heights, nearest = [], []
    for seed in range(16):
        b = SceneBuilder(np.random.default_rng(seed), texture_index(), plain=0.7)
        camera = floor_view(b)
        heights.append(camera.position[1])
        low, high = extents(b)
        size = (high - low).max(1)
        middle = ((low + high) / 2)[size < 0.9]
        ahead = (middle - camera.position) @ camera.rotation[:, 2]
        nearest.append(ahead[ahead > 0.2].min())
        assert len(low) > 15
    assert np.mean(np.array(heights) < 0.56) > 0.5 and min(heights) >= 0.1
    assert np.median(nearest) < 1.2
