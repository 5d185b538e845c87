"""What top-k and top-p keep, ties included; draws repeat by their generator."""

import math

import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.sampling.categorical import draw, filter_top_k, filter_top_p, guided_logits


def kept(logits):
    return logits.isfinite().tolist()


def test_top_k_keeps_ties_and_clamps():
    logits = torch.tensor([[1.0, 3.0, 2.0, 3.0, 2.0]])
    assert kept(filter_top_k(logits, 1)) == [[False, True, False, True, False]]
    assert kept(filter_top_k(logits, 3)) == [[False, True, True, True, True]]
    assert filter_top_k(logits, 0) is logits and filter_top_k(logits, 900) is logits
    with pytest.raises(ConfigError, match="top_k: -1"):
        filter_top_k(logits, -1)


def test_top_p_drops_while_the_sum_is_at_most_the_rest():
    logits = torch.tensor([0.5, 0.25, 0.125, 0.125]).log()
    assert kept(filter_top_p(logits, 0.5)) == [True, False, False, False]
    assert kept(filter_top_p(logits, 0.6)) == [True, True, False, False]
    assert kept(filter_top_p(logits, 0.9)) == [True, True, True, True]
    assert filter_top_p(logits, 0.0) is logits and filter_top_p(logits, 1.0) is logits
    with pytest.raises(ConfigError, match=r"top_p: 1\.5"):
        filter_top_p(logits, 1.5)


def test_top_p_always_keeps_the_best():
    logits = torch.zeros(2, 3, 4)
    assert filter_top_p(logits, 1e-6).isfinite().sum(-1).tolist() == [[1] * 3] * 2
    assert filter_top_p(torch.full((1, 1), -3.0), 0.1).item() == -3.0


@pytest.mark.parametrize("name", ["var_l2norm", "var_shared"])
def test_kept_tokens_equal_golden(golden_var, name):
    io = golden_var(name)
    for scale in range(4):
        logits = filter_top_p(filter_top_k(io[f"out.sample.logits.{scale}"], 10), 0.8)
        assert torch.equal(logits.isfinite(), io[f"out.sample.kept.{scale}"])
        assert logits.isfinite().gather(-1, io[f"out.sample.idx.{scale}"][..., None]).all()


@pytest.fixture
def golden_var():
    from pathlib import Path

    from safetensors.torch import load_file

    folder = Path(__file__).parents[1] / "golden" / "depthart"
    return lambda name: load_file(folder / f"{name}.safetensors")


def test_draws_follow_the_distribution_and_the_generator():
    logits = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.0, 1.0]]).log()
    before = torch.random.get_rng_state()
    one, two = (
        draw(logits, generator=torch.Generator().manual_seed(3), samples=4000) for _ in range(2)
    )
    assert torch.equal(one, two) and torch.equal(before, torch.random.get_rng_state())
    assert one.shape == (2, 4000) and one.dtype == torch.int64
    assert abs((one[0] == 0).float().mean() - 0.7) < 0.03 and (one[1] == 2).all()
    assert draw(logits, generator=torch.Generator().manual_seed(3)).shape == (2, 1)


def test_guidance_goes_past_the_condition():
    cond, uncond = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    assert guided_logits(cond, uncond, 0.0) is cond
    torch.testing.assert_close(guided_logits(cond, uncond, 1.5), 2.5 * cond - 1.5 * uncond)
    assert math.isclose(guided_logits(cond, uncond, -1.0)[1], 2.0)
