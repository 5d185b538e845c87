import torch

from nearfar.models.var_depth.rope import apply_rope, scale_tables

TINY, SWITTI = (1, 2, 3, 4, 6), (1, 2, 3, 4, 6, 9, 13, 18, 24, 32)


def test_tables_and_turned_vectors_are_the_published_ones(golden):
    wanted = golden("rope")
    tables = scale_tables(TINY, head_width=16)
    torch.testing.assert_close(tables.cos_LE, wanted["tiny.cos"], atol=1e-5, rtol=0)
    torch.testing.assert_close(tables.sin_LE, wanted["tiny.sin"], atol=1e-5, rtol=0)
    turned = apply_rope(wanted["apply.in"], tables)
    torch.testing.assert_close(turned, wanted["apply.out"], atol=1e-5, rtol=0)
    large = scale_tables(SWITTI, head_width=64)
    assert large.cos_LE.shape == (2240, 32)
    torch.testing.assert_close(large.cos_LE[::16, ::4], wanted["s512.cos"], atol=1e-5, rtol=0)
    torch.testing.assert_close(large.sin_LE[::16, ::4], wanted["s512.sin"], atol=1e-5, rtol=0)


def test_every_scale_spans_the_same_square():
    tables = scale_tables((2, 5), head_width=8)
    last_of_2, last_of_5 = tables.part(3, 4), tables.part(4 + 24, 4 + 25)
    torch.testing.assert_close(last_of_2.cos_LE, last_of_5.cos_LE)
