from dataclasses import replace

import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.models.var_depth.network import VarDepthNetwork, new_network
from nearfar.models.var_depth.presets import COMPAT, GEO, MICRO, TINY


def inputs_of(network, generator, batch=2):
    """A made-up f_hat at the size of every later scale."""
    width = network.config.tokenizer.code_width
    return [
        torch.randn(batch, width, side, side, generator=generator)
        for side in network.config.tokenizer.scales[1:]
    ]


def stepwise(network, inputs, given, cache=None):
    u, found = None, []
    for scale in range(len(network.config.tokenizer.scales)):
        part = None if scale == 0 else inputs[scale - 1]
        logits, u = network.step(part, given, scale=scale, u_BChw=u, cache=cache)
        found.append(logits)
    return torch.cat(found, dim=1)


@pytest.mark.parametrize("spatial", ["ladder", "concat", "none"])
@torch.inference_mode()
def test_scale_by_scale_is_the_masked_pass(micro, photo, generator, spatial):
    network = micro(spatial=spatial)
    inputs, given = inputs_of(network, generator), network.condition_on(photo)
    masked = network.all_logits(inputs, given, masked=True)
    assert masked.shape == (2, network.config.tokenizer.token_count, 16)
    torch.testing.assert_close(network.all_logits(inputs, given), masked, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(stepwise(network, inputs, given), masked, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_cached_scales_are_the_masked_pass(micro, photo, generator):
    network = micro(is_causal=True)
    inputs, given = inputs_of(network, generator), network.condition_on(photo)
    masked = network.all_logits(inputs, given)
    cache = network.transformer.new_cache(2, given.conditions)
    cached = stepwise(network, inputs, given, cache)
    torch.testing.assert_close(cached, masked, atol=1e-5, rtol=1e-4)
    assert cache.length == network.config.tokenizer.token_count
    alone = replace(network.config, is_causal=False)
    network.transformer.config = alone  # it does look back
    assert (network.all_logits(inputs, given, masked=True) - masked).abs().max() > 1e-3


@torch.inference_mode()
def test_ladder_starts_as_the_network_without(micro, photo, generator):
    with_ladder, without = micro(placing=False), micro(spatial="none")
    own = with_ladder.state_dict()
    without.load_state_dict({name: own[name] for name in without.state_dict()})
    inputs = inputs_of(without, generator)
    torch.testing.assert_close(
        with_ladder.all_logits(inputs, with_ladder.condition_on(photo)),
        without.all_logits(inputs, without.condition_on(photo)),
    )


def spread_over_places(network, photo):
    """How much logits of the last scale vary in space where f_hat does not."""
    vq = network.config.tokenizer
    flat = [torch.ones(1, vq.code_width, side, side) for side in vq.scales[1:]]
    logits = network.all_logits(flat, network.condition_on(photo[:1]))
    return float(logits[:, -(vq.grid**2) :].std(dim=1).max())


@torch.inference_mode()
def test_only_placed_photos_reach_their_places(micro, photo):
    """The released way cannot say where: cross-attention and rope keep a flat input flat."""
    assert spread_over_places(micro(spatial="none"), photo) < 1e-5
    for spatial in ("ladder", "concat"):
        assert spread_over_places(micro(spatial=spatial), photo) > 1e-2


@torch.inference_mode()
def test_dropped_photos_are_no_photo(micro, photo, generator):
    network = micro()
    inputs = inputs_of(network, generator)
    keep = torch.tensor([True, False])
    mixed = network.all_logits(inputs, network.condition_on(photo, keep_B=keep))
    given = network.all_logits(inputs, network.condition_on(photo))
    none = network.all_logits(inputs, network.unconditional())
    torch.testing.assert_close(mixed[0], given[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(mixed[1], none[1], atol=1e-5, rtol=1e-4)
    assert (given[1] - none[1]).abs().max() > 1e-3


def test_compat_has_the_released_parts_and_cannot_be_guided():
    with torch.device("meta"):
        network = VarDepthNetwork(COMPAT)
    counts = {name: sum(p.numel() for p in m.parameters()) for name, m in network.named_children()}
    prefix = 10 * 8 * 2048
    assert counts == {
        "transformer": 2_470_518_256,
        "prompt": 15_472_003 + prefix,
        "upsampler": 26_622_785,
        "tokenizer": 108_948_355,
    }
    with pytest.raises(ConfigError, match="no unconditional branch"):
        network.unconditional()


def test_geo_stands_on_the_same_transformer():
    with torch.device("meta"):
        network = VarDepthNetwork(GEO)
    counts = {name: sum(p.numel() for p in m.parameters()) for name, m in network.named_children()}
    assert counts["transformer"] == 2_470_518_256 and counts["tokenizer"] == 108_948_355
    assert counts["condition"] == 5_773_056
    assert counts["ladder"] == 26_624_512


def test_released_conditions_run(generator):
    config = replace(
        MICRO,
        condition="adapter",
        prefix_mode="hybrid_conditional",
        spatial="none",
        has_null=False,
    )
    network = VarDepthNetwork(config)
    given = network.condition_on(torch.rand(1, 3, 40, 40, generator=generator))
    assert given.features is None and given.conditions.bias_B11M.shape == (1, 1, 1, 157)
    assert network.all_logits(inputs_of(network, generator, 1), given).isfinite().all()


class Encoder:
    name = "made"

    def __init__(self, width, stride=4):
        self.width, self.stride = width, stride

    def semantics(self, image_B3HW):
        cells = torch.nn.functional.avg_pool2d(image_B3HW[:, :1], self.stride)
        weights = torch.arange(1.0, self.width + 1)
        return cells.flatten(2).transpose(1, 2) * weights


def test_semantics_of_an_encoder_are_the_photo(micro, photo, generator):
    network = micro(photo="encoder", semantics_width=6)
    given = network.condition_on(photo, encoder=Encoder(6))
    assert given.features.fine_BCHW.shape[-1] == 40 and given.features.middle_BCHW.shape[-1] == 20
    assert network.all_logits(inputs_of(network, generator), given).shape == (2, 385, 16)
    for wrong in (None, Encoder(5)):
        with pytest.raises(ConfigError, match="VAR-Depth"):
            network.condition_on(photo, encoder=wrong)


def test_an_encoder_of_another_stride_sees_a_larger_photo(micro, generator):
    network = micro(photo="encoder", semantics_width=6)
    large = torch.rand(2, 3, 120, 160, generator=generator)
    fine, coarse = (
        network.condition_on(large, encoder=Encoder(6, stride)).features for stride in (4, 8)
    )
    assert coarse.coarse_BChw.shape == (2, 6, 10, 10) and coarse.fine_BCHW.shape[-1] == 40
    torch.testing.assert_close(fine.coarse_BChw, coarse.coarse_BChw, atol=1e-2, rtol=0)
    torch.testing.assert_close(fine.fine_BCHW, coarse.fine_BCHW, atol=1e-2, rtol=0)


def test_tiny_fits_into_25_mb_of_half_floats():
    with torch.device("meta"):
        network = VarDepthNetwork(TINY)
    assert 2 * sum(t.numel() for t in network.state_dict().values()) < 25e6
    assert len(TINY.tokenizer.scales) == 10 and TINY.tokenizer.image_size == 96


@torch.inference_mode()
def test_bfloat16_stays_near(micro, photo, generator):
    network = micro()
    inputs = inputs_of(network, generator)
    wanted = network.all_logits(inputs, network.condition_on(photo))
    network.cast(torch.bfloat16)
    found = network.all_logits(inputs, network.condition_on(photo))
    assert found.dtype == torch.float32
    assert (found - wanted).abs().mean() < 0.05 * wanted.std()


ADAPTED = replace(
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
    network = new_network(ADAPTED, generator=torch.Generator().manual_seed(1))
    adapter = network.prompt.adapter
    assert abs(adapter.alpha_logit.item() - 0.1) < 1e-6 and adapter.prefix_delta_logit.item() == -2
    assert 0.01 < network.prompt.static_prefix_KMD.std() < 0.03
    assert network.upsampler.unet.conv_out.weight.abs().max() == 0
    assert network.prompt.text_context_MD.abs().max() == 0
