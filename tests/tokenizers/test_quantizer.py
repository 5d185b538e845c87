from dataclasses import replace

import pytest
import torch
from golden_tokenizers import golden, network_of, under

from nearfar.errors import ConfigError
from nearfar.tokenizers.config import VAR_SCALES, VQConfig
from nearfar.tokenizers.keys import our_name
from nearfar.tokenizers.quantizer import MultiScaleQuantizer, as_map

TEN = VQConfig(channels=32, code_width=8, codebook=64)


def quantizer_of(weights, config):
    """weights: by published names of the quantizer alone."""
    quantizer = MultiScaleQuantizer(config)
    state = {our_name(f"quantize.{n}").removeprefix("quantize."): t for n, t in weights.items()}
    quantizer.load_state_dict(state | {"hits_V": quantizer.hits_V})
    return quantizer


@pytest.fixture(scope="module")
def ten():
    found = golden("ten_scales")
    return found, quantizer_of(under(found, "sd."), TEN)


@pytest.fixture(scope="module")
def var_tiny():
    found = golden("var_tiny")
    return found, network_of(under(found, "sd."), scales=(1, 2, 3, 4)).quantize


def test_ten_scales_exact(ten):
    found, quantizer = ten
    indices, sums = quantizer.encode(found["in.f"])
    for scale in range(10):
        assert torch.equal(indices[scale], found[f"out.idx.{scale}"])
    for scale in (0, 5, 9):
        expected = found[f"out.f_hat.{scale}"]
        torch.testing.assert_close(sums[scale], expected, atol=1e-5, rtol=0)


def test_other_token_maps_use_the_phi_of_their_own_number(ten):
    found, quantizer = ten
    indices, _ = quantizer.encode(found["in.f"], scales=(1, 4, 8, 16))
    for scale in range(4):
        assert torch.equal(indices[scale], found[f"out.alt_1_4_8_16.idx.{scale}"])


def test_znorm_chooses_by_cosine(ten):
    found, quantizer = ten
    by_cosine = quantizer_of(under(found, "sd."), replace(TEN, znorm=True))
    indices, sums = by_cosine.encode(found["in.f"])
    for scale in range(10):
        same = indices[scale] == found[f"out.znorm.idx.{scale}"]
        assert same.all() or (scale > 4 and same.float().mean() > 0.99)  # gaps down to 3e-6
    for scale in (0, 5):
        expected = found[f"out.znorm.f_hat.{scale}"]
        torch.testing.assert_close(sums[scale], expected, atol=1e-4, rtol=0)
    unlike = ~same.view(-1, 16, 16)  # a code of the last scale reaches its neighbors
    reached = torch.nn.functional.max_pool2d(unlike[:, None].float(), 3, stride=1, padding=1) > 0
    apart = (sums[9] - found["out.znorm.f_hat.9"]).abs().masked_fill(reached, 0)
    assert apart.max() < 1e-4
    assert not torch.equal(indices[3], quantizer.encode(found["in.f"]).indices[3])


def test_teacher_inputs_and_steps_of_var(var_tiny):
    found, quantizer = var_tiny
    _, sums = quantizer.encode(found["out.f"])
    inputs = quantizer.teacher_inputs(sums)
    torch.testing.assert_close(inputs, found["out.var_input"], atol=1e-5, rtol=0)
    tokens = [found[f"in.rand_idx.{scale}"] for scale in range(4)]
    inputs = quantizer.teacher_inputs(quantizer.partial_sums(tokens))
    torch.testing.assert_close(inputs, found["out.var_input_rand_idx"], atol=1e-5, rtol=0)


def test_step_by_step_of_switti():
    found = golden("switti")
    config = VQConfig(channels=32, code_width=8, codebook=64, scales=(1, 2, 3, 4, 6))
    quantizer = quantizer_of(under(found, "w.quantize."), config)
    f_hat = torch.zeros_like(found["f"])
    for scale in range(5):
        index = quantizer.nearest_at(found["f"] - f_hat, scale=scale)
        assert torch.equal(index, found[f"idx.{scale}"].long())
        f_hat = quantizer.accumulate(f_hat, as_map(quantizer.embed(index)), scale=scale)
        torch.testing.assert_close(f_hat, found[f"next.{scale}.fhat"], atol=1e-5, rtol=0)
        if scale > 0:  # the first is the same tensor
            torch.testing.assert_close(f_hat, found[f"fhat.{scale}"], atol=1e-5, rtol=0)
        after = quantizer.inputs_of_next_scale(f_hat, scale=scale)
        torch.testing.assert_close(after, found[f"next.{scale}.input"], atol=1e-5, rtol=0)
    taken, sums = quantizer(found["f"]), quantizer.encode(found["f"]).partial_sums
    torch.testing.assert_close(taken.loss, found["train_vq_loss"][0], atol=1e-5, rtol=0)
    inputs = quantizer.teacher_inputs(sums)
    torch.testing.assert_close(inputs, found["teacher_input"], atol=1e-5, rtol=0)


