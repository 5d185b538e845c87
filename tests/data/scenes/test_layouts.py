import numpy as np
import torch

from nearfar.data.scenes.layouts import build_scene
from nearfar.data.scenes.options import KINDS, SceneOptions
from nearfar.data.scenes.textures import texture_index


def test_scenes_follow_their_generator_and_the_mix():
    options = SceneOptions(room=0.5, table=0.5, street=0, field=0, floor=0, desk=0)
    kinds = []
    for seed in range(12):
        scene, kind = build_scene(np.random.default_rng(seed), texture_index(), options)
        again, _ = build_scene(np.random.default_rng(seed), texture_index(), options)
        assert all(torch.equal(a, b) for a, b in zip(scene, again))
        assert all(torch.isfinite(t.float()).all() for t in scene)
        kinds.append(kind)
    assert set(kinds) == {"room", "table"} and set(kinds) < set(KINDS)
