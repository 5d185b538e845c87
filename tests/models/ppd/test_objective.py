"""Target and losses equal the golden training step; masks, sky and generators do what they say."""

import copy

import pytest
import torch

from nearfar.batch import DepthBatch
from nearfar.encoders.base import MetricGuess, SemanticsAndMetric
from nearfar.errors import ConfigError
from nearfar.models.ppd.network import new_network
from nearfar.models.ppd.objective import (
    PPDCorrectionObjective,
    PPDObjective,
    Target,
    flow_losses,
    log_depth_target,
)
from nearfar.models.ppd.presets import MICRO_PHOTO, TINY


class FakeEncoder:
    name, width, stride = "fake", TINY.semantics_width, TINY.coarse_patch

    def semantics(self, image):
        assert not torch.is_grad_enabled()
        tokens = image.shape[2] * image.shape[3] // self.stride**2
        ramp = torch.linspace(-1, 1, self.width)
        return image.mean() + ramp.expand(len(image), tokens, self.width)


@pytest.mark.parametrize(("kind", "weight"), [("pretrain", 0.0), ("finetune", 0.2)])
def test_training_step_equals_golden(golden_network, golden, kind, weight):
    io = golden("training")
    network = copy.deepcopy(golden_network)
    mask = io["train.mask"][:, 0].bool()
    target = log_depth_target(
        io["train.depth_gt"][:, 0], valid_BHW=mask, sky_BHW=torch.zeros_like(mask)
    )
    losses = flow_losses(
        network,
        io["train.image"],
        io["train.semantics"],
        target=target,
        noise_B1HW=io["train.noise"],
        timestep_B=io["train.timesteps"],
        gradient_weight=weight,
    )
    losses.total.backward()
    near = {"atol": 2e-6, "rtol": 1e-6}
    torch.testing.assert_close(losses.total.detach(), io[f"train.{kind}.loss"], **near)
    torch.testing.assert_close(
        network.final_layer.linear.bias.grad, io[f"train.{kind}.grad_final_linear_bias"], **near
    )
    norm = torch.stack([p.grad.square().sum() for p in network.parameters()]).sum().sqrt()
    torch.testing.assert_close(norm, io[f"train.{kind}.grad_norm"], atol=1e-5, rtol=2e-6)
    assert set(losses.parts) == ({"velocity", "gradient"} if weight else {"velocity"})


def batch():
    generator = torch.Generator().manual_seed(0)
    depth = torch.rand(2, 32, 48, generator=generator) * 9 + 1
    valid = torch.ones(2, 32, 48, dtype=torch.bool)
    sky = torch.zeros_like(valid)
    sky[0, :8], valid[0, :8], depth[0, :8] = True, False, 0
    valid[1, 20:], depth[1, 20:] = False, 0
    image = torch.rand(2, 3, 32, 48, generator=generator)
    return {"image": image, "depth": depth, "valid": valid, "sky": sky}


def losses_of(objective, samples, seed=5):
    return objective(
        DepthBatch(
            samples["image"],
            samples["depth"],
            valid_BHW=samples["valid"],
            sky_BHW=samples["sky"],
            fov_x_deg_B=torch.tensor([60.0, torch.nan]),
        ),
        generator=torch.Generator().manual_seed(seed),
    )


