from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from nearfar.models.var_depth.crop import crop_numbers
from nearfar.models.var_depth.presets import COMPAT
from nearfar.models.var_depth.transformer import SwittiTransformer

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
