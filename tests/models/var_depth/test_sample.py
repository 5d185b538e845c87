import pytest
import torch

from nearfar.models.var_depth.choose import Choose
from nearfar.models.var_depth.guidance import Guidance
from nearfar.models.var_depth.sample import sample_f_hat

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
