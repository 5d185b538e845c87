import math
from dataclasses import replace

import pytest
import torch

from nearfar.models.var_depth.condition import (
    CropFeatures,
    PromptCondition,
    RGBConditionAdapter,
    crop_numbers,
    feature_widths,
    sine_code,
)
from nearfar.models.var_depth.presets import COMPAT, GEO, TINY


def test_widths_are_those_of_the_levels():
    assert feature_widths(GEO) == (320, 320, 640, 32)  # strides 4, 8, 16, and the latent
    assert feature_widths(TINY) == (24, 48, 208, 208)


def test_features_have_strides_of_a_quarter_a_half_and_the_whole(micro, photo):
    features = micro(spatial="concat").features(photo, None)
    assert [x.shape[-1] for x in features] == [40, 20, 10, 10]
    assert [x.shape[1] for x in features] == list(feature_widths(micro().config))


@torch.inference_mode()
def test_context_is_learned_global_and_placed_tokens(micro, photo):
    network = micro()
    found = network.condition(network.features(photo, None))
    assert found.context_BMD.shape == (2, 2 + 1 + 4, 24) and found.bias_BM is None
    assert torch.equal(found.context_BMD[0, :2], found.context_BMD[1, :2])
    features = network.features(photo, None)
    flat = network.condition(
        features._replace(coarse_BChw=torch.ones_like(features.coarse_BChw))
    ).context_BMD[0, 3:]
    assert (flat[0] - flat[1]).abs().max() > 1e-3  # the same cells at other places


def test_sine_code_tells_every_place():
    code = sine_code(12, device=torch.device("cpu"))
    assert code.shape == (144, 256)
    distance = torch.cdist(code, code) + 99 * torch.eye(144)
    assert distance.min() > 0.5


def test_null_is_one_token(micro):
    found = micro().condition.null()
    assert found.context_BMD.shape == (1, 1, 24) and found.pooled_BD.shape == (1, 16)


def test_sizes_give_the_published_numbers(golden):
    wanted = golden("model_tiny")
    for name in ("512", "mixed"):
        found = crop_numbers([tuple(size) for size in wanted[f"hw.{name}"].tolist()])
        assert torch.equal(found.int(), wanted[f"crop.{name}"])
    assert crop_numbers([(512, 512)]).tolist() == [[512, 512, 0, 0]]


def test_crop_numbers_are_those_of_float32():
    """427 * 512 / 427 is a little less than 512 there, and so cut to 511."""
    assert crop_numbers([(427, 640), (600, 800)]).tolist() == [
        [511, 767, 0, 127],
        [512, 682, 0, 85],
    ]


def test_features_are_sines_then_cosines_of_each_number():
    features = CropFeatures(16)
    torch.nn.init.constant_(features.weight, 0.25)
    found = features(torch.tensor([[1.0, 2.0, 0.0, 3.0]]))
    wanted = [math.sin(math.pi / 2), math.cos(math.pi / 2), math.sin(math.pi), math.cos(math.pi)]
    torch.testing.assert_close(found[0, :8:2], torch.tensor(wanted), atol=1e-6, rtol=0)
    assert not features.weight.requires_grad


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
