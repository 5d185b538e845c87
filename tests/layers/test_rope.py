"""Rotary positions equal the golden rotation and keep inner products relative."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from nearfar.layers.rope import apply_rope, rope_tables

GOLDEN = Path(__file__).parents[1] / "golden" / "ppd" / "dit_tiny_io.safetensors"


def test_rotation_equals_golden():
    io = load_file(GOLDEN)
    q_BLNE = io["rope.q"].transpose(1, 2)
    rotated = apply_rope(q_BLNE, rope_tables((3, 4), head_width=16)).transpose(1, 2)
    torch.testing.assert_close(rotated, io["rope.out"], atol=1e-6, rtol=0)


def test_inner_products_depend_on_the_offset_only():
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(8, generator=generator).expand(1, 30, 1, 8) for _ in range(2))
    tables = rope_tables((5, 6), head_width=8)
    q, k = apply_rope(q, tables)[0, :, 0], apply_rope(k, tables)[0, :, 0]
    scores = (q @ k.T).view(5, 6, 5, 6)
    torch.testing.assert_close(scores[0, 0, 2, 1], scores[2, 4, 4, 5])
    torch.testing.assert_close(q.norm(dim=-1), q.norm(dim=-1)[:1].expand(30))


def test_tables_are_cast_after_float32_angles():
    exact = rope_tables((70, 70), head_width=16)
    low = rope_tables((70, 70), head_width=16, dtype=torch.bfloat16)
    assert low.cos_L1E.dtype == torch.bfloat16
    assert torch.equal(low.sin_L1E, exact.sin_L1E.to(torch.bfloat16))
