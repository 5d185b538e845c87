import torch

from nearfar.models.var_depth.cache import empty_cache


def test_tokens_are_appended_in_place_per_block():
    cache = empty_cache((2, 1, 5, 3), blocks=2, dtype=torch.float32, device=torch.device("cpu"))
    before = cache.buffers.data_ptr()
    first, second = torch.ones(2, 1, 1, 3), 2 * torch.ones(2, 1, 4, 3)
    for block in (0, 1):
        keys, values = cache.append(block, first + block, -first)
        assert keys.shape == (2, 1, 1, 3) and torch.equal(values, -first)
    cache.advance(1)
    keys, _ = cache.append(1, second, second)
    assert keys[0, 0, :, 0].tolist() == [2, 2, 2, 2, 2]
    keys, _ = cache.append(0, second, second)
    assert keys[0, 0, :, 0].tolist() == [1, 2, 2, 2, 2]
    assert cache.batch == 2 and cache.buffers.data_ptr() == before
    assert keys.untyped_storage().data_ptr() == before
