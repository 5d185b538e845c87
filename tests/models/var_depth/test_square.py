from dataclasses import replace

import torch

from nearfar.models.var_depth.presets import MICRO
from nearfar.models.var_depth.square import squash_depth, squash_photo


def test_maps_become_images_with_far_holes_and_sky():
    depth = torch.linspace(1, 9, 80).expand(1, 60, 80).clone()
    valid = torch.ones(1, 60, 80, dtype=torch.bool)
    sky = torch.zeros_like(valid)
    sky[:, :15], valid[:, 45:] = True, False
    config = replace(MICRO, curve="linear")
    found = squash_depth(depth, valid_BHW=valid, sky_BHW=sky, config=config)
    assert found.image_B1HW.shape == (1, 1, 40, 40)
    middle = found.image_B1HW[0, 0, 20]
    assert bool((middle.diff() >= 0).all()) and middle[0] == -1 and middle[-1] == 1
    assert bool((found.image_B1HW[0, 0, [2, 38]] == 1).all())
    assert found.known_BHW[0, 20].all() and not found.known_BHW[0, [2, 38]].any()


def test_small_photos_grow(generator):
    found = squash_photo(torch.rand(1, 3, 10, 12, generator=generator), MICRO)
    assert found.shape == (1, 3, 40, 40) and found.min() >= 0 and found.max() <= 1
