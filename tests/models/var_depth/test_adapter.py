from dataclasses import replace

import pytest
import torch

from nearfar.models.var_depth.adapter import PromptCondition, RGBConditionAdapter
from nearfar.models.var_depth.presets import COMPAT


@pytest.fixture(scope="module")
def adapter(recipe_filled):
    with torch.device("meta"):
        network = RGBConditionAdapter(context_width=2048, pooled_width=1280, scales=10)
    return recipe_filled(network)


def test_released_names_and_count(adapter, published_keys):
    assert sum(p.numel() for p in adapter.parameters()) == 15_472_003
    shapes = {name: list(t.shape) for name, t in adapter.state_dict().items()}
    assert shapes == published_keys["adapter"]


def test_features_prefix_and_blends_are_the_released_ones(golden, adapter):
    given = {k.removeprefix("adapter."): v for k, v in golden("second_stage_adapter").items()}
    with torch.device("meta"):
        prompt = PromptCondition(COMPAT)
    prompt.adapter = adapter
    static = torch.zeros(10, 8, 2048)
    static[:, ::4, ::8] = given["static_prefix"]
    text = torch.zeros(77, 2048)
    text[::4, ::8] = given["text_context"][0]
    prompt.static_prefix_KMD = torch.nn.Parameter(static)
    prompt.text_context_MD, prompt.text_pooled_D = text, given["text_vector"][0]
    prompt.text_bias_M = torch.full((77,), -torch.inf).index_fill(0, torch.arange(7), 0.0)
    with torch.inference_mode():
        rgb, found = adapter(given["img"]), prompt(given["img"])
    context = found.context_BMD[:, 80:]
    for name, value in (
        ("seq", rgb.sequence_BMD[:, ::4, ::8]),
        ("pooled", rgb.pooled_BD),
        ("prefix_delta", rgb.delta_BKMD[:, :, ::4, ::8]),
        ("hybrid_prefix", found.context_BMD[:, :80][:, ::4, ::8]),
        ("blend_context", context[:, ::4, ::8]),
        ("blend_vector", found.pooled_BD),
    ):
        torch.testing.assert_close(value, given[name], atol=1e-5, rtol=0, msg=name)
    assert found.bias_BM.shape == (1, 157) and (found.bias_BM == 0).sum() == 87


@pytest.mark.parametrize(("mode", "tokens"), [("static", 157), ("none", 77)])
def test_prefix_modes(mode, tokens, generator):
    config = replace(COMPAT, prefix_mode=mode, context_width=8, pooled_width=8)
    prompt = PromptCondition(config)
    torch.nn.init.ones_(prompt.static_prefix_KMD)
    found = prompt(torch.rand(1, 3, 32, 32, generator=generator))
    assert found.context_BMD.shape == (1, tokens, 8) and found.bias_BM.shape == (1, tokens)
    if mode == "static":  # nothing of the photo in it
        assert torch.equal(found.context_BMD[:, :80], torch.ones(1, 80, 8))
