import pytest
import torch
from torch.nn import functional as F

from nearfar.models.var_depth.losses import (
    affine_loss,
    code_loss,
    expected_f_hat,
    soft_code_loss,
    token_weights,
)

SWITTI = (1, 2, 3, 4, 6, 9, 13, 18, 24, 32)


def test_balanced_scales_count_by_their_side():
    weight = token_weights(SWITTI, balanced=True)
    assert float(weight.sum()) == pytest.approx(1)
    assert float(weight[-1024:].sum()) == pytest.approx(32 / 112, abs=1e-5)
    assert float(weight[:30].sum()) == pytest.approx(10 / 112, abs=1e-5)
    assert torch.equal(token_weights((1, 2), balanced=False), torch.full((5,), 0.2))


def test_uniform_weights_give_the_released_loss(generator):
    logits = torch.randn(2, 5, 7, generator=generator)
    target = torch.randint(7, (2, 5), generator=generator)
    found = code_loss(logits, target, weight_L=token_weights((1, 2), balanced=False))
    torch.testing.assert_close(found, F.cross_entropy(logits.flatten(0, 1), target.flatten()))


def test_soft_targets_forgive_near_codes(micro, generator):
    quantizer = micro().tokenizer.quantize
    with torch.no_grad():
        quantizer.embedding.weight.normal_(generator=generator)
        quantizer.embedding.weight[1] = quantizer.embedding.weight[0] + 0.01
    sought = (quantizer.embedding.weight[0] + 0.3).expand(1, 5, 4)
    weight = token_weights((1, 2), balanced=True)

    def loss(code):
        logits = 8 * F.one_hot(torch.full((1, 5), code), 16).float()
        return float(soft_code_loss(logits, sought, quantizer=quantizer, weight_L=weight))

    assert abs(loss(0) - loss(1)) < 0.3
    assert min(loss(code) for code in range(2, 16)) > loss(1)


def test_sure_logits_give_the_f_hat_of_their_codes(micro, generator):
    network = micro()
    quantizer, scales = network.tokenizer.quantize, network.config.tokenizer.scales
    codes = [torch.randint(16, (1, side * side), generator=generator) for side in scales]
    logits = 100 * F.one_hot(torch.cat(codes, dim=1), 16).float()
    found = expected_f_hat(logits, quantizer)
    torch.testing.assert_close(found, quantizer.partial_sums(codes)[-1], atol=1e-5, rtol=0)


def test_affine_loss_does_not_see_scale_shift_or_holes(generator):
    target = torch.rand(2, 16, 16, generator=generator)
    valid = torch.rand(2, 16, 16, generator=generator) > 0.2
    spoilt = torch.where(valid, 0.3 * target - 5, 77.0)
    # the fit is damped a little, so that a flat guess has a gradient
    assert affine_loss(spoilt, target, valid_BHW=valid) < 0.2
    other = torch.rand(2, 16, 16, generator=generator, requires_grad=True)
    loss = affine_loss(other, target, valid_BHW=valid)
    loss.backward()
    assert loss > 0.5 and other.grad.isfinite().all() and other.grad.abs().max() > 0
    inverted, flat = -target, torch.zeros(2, 16, 16)
    flat_loss = affine_loss(flat, target, valid_BHW=valid)
    assert torch.equal(affine_loss(inverted, target, valid_BHW=valid), flat_loss)
    assert flat_loss > 0.5
