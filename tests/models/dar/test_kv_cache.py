"""Both caches hold the same tokens; the growing one passes gradients, the fixed one moves none."""

import torch

from nearfar.models.dar.kv_cache import FixedCache, GrowingCache


def tokens(count, seed):
    return torch.randn(2, 3, count, 4, generator=torch.Generator().manual_seed(seed))


def test_both_hold_the_same():
    growing, fixed = GrowingCache(), FixedCache(9)
    for seed, count in enumerate((2, 3, 4)):
        k, v = tokens(count, seed), tokens(count, seed + 10)
        growing, fixed = growing.extended(k, v), fixed.extended(k, v)
        assert torch.equal(growing.view().k_BNLE, fixed.view().k_BNLE)
        assert torch.equal(growing.view().v_BNLE, fixed.view().v_BNLE)
    assert growing.view().k_BNLE.shape == (2, 3, 9, 4)


def test_fixed_memory_is_taken_once():
    cache = FixedCache(6).extended(tokens(2, 0), tokens(2, 1))
    place = cache.memory.k_BNLE.data_ptr()
    cache = cache.extended(tokens(4, 2), tokens(4, 3))
    assert cache.memory.k_BNLE.data_ptr() == place == cache.view().k_BNLE.data_ptr()


def test_growing_passes_gradients():
    k = tokens(2, 0).requires_grad_()
    first = GrowingCache().extended(k, k)
    first.extended(tokens(1, 1), tokens(1, 2)).view().k_BNLE.sum().backward()
    assert (k.grad == 1).all()
    assert first.view().k_BNLE.shape[2] == 2  # an extension leaves its origin alone
