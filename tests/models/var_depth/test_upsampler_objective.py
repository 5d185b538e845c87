"""The second stage learns to sharpen; its coarse maps are synthetic or the first stage's."""

import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.models.var_depth import upsampler_objective as module
from nearfar.models.var_depth.upsampler_objective import UpsamplerObjective, coarsened


@pytest.fixture
def network(micro):
    def build(kind="residual"):
        network = micro(upsampler=kind, upsampler_widths=(32, 32)).requires_grad_(False)
        network.upsampler.requires_grad_(True)
        return network

    return build


def batch(generator, count=2):
    depth = torch.linspace(8, 2, 32)[:, None].expand(count, 32, 48).clone()
    depth[:, 10:24, 12:30] = 1.5
    sky = torch.zeros(count, 32, 48, dtype=torch.bool)
    sky[:, :4] = True
    image = (depth[:, None] / 8).expand(-1, 3, -1, -1).clone()
    return {
        "image_B3HW": image + 0.02 * torch.rand(image.shape, generator=generator),
        "depth_BHW": torch.where(sky, 0.0, depth),
        "valid_BHW": ~sky,
        "sky_BHW": sky,
        "fov_x_deg_B": torch.full((count,), 60.0),
    }


def test_coarse_maps_are_blurred_noisy_and_in_range(generator):
    image = torch.where(torch.arange(64) < 30, -0.5, 0.5).expand(2, 1, 64, 64)
    for factor, blurred in ((2, 2), (8, 8)):
        found = coarsened(image, factor=factor, generator=generator)
        assert found.shape == image.shape and found.abs().max() <= 1
        clean = found - (found - image)[..., :16].mean(dim=(1, 2, 3), keepdim=True)
        between = ((clean.abs() < 0.35).float().mean(dim=(0, 1, 2)) > 0.5).sum()
        assert 1 <= between <= blurred
        assert 0.01 < (found - image)[..., :16].std(dim=(2, 3)).mean() < 0.03
    shifts = (found - image)[..., :16].mean(dim=(1, 2, 3))
    assert abs(float(shifts[0] - shifts[1])) > 1e-3
    assert coarsened(torch.zeros(1, 1, 12, 20), factor=8, generator=generator).shape[-1] == 20


def test_an_untrained_residual_stage_scores_its_coarse_map(network, generator, monkeypatch):
    built, given = network(), batch(generator)
    torch.nn.init.zeros_(built.upsampler.unet.conv_out.bias)
    objective = UpsamplerObjective(built, own_share=0.0, gradient_weight=0.25)
    monkeypatch.setattr(module, "coarsened", lambda image, **_: (image - 0.1).clamp(-1, 1))
    losses = objective(**given, generator=generator)
    assert losses.parts["absolute"] == pytest.approx(0.1, abs=0.02)  # -1 cannot go lower
    wanted = losses.parts["absolute"] + 0.5 * losses.parts["square"]
    torch.testing.assert_close(losses.total, wanted + 0.25 * losses.parts["gradient"])
    losses.total.backward()
    assert built.upsampler.unet.conv_out.weight.grad.abs().sum() > 0
    first = [p for name, p in built.named_parameters() if not name.startswith("upsampler.")]
    assert all(p.grad is None for p in first)


def test_half_of_the_batches_are_the_first_stages_own(network, generator, monkeypatch):
    objective, asked = UpsamplerObjective(network(), own_share=0.5), []
    first_stage = UpsamplerObjective.first_stage

    def watched(self, *given):
        asked.append(first_stage(self, *given))
        return asked[-1]

    monkeypatch.setattr(UpsamplerObjective, "first_stage", watched)
    for _ in range(12):
        objective(**batch(generator, 1), generator=generator)
    assert 2 <= len(asked) <= 10
    assert asked[0].shape == (1, 1, 32, 48) and not asked[0].requires_grad


def test_loss_falls_on_one_batch(network, generator):
    built, given = network(), batch(generator)
    objective = UpsamplerObjective(built, own_share=0.0)
    optimizer = torch.optim.AdamW(built.upsampler.parameters(), lr=2e-3)
    losses = []
    for _ in range(14):
        loss = objective(**given, generator=torch.Generator().manual_seed(5)).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_only_the_released_network_is_shown_timesteps(network, generator, monkeypatch):
    monkeypatch.setattr(
        "nearfar.models.var_depth.pixel_upsampler.RELEASED_HW", (32, 48)
    )  # 384x640 in a test costs seconds
    seen = {}
    for kind in ("released", "residual"):
        built = network(kind)
        watch = built.upsampler.unet.time_embedding.register_forward_pre_hook(
            lambda _, given, kind=kind: seen.__setitem__(kind, given[0])
        )
        UpsamplerObjective(built, own_share=0.0)(**batch(generator), generator=generator)
        watch.remove()
    assert not seen["residual"].any()
    assert seen["released"].min() > 0 and seen["released"].max() < 1000
    assert torch.equal(seen["released"], seen["released"].floor())


@pytest.mark.parametrize(
    ("options", "message"),
    [({"own_share": 1.5}, "1.5 is not"), ({"gradient_weight": -1.0}, "negative")],
)
def test_impossible_options(network, options, message):
    with pytest.raises(ConfigError, match=message):
        UpsamplerObjective(network(), **options)


def test_a_network_of_one_stage_is_refused(micro):
    with pytest.raises(ConfigError, match="no second stage"):
        UpsamplerObjective(micro())
