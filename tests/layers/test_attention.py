"""The fused attention equals its plain twin, values and gradients."""

import pytest
import torch

from nearfar.layers import attention as module
from nearfar.layers.attention import (
    SelfAttention,
    attention,
    attention_blocked,
    attention_reference,
    has_bfloat16_without_tiles,
)
from nearfar.layers.rope import rope_tables


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


@pytest.mark.parametrize("entries", [1, 3 * 50 * 7, 1 << 22])
def test_blocks_equal_the_twin(monkeypatch, entries):
    monkeypatch.setattr(module, "BLOCK_ENTRIES", entries)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 5, 150, 16, generator=generator) for _ in range(3))
    out = attention_blocked(q, k, v)
    torch.testing.assert_close(out, attention_reference(q, k, v), atol=2e-6, rtol=1e-5)
    assert out.transpose(1, 2).is_contiguous()


def test_blocks_serve_long_bfloat16_inference_only(monkeypatch):
    calls = []

    def counted(q, k, v):
        calls.append(q.shape)
        return attention_blocked(q, k, v)

    monkeypatch.setattr(module, "attention_blocked", counted)
    monkeypatch.setattr(module, "has_bfloat16_without_tiles", lambda: True)
    generator = torch.Generator().manual_seed(0)
    long = torch.randn(1, 1, 1024, 8, generator=generator).bfloat16()
    low = attention(long, long, long)
    assert len(calls) == 1
    assert (low.float() - attention(long.float(), long.float(), long.float())).abs().max() < 0.03
    attention(long[:, :, :1000], long, long)
    attention(long.requires_grad_(), long, long)
    assert len(calls) == 1
    with torch.inference_mode():
        attention(long, long, long)
    assert len(calls) == 2
    monkeypatch.setattr(module, "has_bfloat16_without_tiles", lambda: False)
    attention(long.detach(), long.detach(), long.detach())
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("bf16", "amx", "expected"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_kernel_choice_follows_the_processor(monkeypatch, bf16, amx, expected):
    told = {"avx512_bf16": bf16, "amx_bf16": amx}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    assert has_bfloat16_without_tiles() is expected
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert has_bfloat16_without_tiles() is False


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
    monkeypatch.setattr("nearfar.layers.attention.attention", attention_reference)
    torch.testing.assert_close(layer(x, rope=tables), fused, atol=2e-6, rtol=1e-5)
    moved = x.roll(1, dims=1)
    torch.testing.assert_close(layer(moved, rope=None), layer(x, rope=None).roll(1, dims=1))
    assert (layer(moved, rope=tables) - layer(x, rope=tables).roll(1, dims=1)).abs().max() > 1e-3


@pytest.mark.parametrize("heads", [1, 4])
def test_heads_share_the_width(heads):
    assert SelfAttention(32, heads).q_norm.weight.shape == (32 // heads,)
