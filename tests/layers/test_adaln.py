"""The adaLN block: identity when its modulation is zero, the two formulas otherwise."""

import pytest
import torch

from nearfar.layers.adaln import AdaLNBlock
from nearfar.layers.norm import modulated_layer_norm_reference


@pytest.fixture
def block():
    layer = AdaLNBlock(32, 4, mlp_ratio=4, activation="silu")
    generator = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=generator)
    return layer


def inputs():
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(2, 6, 32, generator=generator),
        torch.randn(2, 32, generator=generator),
    )


def test_zero_modulation_is_the_identity(block):
    torch.nn.init.zeros_(block.adaLN_modulation[1].weight)
    torch.nn.init.zeros_(block.adaLN_modulation[1].bias)
    x, time = inputs()
    assert torch.equal(block(x, time, rope=None), x)


def test_equals_the_formulas_in_the_stated_order(block):
    x, time = inputs()
    chunks = block.adaLN_modulation(time).view(2, 6, 32).unbind(1)
    shift1, scale1, gate1, shift2, scale2, gate2 = chunks
    normal = modulated_layer_norm_reference(x, shift_BD=shift1, scale_BD=scale1)
    middle = x + gate1[:, None] * block.attn(normal, rope=None)
    normal = modulated_layer_norm_reference(middle, shift_BD=shift2, scale_BD=scale2)
    expected = middle + gate2[:, None] * block.mlp(normal)
    torch.testing.assert_close(block(x, time, rope=None), expected, atol=1e-4, rtol=1e-5)


def test_one_time_row_serves_the_batch(block):
    x, time = inputs()
    shared = block(x, time[:1], rope=None)
    each = block(x, time[:1].expand(2, -1), rope=None)
    torch.testing.assert_close(shared, each, atol=1e-4, rtol=1e-5)
