"""The modulated LayerNorm equals its plain twin in both of its paths, values and gradients."""

import pytest
import torch

from nearfar.layers.norm import modulated_layer_norm, modulated_layer_norm_reference


@pytest.mark.parametrize("rows", [1, 3])
def test_values_and_gradients_equal_the_twin(rows):
    results = []
    for function in (modulated_layer_norm, modulated_layer_norm_reference):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(3, 7, 32, generator=generator, requires_grad=True)
        shift = torch.randn(rows, 32, generator=generator, requires_grad=True)
        scale = torch.randn(rows, 32, generator=generator, requires_grad=True)
        weight = torch.randn(3, 7, 32, generator=generator)
        out = function(x, shift_BD=shift, scale_BD=scale)
        (out * weight).sum().backward()
        results.append([out.detach(), x.grad, shift.grad, scale.grad])
    for fused, plain in zip(*results):
        torch.testing.assert_close(fused, plain, atol=1e-5, rtol=1e-5)


def test_bfloat16():
    generator = torch.Generator().manual_seed(0)
    x, shift, scale = (torch.randn(1, *s, generator=generator) for s in ((7, 32), (32,), (32,)))
    low = modulated_layer_norm(x.bfloat16(), shift_BD=shift.bfloat16(), scale_BD=scale.bfloat16())
    exact = modulated_layer_norm_reference(x, shift_BD=shift, scale_BD=scale)
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), exact, atol=5e-2, rtol=2e-2)
