"""Neck and aggregation equal the golden run; every size in multiples of 28 goes through."""

from dataclasses import replace

import pytest
import torch

from nearfar.encoders.dinov2 import DinoV2Config
from nearfar.models.dar.presets import RELEASED
from nearfar.models.dar.vit_encoder import VitEncoder

CONFIG = replace(
    RELEASED,
    vit=DinoV2Config(width=12, depth=5, heads=2, grid=4),
    neck_widths=(8, 8, 16, 16),
    context_width=16,
    memory_width=32,
    multiple=28,
)


@pytest.fixture
def encoder(golden):
    torch.manual_seed(0)
    network = VitEncoder(CONFIG)
    weights = {k.removeprefix("w."): v for k, v in golden("encoder_agg").items() if k[:2] == "w."}
    faults = network.load_state_dict(weights, strict=False)
    assert not faults.unexpected_keys
    assert {name.split(".")[0] for name in faults.missing_keys} == {"backbone"}
    return network.eval()


def test_aggregation_equals_golden(encoder, golden):
    values = golden("encoder_agg")
    with torch.no_grad():
        memory, context = encoder.aggregate([values[f"vit{i}"] for i in (1, 2, 3, 4)], (4, 6))
    torch.testing.assert_close(memory, values["tokens_map"], rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(context, values["context_map"], rtol=1e-5, atol=2e-6)


def test_memory_is_made_of_the_last_four_blocks(encoder, monkeypatch):
    asked = []
    inner = encoder.backbone.forward
    monkeypatch.setattr(
        encoder.backbone,
        "forward",
        lambda x, *, layers: asked.append(layers) or inner(x, layers=layers),
    )
    encoded = encoder(torch.rand(1, 3, 28, 84, generator=torch.Generator().manual_seed(0)))
    assert [*asked[0]] == [1, 2, 3, 4]
    assert encoded.memory_BMD.shape == (1, 12, 32) and encoded.tiny is None
    assert encoded.context_BChw.shape == (1, 16, 8, 24)


def test_finer_memory_and_pixel_conventions(encoder):
    image = torch.rand(1, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    encoder.config = replace(CONFIG, memory_stride=8)
    assert encoder(image).memory_BMD.shape == (1, 49, 32)
    encoder.config = replace(CONFIG, pixels="imagenet")
    other = encoder(image).memory_BMD
    encoder.config = CONFIG
    assert (encoder(image).memory_BMD - other).abs().max() > 1e-4


def test_gradients_reach_the_last_block(encoder):
    encoded = encoder(torch.rand(1, 3, 28, 28, generator=torch.Generator().manual_seed(0)))
    (encoded.memory_BMD.square().sum() + encoded.context_BChw.square().sum()).backward()
    assert encoder.backbone.blocks[-1].mlp.fc1.weight.grad.abs().sum() > 0
