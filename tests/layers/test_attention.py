"""The fused attention equals its plain twin, values and gradients."""

import pytest
import torch

from sonde.layers.attention import SelfAttention, attention, attention_reference
from sonde.layers.rope import rope_tables


def qkv(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, 3, 50, 16, generator=generator).to(dtype).requires_grad_() for _ in range(3)
    ]


def test_values_and_gradients_equal_the_twin():
    weight = torch.randn(2, 3, 50, 16, generator=torch.Generator().manual_seed(1))
    results = []
    for function in (attention, attention_reference):
        inputs = qkv()
        out = function(*inputs)
        (out * weight).sum().backward()
        results.append([out.detach(), *(x.grad for x in inputs)])
    for fused, plain in zip(*results):
        torch.testing.assert_close(fused, plain, atol=2e-6, rtol=1e-5)


def test_bfloat16_stays_within_its_precision():
    low = attention(*qkv(torch.bfloat16)).float()
    torch.testing.assert_close(low, attention_reference(*qkv()), atol=2e-2, rtol=0)


def test_self_attention_equals_written_out_steps(monkeypatch):
    torch_state = torch.random.get_rng_state()
    layer = SelfAttention(32, 4)
    torch.random.set_rng_state(torch_state)
    generator = torch.Generator().manual_seed(2)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    x = torch.randn(2, 12, 32, generator=generator)
    tables = rope_tables((3, 4), head_width=8)
    fused = layer(x, rope=tables)
    monkeypatch.setattr("sonde.layers.attention.attention", attention_reference)
    torch.testing.assert_close(layer(x, rope=tables), fused, atol=2e-6, rtol=1e-5)
    moved = x.roll(1, dims=1)
    torch.testing.assert_close(layer(moved, rope=None), layer(x, rope=None).roll(1, dims=1))
    assert (layer(moved, rope=tables) - layer(x, rope=tables).roll(1, dims=1)).abs().max() > 1e-3


@pytest.mark.parametrize("heads", [1, 4])
def test_heads_share_the_width(heads):
    assert SelfAttention(32, heads).q_norm.weight.shape == (32 // heads,)