@pytest.fixture(scope="module")
def objective():
    network = new_network(TINY, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.final_layer.linear.bias.fill_(0.1)
    return PPDObjective(network, FakeEncoder(), gradient_weight=0.2)


def test_same_generator_same_loss_and_gradients_reach_the_network(objective):
    first, again = (losses_of(objective, batch()) for _ in range(2))
    other = losses_of(objective, batch(), seed=6)
    assert first.total == again.total != other.total
    first.total.backward()
    assert objective.network.final_layer.linear.weight.grad.abs().sum() > 0


def test_sky_is_the_far_end_and_unknown_pixels_do_not_count(objective):
    samples = batch()
    clean, usable = log_depth_target(
        samples["depth"], valid_BHW=samples["valid"], sky_BHW=samples["sky"]
    )
    assert (clean[0, 0, :8] == 0.5).all() and usable[0].all() and not usable[1, 0, 20:].any()
    noise = torch.zeros_like(clean)
    losses = flow_losses(
        lambda _x, _image, _semantics, *, timestep: torch.where(usable, 0.5, 1000.0) - clean,
        samples["image"],
        None,
        target=Target(clean, usable),
        noise_B1HW=noise,
        timestep_B=torch.tensor([500, 500]),
        gradient_weight=0.0,
    )
    assert torch.isclose(losses.total, torch.tensor(0.25))


@pytest.mark.parametrize("known", [0, 1, 12])
def test_sparse_and_absent_depth_give_finite_losses(objective, known):
    samples = batch()
    keep = torch.zeros(2 * 32 * 48, dtype=torch.bool)
    keep[torch.arange(known) * 97] = True
    samples["valid"] &= keep.view(2, 32, 48)
    samples["sky"][:] = False
    total = losses_of(objective, samples).total
    assert total.isfinite() and (known > 0 or total == 0)


def test_only_sky_teaches_the_far_end():
    depth, sky = torch.zeros(1, 8, 8), torch.ones(1, 8, 8, dtype=torch.bool)
    target = log_depth_target(depth, valid_BHW=~sky, sky_BHW=sky)
    assert isinstance(target, Target) and target.clean_B1HW.isfinite().all()


def test_negative_weight_is_refused():
    with pytest.raises(ConfigError, match=r"-0\.2"):
        PPDObjective(None, FakeEncoder(), gradient_weight=-0.2)


def test_start_share_out_of_range_is_refused():
    with pytest.raises(ConfigError, match=r"1\.5 is not within 0\.\.1"):
        PPDObjective(torch.nn.Identity(), None, gradient_weight=0.0, start_share=1.5)


class Knowing:
    """A joint encoder that answers with these metres."""

    name, width, stride = "knowing", MICRO_PHOTO.semantics_width, MICRO_PHOTO.coarse_patch

    def __init__(self, depth):
        self.depth = depth

    def both(self, image):
        tokens = image.shape[2] * image.shape[3] // self.stride**2
        guess = MetricGuess(self.depth, self.depth > 0, torch.full((len(image),), 60.0))
        return SemanticsAndMetric(torch.ones(len(image), tokens, self.width), guess)


def correction_losses(known, truth, network=None, **options):
    generator = torch.Generator().manual_seed(2)
    network = network or new_network(MICRO_PHOTO, generator=generator)
    objective = PPDCorrectionObjective(network, Knowing(known), **options)
    valid = torch.ones_like(truth, dtype=torch.bool)
    image = torch.rand(len(truth), 3, *truth.shape[1:], generator=generator)
    batch = DepthBatch(image, truth, valid, ~valid, torch.full((len(truth),), 60.0))
    return objective(batch, generator=generator)


def hill():
    return 2 + torch.linspace(0, 3, 48).expand(2, 32, 48).contiguous()


def test_a_perfect_encoder_leaves_nothing_to_correct():
    losses = correction_losses(hill(), hill())
    assert losses.parts["clean"].item() < 1e-3 and losses.parts["velocity"].item() < 1e-3
    assert losses.parts["gradient"].item() < 1e-2


def test_a_missed_box_is_an_error_of_every_part():
    truth = hill()
    truth[:, 10:20, 10:30] *= 0.5
    found, weighted = (
        correction_losses(hill(), truth),
        correction_losses(
            hill(),
            truth,
            velocity_weight=2.0,
            clean_weight=3.0,
            gradient_weight=0.0,
            spread_weight=0.0,
        ),
    )
    assert found.parts["clean"].item() > 0.02 and found.parts["gradient"].item() > 0.01
    parts = weighted.parts
    assert weighted.total.item() == pytest.approx(
        2 * parts["velocity"].item() + 3 * parts["clean"].item(), rel=1e-5
    )
    with pytest.raises(ConfigError, match="negative"):
        correction_losses(hill(), truth, clean_weight=-1.0)


def test_the_spread_learns_the_error_and_leaves_the_map_alone():
    truth = hill()
    truth[:, 10:20, 10:30] *= 0.5
    network = new_network(MICRO_PHOTO, generator=torch.Generator().manual_seed(2))
    options = {"clean_weight": 0.0, "gradient_weight": 0.0}
    heavy = correction_losses(hill(), truth, network, spread_weight=1.0, **options)
    light = correction_losses(hill(), truth, network, spread_weight=0.0, **options)
    (heavy.total - light.total).backward()
    gradient = network.detail.out.bias.grad  # choice, correction, spread
    assert gradient[:2].abs().max() < 1e-6
    assert gradient[2].abs() > 0.1  # ln b is too large: it is 0, b = 1
