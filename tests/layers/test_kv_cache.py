"""The cache holds what was appended, allocates once, and can be continued by several."""

import torch

from nearfar.layers.kv_cache import empty_cache


def rows(value, count, batch=1):
    return torch.full((batch, 2, count, 3), float(value))


def test_append_and_repeat():
    cache = empty_cache((1, 2, 6, 3), blocks=2, dtype=torch.float32, device=torch.device("cpu"))
    start = [buffer.data_ptr() for buffer in cache.keys]
    for block in range(2):
        k, v = cache.append(block, rows(1, 2), rows(2, 2))
        assert k.shape == v.shape == (1, 2, 2, 3) and (k == 1).all() and (v == 2).all()
    cache.advance(2)
    several = cache.repeat(3)
    assert (cache.batch, several.batch) == (1, 3)
    k, _ = several.append(1, rows(5, 4, batch=3), rows(6, 4, batch=3))
    assert k.shape == (3, 2, 6, 3) and k[2, 0, :, 0].tolist() == [1, 1, 5, 5, 5, 5]
    k, _ = cache.append(1, rows(7, 1), rows(8, 1))
    assert k[0, 0, :, 0].tolist() == [1, 1, 7] and cache.length == several.length == 2
    assert [buffer.data_ptr() for buffer in cache.keys] == start
