"""The PPD transformer equals the golden vectors, in every intermediate and in all precisions."""

import copy

import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.models.ppd.network import PPDNetwork, new_network, velocity_to
from nearfar.models.ppd.presets import LARGE, MICRO_PHOTO, TINY


def run(network, io, name):
    x, image = io[f"{name}.x"][:, :1], io[f"{name}.x"][:, 1:] + 0.5
    with torch.no_grad():
        return network(x, image, io[f"{name}.semantics"], timestep=io[f"{name}.timestep"])


# The golden frequencies differ from a correctly rounded exp by one bit, times a timestep of 1000;
# `test_output_is_tighter_with_the_golden_sinusoid` shows that nothing else differs.
def close(actual, expected, tolerance=2e-5):
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", ["wide", "tall"])
def test_output_equals_golden(golden_network, golden, name):
    io = golden("dit_tiny_io")
    close(run(golden_network, io, name), io[f"{name}.out"])
    close(golden_network.t_embedder(io[f"{name}.timestep"]), io[f"{name}.t_emb"])


def test_output_is_tighter_with_the_golden_sinusoid(golden_network, golden, monkeypatch):
    io = golden("dit_tiny_io")
    rows = [io["freq.t"].tolist().index(t) for t in io["wide.timestep"].tolist()]
    wave = io["freq.embedding256"][rows]
    monkeypatch.setattr("nearfar.layers.timestep.timestep_sinusoid", lambda _t, channels: wave)
    close(run(golden_network, io, "wide"), io["wide.out"], 4e-6)


def test_intermediates_equal_golden(golden_network, golden):
    io, seen = golden("dit_tiny_io"), {}
    network = copy.deepcopy(golden_network)
    stages = {
        "tokens_patch": network.x_embedder,
        "proj_fusion_out": network.proj_fusion,
        **{f"block{i}_out": block for i, block in enumerate(network.blocks)},
    }
    for key, stage in stages.items():
        stage.register_forward_hook(lambda _m, _a, out, key=key: seen.update({key: out}))
    network.blocks[2].register_forward_pre_hook(lambda _m, a: seen.update(block2_in=a[0]))
    run(network, io, "tall")
    assert len(seen) == 7
    for key, value in seen.items():
        close(value, io[f"tall.{key}"])


def test_token_stream_is_contiguous(golden_network, golden):
    network, flags = copy.deepcopy(golden_network), []
    for block in network.blocks:
        block.register_forward_pre_hook(lambda _m, a: flags.append(a[0].is_contiguous()))
    run(network, golden("dit_tiny_io"), "wide")
    assert flags == [True] * 4


def test_one_timestep_for_the_batch_equals_one_each(golden_network, golden):
    io = golden("dit_tiny_io")
    x, image = io["wide.x"][:, :1], io["wide.x"][:, 1:] + 0.5
    with torch.no_grad():
        shared = golden_network(x, image, io["wide.semantics"], timestep=249)
        each = golden_network(
            x, image, io["wide.semantics"], timestep=torch.tensor([249, 249], dtype=torch.int32)
        )
    close(shared, each, 2e-5)


def test_bfloat16_weights_and_autocast_stay_close(golden_network, golden):
    io = golden("dit_tiny_io")
    exact = io["wide.out"]
    low = run(copy.deepcopy(golden_network).to(torch.bfloat16), io, "wide")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = run(golden_network, io, "wide")
    for out in (low, cast):
        assert out.dtype == torch.float32
        assert (out - exact).square().mean().sqrt() < 0.02 * exact.std()


def test_zero_semantics_are_safe(golden_network, golden):
    io = golden("dit_tiny_io")
    io["tall.semantics"] = torch.zeros_like(io["tall.semantics"])
    assert run(golden_network, io, "tall").isfinite().all()


def test_large_preset_has_the_published_size():
    with torch.device("meta"):
        network = PPDNetwork(LARGE)
    parameters = list(network.parameters())
    assert sum(p.numel() for p in parameters) == 499_842_112
    assert len(parameters) == len(network.state_dict()) == 352


