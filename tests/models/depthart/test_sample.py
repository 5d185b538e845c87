"""The next-scale loop equals the golden runs; samples share one prefill and keep their seeds."""

import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.models.depthart.network import fold_modulation
from nearfar.models.depthart.sample import (
    CHOICES,
    Greedy,
    MeanOfDraws,
    choice,
    sample_classes,
    sample_f_hat,
)


@pytest.fixture(scope="module")
def prefill(networks, golden):
    network = networks["depthart"]
    return network.begin(network.photo_vectors(golden("depthart")["in.image01"], None))


def check(network, io, key, seen, f_hat):
    for scale in range(4):
        expected = io[f"out.{key}.logits.{scale}"]
        torch.testing.assert_close(seen.logits[scale], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(f_hat, io[f"out.{key}.f_hat"], atol=1e-5, rtol=0)
    depth = (network.tokenizer.decode(f_hat) + 1).mean(dim=1, keepdim=True) / 2
    torch.testing.assert_close(depth, io[f"out.{key}.depth01"], atol=1e-5, rtol=0)


def test_greedy_equals_golden(networks, golden, watch, prefill, seeds):
    network, io, seen = networks["depthart"], golden("depthart"), watch()
    f_hat = sample_f_hat(network, prefill, choose=seen, generators=seeds(0, 1))
    for scale in range(4):
        assert torch.equal(seen.indices[scale], io[f"out.greedy.idx.{scale}"])
    check(network, io, "greedy", seen, f_hat)


def test_replayed_mean_of_five_equals_golden(networks, golden, feed, prefill, seeds):
    network, io = networks["depthart"], golden("depthart")
    seen = feed([io[f"out.stochastic5.idx.{scale}"] for scale in range(4)])
    f_hat = sample_f_hat(network, prefill, choose=seen, generators=seeds(0, 1))
    check(network, io, "stochastic5", seen, f_hat)


@pytest.mark.parametrize("mode", ["sample", "mean_k"])
def test_samples_share_the_prefill_and_keep_their_seeds(networks, golden, seeds, mode):
    network, image = networks["depthart"], golden("depthart")["in.image01"][:1]
    prefill = network.begin(network.photo_vectors(image, None))
    options = {"choose": choice(mode)}
    three = sample_f_hat(network, prefill, generators=seeds(4, 5, 6), **options)
    again = sample_f_hat(network, prefill, generators=seeds(6, 4), **options)
    torch.testing.assert_close(three[[2, 0]], again, atol=1e-5, rtol=0)
    assert (three[0] - three[1]).abs().max() > 0.01
    assert prefill.cache.length == 31  # the prefill is as it was


def test_generators_must_fit_the_photos(networks, prefill, seeds):
    with pytest.raises(ConfigError, match="3 generators for 2 photos"):
        sample_f_hat(
            networks["depthart"], prefill, choose=choice("greedy"), generators=seeds(1, 2, 3)
        )


@pytest.fixture
def quantizer(networks):
    return networks["depthart"].tokenizer.quantize


@pytest.fixture
def logits():
    return 3 * torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(0))


def test_greedy_is_the_best_code(quantizer, logits):
    codes = Greedy()(logits, quantizer, [])
    assert torch.equal(codes, quantizer.embedding.weight[logits.argmax(-1)])


def test_sample_gives_one_code_of_the_likely_ones(quantizer, logits, seeds):
    codes = MeanOfDraws(draws=1, top_k=2, top_p=0.0)(logits, quantizer, seeds(1, 2))
    distance = torch.cdist(codes, quantizer.embedding.weight)
    chosen = distance.argmin(-1)
    assert distance.min(-1).values.max() < 1e-3
    assert (logits.topk(2, dim=-1).indices == chosen[..., None]).any(-1).all()


def test_mean_of_many_draws_approaches_the_expectation(quantizer, logits, seeds):
    codes = MeanOfDraws(draws=20000, top_k=0, top_p=1.0)(logits, quantizer, seeds(1, 2))
    expected = logits.softmax(-1) @ quantizer.embedding.weight
    torch.testing.assert_close(codes, expected, atol=0.06, rtol=0)


def test_rows_depend_on_their_own_generator(quantizer, logits, seeds):
    choose = choice("mean_k")
    both = choose(logits, quantizer, seeds(1, 2))
    alone = choose(logits[1:], quantizer, seeds(2))
    assert torch.equal(both[1:], alone)
    assert not torch.equal(both, choose(logits, quantizer, seeds(3, 4)))


def test_top_k_beyond_the_codebook_and_bad_numbers(quantizer, logits, seeds):
    assert CHOICES["mean_k"].top_k == 900 > logits.shape[-1]
    with pytest.raises(ConfigError, match="0 draws"):
        MeanOfDraws(draws=0)
    with pytest.raises(ConfigError, match=r"top_p 2"):
        MeanOfDraws(top_p=2)
    with pytest.raises(ConfigError, match="unknown 'beam'.*greedy, sample, mean_k"):
        choice("beam")


TOLERANCE = {"atol": 1e-4, "rtol": 0}


def images(network, f_hat):
    return (network.tokenizer.decode(f_hat) + 1) / 2


@pytest.mark.parametrize("name", ["var_l2norm", "var_shared"])
@pytest.mark.parametrize(("key", "guidance"), [("greedy_cfg", 1.5), ("greedy_nocfg", 0.0)])
def test_greedy_equals_golden_class_sample(networks, golden, watch, name, key, guidance):
    network, io, seen = networks[name], golden(name), watch()
    f_hat = sample_classes(
        network, io["in.label"], guidance_scale=guidance, choose=seen, generators=[]
    )
    for scale in range(4):
        assert torch.equal(seen.indices[scale], io[f"out.{key}.idx.{scale}"])
        if guidance:
            expected = io[f"out.{key}.logits.{scale}"]
            torch.testing.assert_close(seen.logits[scale], expected, **TOLERANCE)
    if guidance:
        torch.testing.assert_close(images(network, f_hat), io[f"out.{key}.image01"], **TOLERANCE)


@pytest.mark.parametrize("name", ["var_l2norm", "var_shared"])
def test_replayed_sample_equals_golden(networks, golden, feed, name):
    network, io = networks[name], golden(name)
    seen = feed([io[f"out.sample.idx.{scale}"] for scale in range(4)])
    f_hat = sample_classes(network, io["in.label"], guidance_scale=3.0, choose=seen, generators=[])
    for scale in range(4):
        expected = io[f"out.sample.logits.{scale}"]
        torch.testing.assert_close(seen.logits[scale], expected, **TOLERANCE)
    torch.testing.assert_close(images(network, f_hat), io["out.sample.image01"], **TOLERANCE)


def test_folded_networks_know_no_classes(networks, golden, watch):
    folded = fold_modulation(networks["var_shared"])
    with pytest.raises(ConfigError, match="knows no classes"):
        sample_classes(folded, torch.tensor([3]), guidance_scale=0.0, choose=watch(), generators=[])
