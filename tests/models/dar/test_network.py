"""Sizes of the presets, and the parts a step is made of."""

import math
from dataclasses import replace

import pytest
import torch

from nearfar.encoders.dinov2 import DinoV2Config
from nearfar.errors import ConfigError
from nearfar.models.dar.keys import dead_parameters
from nearfar.models.dar.network import grid_positions, new_network
from nearfar.models.dar.presets import PRESETS, RELEASED
from nearfar.models.dar.transformer import CachedRun, RecomputedRun

# what spec dar.md section 9 counts: with dead weights, without levels and feedback
SPEC = {
    "small": (438_350_410, 435_997_712),
    "base": (1_010_720_554, 1_008_367_856),
    "large": (2_012_605_642, 2_010_252_944),
    "released": (977_687_242, 975_030_416),
}


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", SPEC)
def test_presets_have_the_exact_sizes(meta, name):
    network = meta(PRESETS[name])
    ours = 0
    if network.level_embedding is not None:
        ours = network.level_embedding.numel() + count(network.feedback)
    spec, own = SPEC[name]
    assert count(network) == own
    assert own - ours + dead_parameters(network.config) == spec


@pytest.mark.parametrize("name", ["tiny", "tiny_photo"])
def test_tiny_fits_into_its_file(meta, name):
    assert 2 * count(meta(PRESETS[name])) < 25e6


def test_parts_of_the_released_network(meta):
    network = meta(RELEASED)
    parts = {name: count(part) for name, part in network.named_children()}
    assert parts["transformer"] == 625_340_928 and parts["gru"] == 3_687_552
    assert parts["bin_projection"] == 395_648 and parts["probability"] == 359_632
    assert parts["token_decoder"] == 260_864 and network.query_tokens.numel() == 30_720
    # the whole of spec section 9 without the mask token, spare units and output convolutions
    assert parts["encoder"] == 304_368_640 + 42_909_561 - 1024 - 1_843_840 - 478_265


def test_queries_are_stored_for_three_by_four_and_resized(micro):
    network = micro()
    with torch.no_grad():
        network.query_tokens.normal_(generator=torch.Generator().manual_seed(0))
    h, w = network.sizes((96, 128))[0]
    same = network.queries((h, w), 2)
    assert torch.equal(same.flatten(2).transpose(1, 2)[1], network.query_tokens[0])
    assert network.queries((3, 5), 2).shape == (2, 16, 3, 5)


def test_tokens_know_place_and_step(micro):
    network = micro()
    with torch.no_grad():
        network.level_embedding[1] = 5
    flat = torch.zeros(1, 16, 3, 4)
    first, second = (network.input_tokens(flat, step=k) for k in (0, 1))
    assert torch.allclose(second - first, torch.full_like(first, 5.0))
    assert len({tuple(row) for row in first[0].tolist()}) == 12
    plain = micro(has_embeddings=False)
    assert (plain.input_tokens(flat, step=1) == 0).all()


def test_positions_agree_between_grids():
    # place 1/6 is the first of 3 rows and lies between rows 0 and 1 of 6
    coarse = grid_positions((3, 3), width=16, like=torch.zeros(())).view(3, 3, 16)
    fine = grid_positions((9, 9), width=16, like=torch.zeros(())).view(9, 9, 16)
    assert torch.allclose(coarse, fine[1::3, 1::3], atol=1e-5)


def test_feedback_reaches_the_next_input(micro):
    network = micro()
    tokens, hidden = torch.zeros(1, 16, 3, 4), torch.ones(1, 8, 24, 32)
    assert network.next_input(tokens, hidden, (4, 6)).abs().max() > 0
    plain = micro(feedback="transformer")
    assert (plain.next_input(tokens, hidden, (4, 6)) == 0).all()


def test_a_cache_needs_the_mask(micro):
    memory = torch.zeros(1, 5, 24)
    assert isinstance(micro().begin(memory, [(2, 2)]), CachedRun)
    run = micro(is_masked=False).begin(memory, [(2, 2)])
    assert isinstance(run, RecomputedRun) and not run.is_masked


def test_bins_in_log_metres(micro):
    network = micro()
    bins = network.first_bins((2, 2), torch.zeros(1, 1, 1))
    edges = bins.edges().exp()
    assert torch.allclose(edges[0, [0, -1], 0, 0], torch.tensor([0.1, 100.0]))
    found = network.in_metres(bins_found := bins_expectation(bins))
    assert torch.allclose(found.depth_B1hw, bins_found.depth_B1hw.exp())
    assert torch.allclose(found.spread_B1hw, found.depth_B1hw * bins_found.spread_B1hw)


def bins_expectation(bins):
    from nearfar.models.dar.bins import expectation

    return expectation(torch.full_like(bins.centers(), 1 / 8), bins.centers())


def test_what_is_no_photo_is_named(micro):
    with pytest.raises(ConfigError, match=r"photo \[1, 1, 32, 48\]"):
        micro().encode(torch.zeros(1, 1, 32, 48))
    with pytest.raises(ConfigError, match="photo"):
        micro().encode(torch.zeros(1, 3, 0, 48))
    with pytest.raises(ConfigError, match="5x9 pixels is smaller than its grid of 7x7 tokens"):
        micro(last_grid=(6, 8)).encode(torch.zeros(1, 3, 5, 9))


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