def test_fresh_network_outputs_zero_and_learns():
    before = torch.random.get_rng_state()
    network = new_network(TINY, generator=torch.Generator().manual_seed(1))
    assert torch.equal(before, torch.random.get_rng_state())
    side = 2 * TINY.coarse_patch
    noise = torch.randn(1, 1, side, side, generator=torch.Generator().manual_seed(2))
    image = torch.full((1, 3, side, side), 0.3)
    semantics = torch.randn(1, 4, TINY.semantics_width, generator=torch.Generator().manual_seed(3))
    velocity = network(noise, image, semantics, timestep=500)
    assert (velocity == 0).all()
    (velocity - 1).square().mean().backward()
    assert network.final_layer.linear.bias.grad.abs().sum() > 0
    assert network.blocks[0].attn.qkv.weight.std() > 0.01
    embedding = network.t_embedder.mlp[0].weight
    assert 0.019 < embedding.std() < 0.021 and network.t_embedder.mlp[2].bias.abs().sum() == 0


def test_same_generator_gives_same_weights():
    first, second = (
        new_network(TINY, generator=torch.Generator().manual_seed(7)).state_dict() for _ in range(2)
    )
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_inputs_that_do_not_fit_are_named(golden_network):
    image = torch.zeros(1, 3, 32, 48)
    with pytest.raises(ConfigError, match="multiple of 16"):
        golden_network(
            torch.zeros(1, 1, 40, 48), torch.zeros(1, 3, 40, 48), torch.zeros(1, 6, 96), timestep=1
        )
    with pytest.raises(ConfigError, match=r"semantics \[6, 64\], expected \[6, 96\]"):
        golden_network(image[:, :1], image, torch.zeros(1, 6, 64), timestep=1)


def clean_case(batch=2, height=64, width=96):
    generator = torch.Generator().manual_seed(3)
    network = new_network(MICRO_PHOTO, generator=generator)
    draw = {"generator": generator}
    x, anchor = (torch.randn(batch, 1, height, width, **draw) for _ in range(2))
    image = torch.rand(batch, 3, height, width, **draw)
    tokens = (height // 16) * (width // 16)
    return network, (x, image, torch.randn(batch, tokens, 80, **draw)), anchor


def test_a_clean_network_begins_at_its_anchor_exactly():
    network, given, anchor = clean_case()
    found = network.clean_map(*given, timestep=700, anchor_B1HW=anchor)
    assert torch.equal(found.clean_B1HW, anchor)
    assert torch.equal(found.log_spread_B1HW, torch.zeros_like(anchor))


def test_its_velocity_points_at_the_clean_map():
    network, given, anchor = clean_case()
    torch.nn.init.normal_(
        network.detail.out.weight, std=0.1, generator=torch.Generator().manual_seed(1)
    )
    clean = network.clean_map(*given, timestep=400, anchor_B1HW=anchor).clean_B1HW
    assert (clean - anchor).abs().max() > 1e-3
    velocity = network(*given, timestep=400, anchor_B1HW=anchor)
    torch.testing.assert_close(given[0] - 0.4 * velocity, clean, atol=1e-5, rtol=1e-5)
    at_the_end = velocity_to(clean, given[0], 0)  # no division by zero
    torch.testing.assert_close(at_the_end, (given[0] - clean) / 0.05)


def test_detail_reaches_single_pixels():
    network, given, anchor = clean_case(batch=1)
    torch.nn.init.normal_(
        network.detail.out.weight, std=0.1, generator=torch.Generator().manual_seed(1)
    )
    before = network.clean_map(*given, timestep=400, anchor_B1HW=anchor).clean_B1HW
    dot = given[1].clone()
    dot[0, :, 20, 33] = 1 - dot[0, :, 20, 33]
    after = network.clean_map(given[0], dot, given[2], timestep=400, anchor_B1HW=anchor).clean_B1HW
    moved = (after - before).abs()[0, 0]
    assert moved[17:24, 30:37].max() > 5 * moved[40:].max()


def test_velocity_networks_have_no_clean_map():
    network = new_network(TINY, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ConfigError, match="predicts velocities"):
        network.clean_map(
            *(torch.zeros(1, 1, 8, 8) for _ in range(3)), timestep=1, anchor_B1HW=torch.zeros(1)
        )
