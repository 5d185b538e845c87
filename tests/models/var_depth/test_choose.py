import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.models.var_depth.choose import MODES, SHARPER, Choose


@pytest.fixture
def logits(generator):
    return 3 * torch.randn(2, 9, 16, generator=generator)


def pick(mode, logits, quantizer, *, seeds=(0, 1), scale=3):
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    choose = Choose(mode=mode)
    return choose(logits, quantizer, scale=scale, count=10, generators=generators)


@pytest.mark.parametrize("mode", MODES)
def test_rows_depend_on_their_own_generator(micro, logits, mode):
    quantizer = micro().tokenizer.quantize
    both = pick(mode, logits, quantizer)
    assert both.shape == (2, 9, 4)
    assert torch.equal(both[1], pick(mode, logits[1:], quantizer, seeds=(1,))[0])
    other = pick(mode, logits, quantizer, seeds=(0, 2))
    assert torch.equal(other[0], both[0])
    assert torch.equal(other[1], both[1]) != Choose(mode=mode).draws


def test_best_and_mean_codes(micro, logits):
    quantizer = micro().tokenizer.quantize
    best = quantizer.embed(logits.argmax(dim=-1))
    mean = logits.softmax(dim=-1) @ quantizer.embedding.weight
    assert torch.equal(pick("greedy", logits, quantizer, scale=9), best)
    assert torch.equal(pick("expected", logits, quantizer, scale=5), best)
    torch.testing.assert_close(pick("expected", logits, quantizer, scale=6), mean)
    torch.testing.assert_close(pick("soft", logits, quantizer, scale=6), mean)
    torch.testing.assert_close(pick("mean_k", logits, quantizer, scale=6), mean)


def test_mean_k_draws_around_the_likely_codes(micro, logits):
    quantizer = micro().tokenizer.quantize
    sharp = (SHARPER * logits).softmax(dim=-1) @ quantizer.embedding.weight
    off = {
        mode: (pick(mode, logits, quantizer) - sharp).norm(dim=-1).mean()
        for mode in ("sample", "mean_k")
    }
    assert 0 < off["mean_k"] < 0.5 * off["sample"]


def test_mixture_is_near_one_code_at_the_last_scale(micro, logits):
    quantizer = micro().tokenizer.quantize
    codes = pick("smooth", logits, quantizer, scale=9)
    nearest = quantizer.embed(quantizer.nearest(codes))
    assert (codes - nearest).abs().max(dim=-1).values.median() < 1e-3


def test_unknown_modes_are_refused():
    with pytest.raises(ConfigError, match="greedy"):
        Choose(mode="best")
    with pytest.raises(ConfigError):
        Choose(top_p=2.0)
