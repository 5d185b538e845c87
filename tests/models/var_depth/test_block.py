from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from nearfar.models.var_depth.block import SwittiBlock, TokenRun, attend_within
from nearfar.models.var_depth.presets import MICRO
from nearfar.models.var_depth.rope import scale_tables

SIDES = (1, 2, 3)
CONFIG = replace(MICRO, width=32, heads=2, context_width=48)


@pytest.mark.parametrize("name", ["swiglu_crop", "gelu_nocrop"])
def test_block_is_the_published_one(golden, name):
    given = {k.removeprefix(f"{name}."): v for k, v in golden("block").items() if name in k}
    ffn = name.split("_")[0]
    block = SwittiBlock(replace(CONFIG, ffn=ffn, has_crop="crop_cond" in given), index=0)
    block.load_state_dict({k[2:]: v for k, v in given.items() if k.startswith("w.")})
    prepared = block.prepare(given["cond"], given.get("crop_cond"), given["context"])
    run = TokenRun(scale_tables(SIDES, head_width=16), SIDES, None, None)
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
    torch.testing.assert_close(attend_within(q, k, v, sides=SIDES), wanted)


def test_one_set_of_conditions_serves_a_batch(generator):
    block = SwittiBlock(replace(CONFIG, has_crop=False), index=0)
    for value in block.parameters():
        torch.nn.init.normal_(value, std=0.2, generator=generator)
    condition, context = (
        torch.randn(1, 32, generator=generator),
        torch.randn(1, 5, 48, generator=generator),
    )
    x = torch.randn(3, 14, 32, generator=generator)
    run = TokenRun(scale_tables(SIDES, head_width=16), SIDES, None, None)
    one = block(x, block.prepare(condition, None, context), run, bias_B11M=None)
    each = block.prepare(condition.expand(3, -1), None, context.expand(3, -1, -1))
    torch.testing.assert_close(one, block(x, each, run, bias_B11M=None))
