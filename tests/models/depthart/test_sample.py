"""The next-scale loop equals the golden runs; samples share one prefill and keep their seeds."""

import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.models.depthart.choose import choice
from nearfar.models.depthart.sample import sample_f_hat


@pytest.fixture(scope="module")
def started(networks, golden):
    network = networks["depthart"]
    return network.begin(network.photo_vectors(golden("depthart")["in.image01"], None))


def check(network, io, key, seen, f_hat):
    for scale in range(4):
        expected = io[f"out.{key}.logits.{scale}"]
        torch.testing.assert_close(seen.logits[scale], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(f_hat, io[f"out.{key}.f_hat"], atol=1e-5, rtol=0)
    depth = (network.tokenizer.decode(f_hat) + 1).mean(dim=1, keepdim=True) / 2
    torch.testing.assert_close(depth, io[f"out.{key}.depth01"], atol=1e-5, rtol=0)


def test_greedy_equals_golden(networks, golden, watch, started, seeds):
    network, io, seen = networks["depthart"], golden("depthart"), watch()
    f_hat = sample_f_hat(network, started, choose=seen, generators=seeds(0, 1))
    for scale in range(4):
        assert torch.equal(seen.indices[scale], io[f"out.greedy.idx.{scale}"])
    check(network, io, "greedy", seen, f_hat)


def test_replayed_mean_of_five_equals_golden(networks, golden, feed, started, seeds):
    network, io = networks["depthart"], golden("depthart")
    seen = feed([io[f"out.stochastic5.idx.{scale}"] for scale in range(4)])
    f_hat = sample_f_hat(network, started, choose=seen, generators=seeds(0, 1))
    check(network, io, "stochastic5", seen, f_hat)


@pytest.mark.parametrize("mode", ["sample", "mean_k"])
def test_samples_share_the_prefill_and_keep_their_seeds(networks, golden, seeds, mode):
    network, image = networks["depthart"], golden("depthart")["in.image01"][:1]
    started = network.begin(network.photo_vectors(image, None))
    options = {"choose": choice(mode)}
    three = sample_f_hat(network, started, generators=seeds(4, 5, 6), **options)
    again = sample_f_hat(network, started, generators=seeds(6, 4), **options)
    torch.testing.assert_close(three[[2, 0]], again, atol=1e-5, rtol=0)
    assert (three[0] - three[1]).abs().max() > 0.01
    assert started.cache.length == 31  # the prefill is as it was


def test_generators_must_fit_the_photos(networks, started, seeds):
    with pytest.raises(ConfigError, match="3 generators for 2 photos"):
        sample_f_hat(
            networks["depthart"], started, choose=choice("greedy"), generators=seeds(1, 2, 3)
        )
