"""Neck and aggregation equal the golden run; every size in multiples of 28 goes through."""

from dataclasses import replace

import pytest
import torch

from nearfar.encoders.dinov2 import DinoV2Config
from nearfar.models.dar.network import new_network
from nearfar.models.dar.photo_encoder import VitEncoder
from nearfar.models.dar.presets import MICRO_PHOTO, RELEASED
from nearfar.models.dar.sample import at_size, sample_steps

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
    assert encoded.memory_BMD.shape == (1, 12, 32) and encoded.small is None
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


def test_shapes_and_scale(micro):
    encoder = micro().encoder
    image = torch.rand(2, 3, 48, 80, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        encoded = encoder(image)
        assert encoded.memory_BMD.shape[::2] == (2, 24)
        assert encoded.context_BChw.shape == (2, 8, 24, 40)
        encoder.backbone.maps.bias[0] += 1  # e times as far everywhere
        farther = encoder(image)
    assert (farther.memory_BMD - encoded.memory_BMD).abs().max() > 1e-3
    assert torch.allclose(farther.small.log_depth_BHW, encoded.small.log_depth_BHW + 1, atol=1e-5)


def test_a_frozen_backbone_keeps_weights_and_statistics(micro):
    encoder = micro().encoder
    image = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    encoder.freeze()
    before = encoder.backbone.stem[1].running_mean.clone()
    encoded = encoder.train()(image)
    (encoded.memory_BMD.sum() + encoded.context_BChw.sum()).backward()
    assert encoder.training and not encoder.backbone.training
    assert torch.equal(encoder.backbone.stem[1].running_mean, before)
    assert all(p.grad is None for p in encoder.backbone.parameters())
    assert encoder.memory.weight.grad is not None


def test_a_trained_backbone_gets_gradients(micro):
    encoder = micro().encoder.train()
    image = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    encoded = encoder(image)
    (encoded.memory_BMD.square().sum() + encoded.context_BChw.square().sum()).backward()
    assert encoder.backbone.stem[0].weight.grad.abs().sum() > 0


def test_bfloat16_beside_a_float32_backbone(micro):
    encoder = micro().encoder.bfloat16()
    encoder.backbone.float()
    encoded = encoder(torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0)))
    assert encoded.memory_BMD.dtype == encoded.context_BChw.dtype == torch.bfloat16
    assert encoded.small.log_depth_BHW.dtype == torch.float32


@pytest.fixture
def photo_network():
    """A small network on the photo encoder, fresh."""
    return new_network(MICRO_PHOTO, generator=torch.Generator().manual_seed(0)).eval()


def test_the_photo_encoder_gives_memory_context_and_its_own_depth(photo_network):
    image = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        encoded = photo_network.encode(image)
        said = photo_network.encoder.backbone(image)
    h, w = said.grid_hw
    assert encoded.memory_BMD.shape == (2, h * w, MICRO_PHOTO.memory_width)
    assert encoded.context_BChw.shape == (2, 8, 32, 48)
    assert torch.equal(encoded.small.log_depth_BHW, said.log_depth_BHW)
    assert said.tokens_BLD.std() > 1e-3  # fresh weights let the photo through


def test_tokens_of_the_photo_encoder_are_told_where_they_lie(photo_network, monkeypatch):
    encoder, image = photo_network.encoder, torch.full((1, 3, 64, 64), 0.5)
    with torch.no_grad():
        said = encoder.backbone(image)
        before = encoder(image).context_BChw
        tokens_BLD = said.tokens_BLD.clone()
        tokens_BLD[:, 0] += 10  # the upper left corner
        monkeypatch.setattr(
            encoder.backbone, "forward", lambda image_B3HW: said._replace(tokens_BLD=tokens_BLD)
        )
        moved = (encoder(image).context_BChw - before).abs().amax(dim=(0, 1))
    assert moved[:4, :4].max() > 1e-3 and moved[8:, 8:].max() == 0


def test_a_frozen_photo_encoder_keeps_its_statistics(photo_network):
    network = photo_network
    network.encoder.freeze()
    before = {n: t.clone() for n, t in network.encoder.backbone.state_dict().items()}
    encoded = network.train().encode(torch.rand(2, 3, 64, 64, generator=torch.Generator()))
    (encoded.memory_BMD.sum() + encoded.context_BChw.sum()).backward()
    assert all(torch.equal(t, before[n]) for n, t in network.encoder.backbone.state_dict().items())
    assert network.encoder.local.weight.grad.abs().sum() > 0


def test_a_fresh_network_on_the_photo_encoder_answers_with_its_depth(photo_network):
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        photo_network.encoder.backbone.decoder.globals[-1].bias[0] = 1.0  # about e metres
        sizes_hw = photo_network.sizes((64, 64))
        encoded = photo_network.encode(image)
        steps = sample_steps(photo_network, encoded, sizes_hw, stop_at=len(sizes_hw))
        said = at_size(encoded.small.log_depth_BHW[:, None], steps[-1].depth_B1hw.shape[-2:])
    assert (steps[-1].depth_B1hw.log() - said).abs().max() < 0.05
