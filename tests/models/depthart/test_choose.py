"""Best code, drawn code, mean of draws; every row draws from its own generator."""

import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.models.depthart.choose import CHOICES, Greedy, MeanOfDraws, choice


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
