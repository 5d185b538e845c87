"""Squares keep values: areas are averaged, depth is picked, unknown pixels are the far end."""

import torch

from nearfar.geometry.squares import depth_square, photo_square


def test_photos_shrink_by_area_and_grow_as_asked():
    image = torch.arange(8.0).view(1, 1, 2, 4).expand(1, 3, 2, 4) / 8
    assert torch.equal(
        photo_square(image, 2, grow="bicubic")[0, 0, 0], torch.tensor([0.5, 2.5]) / 8
    )
    linear, cubic = (photo_square(image, 8, grow=grow) for grow in ("bilinear", "bicubic"))
    assert linear.shape == cubic.shape == (1, 3, 8, 8) and not torch.equal(linear, cubic)
    assert cubic.min() >= 0 and cubic.max() <= 1


def test_unknown_and_sky_are_the_far_end():
    depth = torch.linspace(1, 2, 16).view(1, 4, 4)
    valid, sky = torch.ones(1, 4, 4, dtype=torch.bool), torch.zeros(1, 4, 4, dtype=torch.bool)
    valid[0, 0, 0], sky[0, 3, 3] = False, True
    image, known = depth_square(depth, 4, valid_BHW=valid, sky_BHW=sky, curve="log")
    assert torch.equal(known, valid & ~sky)
    assert image[0, 0, 0, 0] == image[0, 0, 3, 3] == 1
    assert image[0, 0, 0, 1] < image[0, 0, 2, 2]
