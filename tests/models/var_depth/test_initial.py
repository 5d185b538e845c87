from dataclasses import replace

import torch

from nearfar.models.var_depth.initial import new_network
from nearfar.models.var_depth.presets import MICRO

COMPAT = replace(
    MICRO,
    condition="adapter",
    prefix_mode="static",
    spatial="none",
    has_null=False,
    upsampler="residual",
    upsampler_widths=(32, 32),
)


def test_same_seed_same_weights_and_no_global_draws():
    state = torch.random.get_rng_state()
    first, second = (new_network(MICRO, generator=torch.Generator().manual_seed(1)) for _ in "ab")
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
        assert value.isfinite().all(), name


def test_what_places_the_photo_starts_at_zero_and_gates_open():
    network = new_network(MICRO, generator=torch.Generator().manual_seed(1))
    assert network.ladder.into.abs().max() == 0 and network.ladder.gain_KC.abs().max() == 0
    bias = network.transformer.blocks[0].ada_lin[1].bias
    assert bias[:64].eq(0.5).all() and bias[64:].eq(0).all()
    assert network.transformer.crop_embed.weight.std() > 0.2
    assert network.condition.null_pooled_D.std() > 0.2
    assert not any(p.requires_grad for p in network.tokenizer.parameters())


def test_released_parts_start_as_released():
    network = new_network(COMPAT, generator=torch.Generator().manual_seed(1))
    adapter = network.prompt.adapter
    assert abs(adapter.alpha_logit.item() - 0.1) < 1e-6 and adapter.prefix_delta_logit.item() == -2
    assert 0.01 < network.prompt.static_prefix_KMD.std() < 0.03
    assert network.upsampler.unet.conv_out.weight.abs().max() == 0
    assert network.prompt.text_context_MD.abs().max() == 0