def test_training_loss_and_straight_through_gradient(var_tiny):
    found, quantizer = var_tiny
    f = found["out.f"].clone().requires_grad_()
    taken = quantizer(f)
    torch.testing.assert_close(taken.loss.detach(), found["out.vq_loss"][0], atol=1e-6, rtol=0)
    through = taken.f_hat_BCHW
    torch.testing.assert_close(
        through.detach(), found["out.f_hat_straight_through"], atol=1e-6, rtol=0
    )
    weight = torch.randn(through.shape, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad((through * weight).sum(), f, retain_graph=True)
    assert torch.equal(gradient, weight)
    codes = quantizer.embedding.weight
    assert torch.autograd.grad(taken.commitment, f, retain_graph=True)[0].abs().sum() > 0
    parts = torch.autograd.grad(taken.codebook, [f, codes], allow_unused=True)
    assert parts[0] is None and parts[1].abs().sum() > 0
    with pytest.raises(RuntimeError):  # the commitment moves the encoder alone
        torch.autograd.grad(quantizer(f.detach()).commitment, codes)


def test_any_vectors_may_be_accumulated(var_tiny):
    """Means of several codes and sums in either order of the linear map agree."""
    found, quantizer = var_tiny
    tokens = found["in.rand_idx.1"]
    two = torch.stack([tokens, tokens.flip(1)], dim=-1)
    mean = as_map(quantizer.embed(two).mean(dim=2))
    zero = torch.zeros_like(found["out.f"])
    both = [
        quantizer.accumulate(zero, as_map(quantizer.embed(two[..., i])), scale=1) for i in (0, 1)
    ]
    found_mean = quantizer.accumulate(zero, mean, scale=1)
    torch.testing.assert_close(found_mean, (both[0] + both[1]) / 2, atol=1e-6, rtol=0)


def test_first_of_equal_codes_wins_and_blocks_do_not_matter(var_tiny, monkeypatch):
    _, quantizer = var_tiny
    vectors = torch.randn(50, 8, generator=torch.Generator().manual_seed(1))
    whole = quantizer.nearest(vectors)
    by_hand = (vectors[:, None] - quantizer.embedding.weight[None]).square().sum(-1).argmin(1)
    assert torch.equal(whole, by_hand)
    monkeypatch.setattr("nearfar.tokenizers.quantizer._SCORES_AT_ONCE", 64 * 7)
    assert torch.equal(quantizer.nearest(vectors), whole)
    twins = MultiScaleQuantizer(replace(TEN, codebook=4))
    with torch.no_grad():
        twins.embedding.weight[:] = torch.tensor([3.0, 1.0, 1.0, 1.0])[:, None]
    assert twins.nearest(torch.ones(2, 5, 8)).unique().tolist() == [1]


def test_autocast_does_not_reach_inside(ten):
    found, quantizer = ten
    with torch.autocast("cpu", dtype=torch.bfloat16):
        indices, sums = quantizer.encode(found["in.f"])
        loss = quantizer(found["in.f"]).loss
    assert torch.equal(indices[9], found["out.idx.9"]) and sums[9].dtype == torch.float32
    torch.testing.assert_close(loss, quantizer(found["in.f"]).loss)


def test_misfits_are_named(ten):
    found, quantizer = ten
    with pytest.raises(ConfigError, match="the last is 8, the features have 16"):
        quantizer.encode(found["in.f"], scales=(1, 4, 8))
    with pytest.raises(ConfigError, match="features of 16x8 cells"):
        quantizer.encode(found["in.f"][..., :8])
    tokens = [torch.zeros(1, side * side, dtype=torch.int64) for side in VAR_SCALES]
    quantizer.partial_sums(tokens)
    with pytest.raises(ConfigError, match="a scale, but the scales are"):
        quantizer.partial_sums(tokens[:-1])
    tokens[3][0, 2] = 64
    with pytest.raises(ConfigError, match=r"indices 0..64, the codebook has 0..63"):
        quantizer.partial_sums(tokens)


def test_one_convolution_for_each_scale():
    quantizer = MultiScaleQuantizer(replace(TEN, phi_count=0, scales=(1, 2, 4)))
    f = torch.randn(1, 8, 4, 4, generator=torch.Generator().manual_seed(2))
    assert len(quantizer.phi) == 3
    indices, sums = quantizer.encode(f)
    torch.testing.assert_close(quantizer.partial_sums(indices)[-1], sums[-1])
