import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.models.var_depth.sample import MODES, SHARPER, Choose, Guidance, sample_f_hat

GREEDY = Choose(mode="greedy")
RUNS = {
    "cfg3_all": (Guidance(scale=3.0, off=99), False),
    "cfg3_on1_off3": (Guidance(scale=3.0, on=1, off=3, temperature=0.5), False),
    "ar_cfg2": (Guidance(scale=2.0, off=4), True),
    "vd_fast": (Guidance(), False),
}


def seeds(*numbers):
    return [torch.Generator().manual_seed(number) for number in numbers]


@pytest.mark.parametrize("run", RUNS)
def test_generation_is_the_published_one(golden, golden_network, golden_conditions, run):
    wanted, (guidance, is_causal) = golden("generate_tiny"), RUNS[run]
    network, seen = golden_network(is_causal=is_causal), {}
    with torch.inference_mode():
        given, without = golden_conditions(network)
        f_hat = sample_f_hat(
            network,
            given,
            choose=GREEDY,
            generators=seeds(0, 0),
            guidance=guidance,
            without=without if guidance.scale else None,
            watch=seen.__setitem__,
        )
    for scale, logits in seen.items():
        torch.testing.assert_close(logits, wanted[f"{run}.logits.{scale}"], atol=2e-5, rtol=0)
        assert torch.equal(logits.argmax(dim=-1).int(), wanted[f"{run}.idx.{scale}"])
    codes = [wanted[f"{run}.idx.{scale}"].long() for scale in range(5)]
    sums = network.tokenizer.quantize.partial_sums(codes)
    torch.testing.assert_close(f_hat, sums[-1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("is_causal", [False, True])
@torch.inference_mode()
def test_samples_of_one_photo_are_those_it_has_alone(micro, photo, is_causal):
    network, choose = micro(is_causal=is_causal), Choose(mode="sample")
    given = network.condition_on(photo[:1])
    both = sample_f_hat(network, given, choose=choose, generators=seeds(1, 2))
    alone = sample_f_hat(network, given, choose=choose, generators=seeds(2))
    torch.testing.assert_close(both[1:], alone, atol=1e-4, rtol=0)
    assert (both[0] - both[1]).abs().max() > 0.01


@torch.inference_mode()
def test_guidance_of_nothing_is_the_condition_alone(micro, photo):
    network = micro()
    given, without = network.condition_on(photo), network.unconditional()
    run = {"choose": GREEDY, "generators": seeds(0, 0)}
    plain = sample_f_hat(network, given, **run)
    none = sample_f_hat(network, given, guidance=Guidance(), without=without, **run)
    strong = sample_f_hat(network, given, guidance=Guidance(scale=5.0), without=without, **run)
    assert torch.equal(plain, none)
    assert (strong - plain).abs().max() > 0.01


COND, UNCOND = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]])


def test_weight_rises_over_scales_and_ends_at_off():
    guidance = Guidance(scale=3.0, on=1, off=4)
    assert [guidance.weight(k, count=5) for k in range(5)] == [0.0, 0.75, 1.5, 2.25, 0.0]
    found = guidance(COND, UNCOND, scale=2, count=5)
    torch.testing.assert_close(found, 2.5 * COND - 1.5 * UNCOND)
    assert torch.equal(guidance(COND, None, scale=0, count=5), COND)
    cold = Guidance(scale=3.0, off=4, temperature=0.5)
    torch.testing.assert_close(cold(COND, UNCOND, scale=4, count=5), 2 * COND)


def test_other_branch_runs_only_where_it_counts():
    guidance = Guidance(scale=1.0)
    runs = [guidance.runs_unconditional(k, count=10, is_causal=False) for k in range(10)]
    assert runs == [False] + [True] * 7 + [False] * 2
    assert guidance.runs_unconditional(0, count=10, is_causal=True)
    assert not Guidance().runs_unconditional(3, count=10, is_causal=True)


@pytest.mark.parametrize(
    "wrong", [{"scale": -1.0}, {"scale": float("nan")}, {"on": 3, "off": 2}, {"temperature": 0.0}]
)
def test_senseless_numbers_are_refused(wrong):
    with pytest.raises(ConfigError):
        Guidance(**wrong)


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
