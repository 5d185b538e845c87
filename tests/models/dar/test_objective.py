"""SILog equals the golden values; gradients reach query tokens and encoder; masks count."""

import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.models.dar.objective import DARObjective, silog_losses
from nearfar.models.dar.sample import at_size


def test_silog_equals_golden(golden):
    values = golden("silog_loss")
    low = values["pred_lowres"].clone().requires_grad_()
    losses = silog_losses([at_size(step, (24, 32))[:, 0] for step in low], values["gt"])
    losses.total.backward()
    near = {"rtol": 1e-5, "atol": 1e-7}
    torch.testing.assert_close(losses.total.detach()[None], values["loss"], **near)
    parts = torch.stack([*losses.parts.values()])
    torch.testing.assert_close(parts, values["loss_steps"], **near)
    torch.testing.assert_close(low.grad, values["grad_pred"], **near)


def batch(height=32, width=48):
    generator = torch.Generator().manual_seed(0)
    depth = torch.rand(2, height, width, generator=generator) * 9 + 1
    valid = torch.rand(2, height, width, generator=generator) > 0.2
    return {
        "image_B3HW": torch.rand(2, 3, height, width, generator=generator),
        "depth_BHW": torch.where(valid, depth, 0.0),
        "valid_BHW": valid,
        "sky_BHW": torch.zeros_like(valid),
        "fov_x_deg_B": torch.tensor([60.0, torch.nan]),
    }


def losses_of(objective, samples, seed=1):
    samples = dict(samples)
    image, depth = samples.pop("image_B3HW"), samples.pop("depth_BHW")
    return objective(image, depth, **samples, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("options", [{}, {"is_checkpointed": True}])
def test_gradients_reach_query_tokens_and_encoder(micro, options):
    network = micro().train()
    losses = losses_of(DARObjective(network, **options), batch(36, 52))
    losses.total.backward()
    assert set(losses.parts) == {f"step_{k}" for k in range(1, 6)}
    assert torch.isclose(losses.total, sum(losses.parts.values()))
    for parameter in (
        network.query_tokens,
        network.level_embedding,
        network.encoder.backbone.stem[0].weight,
        network.transformer.mid_block[0].self_attn.qkv.weight,
        network.feedback.weight,
    ):
        assert parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0
    unused = [n for n, p in network.named_parameters() if p.grad is None]
    assert all(n.startswith("encoder.backbone.") for n in unused), unused


def test_no_valid_pixel_costs_nothing(micro):
    network, samples = micro().train(), batch()
    samples["valid_BHW"] = torch.zeros_like(samples["valid_BHW"])
    losses = losses_of(DARObjective(network), samples)
    losses.total.backward()
    assert losses.total == 0 and (network.query_tokens.grad == 0).all()


def test_perfect_depth_has_finite_gradients():
    truth = torch.full((1, 4, 4), 3.0)
    depth = truth.clone().requires_grad_()
    silog_losses([depth], truth).total.backward()
    assert depth.grad.isfinite().all()


def test_unknown_pixels_and_padding_do_not_count(micro):
    samples = batch()
    objective = DARObjective(micro())
    first = losses_of(objective, samples).total
    samples["depth_BHW"] = torch.where(samples["valid_BHW"], samples["depth_BHW"], 77.0)
    assert losses_of(objective, samples).total == first


def test_truth_beyond_the_range_may_be_capped(micro):
    samples = batch()
    samples["depth_BHW"] = samples["depth_BHW"] * 100
    network = micro()
    capped = losses_of(DARObjective(network, is_capped=True), samples).total
    assert capped != losses_of(DARObjective(network), samples).total
    samples["depth_BHW"] = samples["depth_BHW"].clamp_max(100)
    assert capped == losses_of(DARObjective(network), samples).total


def test_augmentation_draws_from_the_generator_in_training_only(micro):
    network, samples = micro(), batch()
    objective = DARObjective(network, cut_depth=1.0, cut_flip=1.0)
    assert losses_of(objective, samples).total == losses_of(objective, samples, seed=2).total
    network.train()
    one, again, other = (losses_of(objective, samples, seed=s).total for s in (1, 1, 2))
    assert one == again != other


def test_frozen_encoder_and_refusals(micro):
    network = micro()
    DARObjective(network, freeze_encoder=True)
    assert not any(p.requires_grad for p in network.encoder.backbone.parameters())
    with pytest.raises(ConfigError, match=r"cut_depth: 1\.5"):
        DARObjective(network, cut_depth=1.5)
    network.encoder = torch.nn.Identity()
    with pytest.raises(ConfigError, match="only the tiny encoder"):
        DARObjective(network, freeze_encoder=True)


@pytest.mark.parametrize("options", [{}, {"has_prior": True, "is_grid_per_step": False}])
def test_training_reduces_the_loss(micro, options):
    network = micro(**options).train()
    objective, samples = DARObjective(network), batch()
    rows = torch.linspace(8, 1, 32)[:, None].expand(32, 48)
    samples |= {"depth_BHW": torch.stack([rows, rows]), "valid_BHW": rows.expand(2, -1, -1) > 0}
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    values = []
    for _ in range(12):
        losses = losses_of(objective, samples)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        values.append(losses.total.item())
    assert values[-1] < 0.5 * values[0]


def test_the_likelihood_joins_the_loss(micro):
    samples = batch(36, 52)
    plain = losses_of(DARObjective(micro().train()), samples)
    network = micro().train()
    losses = losses_of(DARObjective(network, likelihood=0.5), samples)
    assert set(losses.parts) - set(plain.parts) == {"bins"}
    extra = 0.5 * float(losses.parts["bins"])
    assert extra > 0.1
    assert float(losses.total.detach()) == pytest.approx(float(plain.total.detach()) + extra)
    losses.total.backward()
    assert network.probability.conv2.bias.grad.abs().sum() > 0
