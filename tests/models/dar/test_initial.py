"""Fresh weights: from the generator alone, by the stated distributions, nothing left unset."""

import math
from dataclasses import replace

import torch

from nearfar.encoders.dinov2 import DinoV2Config
from nearfar.models.dar.initial import new_network
from nearfar.models.dar.presets import RELEASED


def test_same_generator_same_weights(micro):
    before = torch.random.get_rng_state()
    first, second = micro().state_dict(), micro().state_dict()
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(tensor.isfinite().all() for tensor in first.values())


def test_distributions(micro):
    network = micro()
    qkv = network.transformer.mid_block[0].self_attn.qkv.weight
    bound = math.sqrt(6 / (32 + 32))  # each of q, k, v on its own
    assert 0.95 * bound < qkv.abs().max() <= bound
    assert (network.transformer.mid_block[0].self_attn.qkv.bias == 0).all()
    assert (network.query_tokens == 0).all() and (network.level_embedding == 0).all()
    assert (network.transformer.mid_block[0].norm1.weight == 1).all()
    assert (network.encoder.backbone.scale2[0].norm2.weight == 0).all()
    assert (network.encoder.backbone.stem[1].running_var == 1).all()
    assert network.feedback.weight.abs().max() > 0


def test_released_decoder_and_vit():
    config = replace(
        RELEASED,
        vit=DinoV2Config(width=16, depth=4, heads=2, grid=4),
        neck_widths=(16, 16, 16, 16),
        context_width=16,
        layers=3,
        width=16,
        heads=2,
        token_width=32,
        memory_width=16,
        hidden_width=16,
        bin_width=8,
    )
    network = new_network(config, generator=torch.Generator().manual_seed(0))
    up = network.token_decoder.deconv_layers[0].weight
    assert 0.0009 < up.std() < 0.0011
    assert (network.encoder.backbone.blocks[0].ls1.gamma == 1).all()
    assert network.encoder.backbone.blocks[0].attn.qkv.weight.std() > 0.05
    with torch.no_grad():
        encoded = network.eval().encode(torch.rand(1, 3, 40, 50, generator=torch.Generator()))
    assert encoded.memory_BMD.shape == (1, 16, 16)  # padded to 56 x 56
