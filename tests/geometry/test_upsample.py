import time

import numpy as np
import pytest

from nearfar.errors import ConfigError
from nearfar.geometry.upsample import guided_indices, upsample_guided, upsample_nearest


@pytest.mark.parametrize("size", [(48, 64), (31, 45), (12, 16), (5, 3), (1, 1)])
def test_only_input_values_come_out(size):
    rng = np.random.default_rng(0)
    depth = rng.random((12, 16)).astype(np.float32)
    depth[3, 4] = np.nan
    guide = rng.random((12, 16, 3), dtype=np.float32)
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    for up in (upsample_guided(depth, guide, image), upsample_nearest(depth, size)):
        assert up.shape == size and up.dtype == np.float32
        known = up[np.isfinite(up)]
        assert np.isin(known, depth).all()


def test_nearest_takes_the_cell_of_the_pixel_center():
    depth = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(upsample_nearest(depth, (4, 6)), depth.repeat(2, 0).repeat(2, 1))
    assert np.array_equal(upsample_nearest(depth, (2, 3)), depth)


def test_guided_equals_plain_nearest_in_a_flat_photo():
    depth = np.arange(12, dtype=np.float32).reshape(3, 4)
    up = upsample_guided(depth, np.full((3, 4, 3), 0.5), np.full((11, 17, 3), 0.5))
    assert np.array_equal(up, upsample_nearest(depth, (11, 17)))


def test_guided_against_a_plain_loop():
    rng = np.random.default_rng(1)
    guide = rng.random((5, 6, 3), dtype=np.float32)
    image = rng.random((13, 14, 3), dtype=np.float32)
    got = guided_indices(guide, image, spatial=0.05)
    for y in range(13):
        for x in range(14):
            v, u = (y + 0.5) * 5 / 13, (x + 0.5) * 6 / 14
            cells = [
                (i, j)
                for i in range(max(0, int(v) - 1), min(5, int(v) + 2))
                for j in range(max(0, int(u) - 1), min(6, int(u) + 2))
            ]
            costs = [
                ((image[y, x] - guide[i, j]) ** 2).sum()
                + 0.05 * ((i + 0.5 - v) ** 2 + (j + 0.5 - u) ** 2)
                for i, j in cells
            ]
            i, j = cells[int(np.argmin(costs))]
            assert got[y, x] == i * 6 + j


def test_guided_follows_the_photo_edge_between_cells():
    """The photo's edge lies inside a cell; nearest cuts at the cell border, guided at the edge."""
    image = np.zeros((24, 24, 3), np.uint8)
    image[:, 10:] = 255
    truth = np.where(np.arange(24) < 10, 1.0, 5.0).astype(np.float32)[None].repeat(24, 0)
    guide = image.reshape(6, 4, 6, 4, 3).mean(axis=(1, 3)) / 255
    depth = truth.reshape(6, 4, 6, 4)[:, 3, :, 3]
    guided = upsample_guided(depth, guide, image)
    nearest = upsample_nearest(depth, (24, 24))
    assert (guided != truth).mean() == 0
    assert (nearest != truth).mean() > 0.05


def test_uint8_and_float_photos_choose_alike():
    rng = np.random.default_rng(2)
    guide = rng.random((6, 8, 3), dtype=np.float32)
    image = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    assert np.array_equal(
        guided_indices(guide, image), guided_indices(guide, image.astype(np.float32) / 255)
    )


def test_fast_enough():
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
    guide = rng.random((192, 256, 3), dtype=np.float32)
    depth = rng.random((192, 256), dtype=np.float32)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        upsample_guided(depth, guide, image)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.15


def test_sizes_must_agree():
    with pytest.raises(ConfigError, match="upsample_guided"):
        upsample_guided(np.ones((3, 4), np.float32), np.ones((4, 3, 3)), np.ones((8, 8, 3)))
