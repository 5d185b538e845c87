from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from nearfar.errors import ConfigError
from nearfar.models.var_depth.condition import crop_numbers
from nearfar.models.var_depth.presets import COMPAT, MICRO
from nearfar.models.var_depth.transformer import (
    SwittiBlock,
    SwittiTransformer,
    TokenRun,
    apply_rope,
    attend_within,
    scale_tables,
)

SIDES = (1, 2, 3, 4, 6)


def logits_of(transformer, given, *, sizes, masked):
    crop_B4 = crop_numbers([tuple(size) for size in given[f"hw.{sizes}"].tolist()])
    conditions = transformer.prepare(
        given["pooled"],
        given["prompt_embeds"],
        bias_BM=given["prompt_attn_bias"],
        crop_B4=crop_B4,
    )
    inputs = given["teacher_input"].split([side * side for side in SIDES[1:]], dim=1)
    tokens = [transformer.embed(z, scale=k + 1) for k, z in enumerate(inputs)]
    x = torch.cat([transformer.start(conditions), *tokens], dim=1)
    mask = transformer.mask(x.device) if masked else None
    with torch.inference_mode():
        return transformer(x, conditions, first=0, sides=SIDES, mask_LL=mask)


@pytest.mark.parametrize("sizes", ["512", "mixed"])
def test_logits_are_the_published_ones_masked_or_not(golden, golden_network, sizes):
    given, transformer = golden("model_tiny"), golden_network().transformer
    for masked in (True, False):
        found = logits_of(transformer, given, sizes=sizes, masked=masked)
        torch.testing.assert_close(found, given[f"logits.{sizes}"], atol=1e-5, rtol=0)
    if sizes == "512":
        loss = F.cross_entropy(found.flatten(0, 1), given["target"].long().flatten())
        torch.testing.assert_close(loss, given["loss.512"][0], atol=1e-5, rtol=0)


def test_a_mask_instead_of_a_bias_is_refused(golden, golden_network):
    given = golden("model_tiny")
    mask = given["prompt_attn_bias"] == 0
    with pytest.raises(ConfigError, match="torch.bool is a mask, not a bias"):
        golden_network().transformer.prepare(given["pooled"], given["prompt_embeds"], bias_BM=mask)


def test_causal_logits_are_the_published_ones(golden, golden_network):
    given, transformer = golden("model_tiny"), golden_network(is_causal=True).transformer
    found = logits_of(transformer, given, sizes="512", masked=True)
    torch.testing.assert_close(found, given["logits_ar.512"], atol=1e-5, rtol=0)


def test_switti_512_has_its_parameters_under_its_names(published_keys):
    with torch.device("meta"):
        transformer = SwittiTransformer(COMPAT)
    assert sum(p.numel() for p in transformer.parameters()) == 2_470_518_256
    assert sum(p.numel() for p in transformer.blocks[0].parameters()) == 81_634_688
    shapes = {name: list(t.shape) for name, t in transformer.state_dict().items()}
    first = {n: s for n, s in shapes.items() if not n.startswith("blocks.") or ".0." in n[:9]}
    buffers = ("lvl_1L", "attn_bias_for_masking")
    assert first == {n: s for n, s in published_keys["switti"].items() if n not in buffers}
    assert len({n.split(".")[1] for n in shapes if n.startswith("blocks.")}) == 30


def test_cast_leaves_embeddings_and_head_float32():
    with torch.device("meta"):
        transformer = SwittiTransformer(replace(COMPAT, depth=1)).cast(torch.bfloat16)
    assert transformer.blocks[0].attn.to_qkv.weight.dtype == torch.bfloat16
    assert transformer.blocks[0].ada_lin[1].weight.dtype == torch.float32
    assert transformer.head.weight.dtype == transformer.word_embed.weight.dtype == torch.float32


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


SIDES_BLOCK = (1, 2, 3)
CONFIG = replace(MICRO, width=32, heads=2, context_width=48)


@pytest.mark.parametrize("name", ["swiglu_crop", "gelu_nocrop"])
def test_block_is_the_published_one(golden, name):
    given = {k.removeprefix(f"{name}."): v for k, v in golden("block").items() if name in k}
    ffn = name.split("_")[0]
    block = SwittiBlock(replace(CONFIG, ffn=ffn, has_crop="crop_cond" in given), index=0)
    block.load_state_dict({k[2:]: v for k, v in given.items() if k.startswith("w.")})
    prepared = block.prepare(given["cond"], given.get("crop_cond"), given["context"])
    run = TokenRun(scale_tables(SIDES_BLOCK, head_width=16), SIDES_BLOCK, None, None)
    bias_B11M = given["context_attn_bias"][:, None, None]
    with torch.inference_mode():
        out = block(given["x"], prepared, run, bias_B11M=bias_B11M)
        feed = F.linear(F.silu(given["cond"]), block.ada_lin[1].weight, block.ada_lin[1].bias)
    torch.testing.assert_close(out, given["out"], atol=1e-5, rtol=0)
    if name == "gelu_nocrop":
        torch.testing.assert_close(feed, given["mid.ada_lin"], atol=1e-5, rtol=0)


def test_scales_within_themselves_are_the_masked_pass(generator):
    q, k, v = torch.randn(3, 2, 2, 14, 8, generator=generator)
    level = torch.tensor([0] + [1] * 4 + [2] * 9)
    mask = level[:, None] == level[None]
    wanted = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    torch.testing.assert_close(attend_within(q, k, v, sides=SIDES_BLOCK), wanted)


def test_one_set_of_conditions_serves_a_batch(generator):
    block = SwittiBlock(replace(CONFIG, has_crop=False), index=0)
    for value in block.parameters():
        torch.nn.init.normal_(value, std=0.2, generator=generator)
    condition, context = (
        torch.randn(1, 32, generator=generator),
        torch.randn(1, 5, 48, generator=generator),
    )
    x = torch.randn(3, 14, 32, generator=generator)
    run = TokenRun(scale_tables(SIDES_BLOCK, head_width=16), SIDES_BLOCK, None, None)
    one = block(x, block.prepare(condition, None, context), run, bias_B11M=None)
    each = block.prepare(condition.expand(3, -1), None, context.expand(3, -1, -1))
    torch.testing.assert_close(one, block(x, each, run, bias_B11M=None))
