"""The network's tensor of a photo, and the averaging of very large ones."""

import numpy as np
import torch

from nearfar.pipeline.photo import _average, network_image


def test_values_and_order(rgb):
    image = network_image(rgb, area=100)
    assert image.shape == (3, 60, 90)
    assert image.dtype == torch.float32
    assert torch.equal(image[1, 7], torch.from_numpy(rgb[7, :, 1] / 255).float())


def test_average_of_blocks():
    picture = np.random.default_rng(0).integers(0, 256, (11, 13, 3), dtype=np.uint8)
    small = _average(picture, 3)
    blocks = picture[:9, :12].reshape(3, 3, 4, 3, 3).mean(axis=(1, 3))
    assert np.array_equal(small, np.floor(blocks + 0.5).astype(np.uint8))


def test_large_photos_are_averaged_to_at_least_twice_the_sides():
    picture = np.zeros((2048, 8192, 3), np.uint8)
    picture[:1024] = 255
    image = network_image(picture, area=256 * 1024)
    assert image.shape == (3, 512, 2048)
    assert image[:, :256].min() == 1
    assert image[:, 256:].max() == 0
    narrow = network_image(picture.reshape(2, -1, 3), area=1024)
    assert narrow.shape == (3, 1, 4_194_304)
