"""The batch's way into the losses: squash, encode, stochastic depth, Gumbel noise."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.models.base import Losses
from nearfar.models.depthart.code_objective import CodeObjective, code_losses, gumbel_noise
from nearfar.models.depthart.network import new_network
from nearfar.models.depthart.objective import DynamicTargets, TeacherForcing
from nearfar.models.depthart.presets import MICRO


@pytest.fixture(scope="module")
def network():
    return new_network(MICRO, generator=torch.Generator().manual_seed(0))


def call(objective, depth, valid, seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.full((len(depth), 3, *depth.shape[-2:]), 0.5)
    return objective(
        image,
        depth,
        valid_BHW=valid,
        sky_BHW=torch.zeros_like(valid),
        fov_x_deg_B=torch.full((len(depth),), torch.nan),
        generator=generator,
    )


class Recorder(CodeObjective):
    def losses(self, photo_BMC, f_BCHW, *, generator):
        self.seen = photo_BMC, f_BCHW
        return Losses(f_BCHW.sum(), {})


def test_maps_reach_the_tokenizer_as_images(network):
    objective = Recorder(network)
    depth = torch.linspace(1, 9, 2 * 30 * 40).view(2, 30, 40)
    call(objective, depth, torch.ones(2, 30, 40, dtype=torch.bool))
    photo, f = objective.seen
    assert photo.shape == (2, 30, 4) and f.shape == (2, 4, 4, 4)
    assert f.dtype == torch.float32 and not f.requires_grad


class Pooled:
    name, width, stride = "pooled", 3, 4

    def semantics(self, image):
        tokens = torch.nn.functional.avg_pool2d(image, 4).flatten(2).transpose(1, 2)
        return tokens * torch.tensor([1.0, 2.0, 4.0])


@pytest.mark.parametrize("kind", [TeacherForcing, DynamicTargets])
def test_depth_of_one_channel_is_learnt_beside_an_encoder(kind):
    tokenizer = replace(MICRO.tokenizer, image_channels=1)
    config = replace(MICRO, prefix="encoder", semantics_width=3, tokenizer=tokenizer)
    network = new_network(config, generator=torch.Generator().manual_seed(0))
    depth = torch.linspace(1, 9, 2 * 30 * 40).view(2, 30, 40)
    losses = call(kind(network, Pooled()), depth, torch.ones(2, 30, 40, dtype=torch.bool))
    losses.total.backward()
    assert network.semantic_prefix.embed.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in network.tokenizer.parameters())


@pytest.mark.parametrize("kind", [TeacherForcing, DynamicTargets])
def test_a_single_scale_is_plain_classification(kind):
    config = replace(MICRO, tokenizer=replace(MICRO.tokenizer, scales=(4,)))
    network = new_network(config, generator=torch.Generator().manual_seed(0))
    depth = torch.linspace(1, 9, 2 * 30 * 40).view(2, 30, 40)
    losses = call(kind(network), depth, torch.ones(2, 30, 40, dtype=torch.bool))
    assert abs(float(losses.total) - math.log(16)) < 0.1  # 16 codes, an untrained head


@pytest.mark.parametrize("known", [0, 1])
def test_hardly_any_depth_gives_finite_losses(network, known):
    valid = torch.zeros(1, 20, 20, dtype=torch.bool)
    valid.view(-1)[:known] = True
    losses = call(TeacherForcing(network), torch.where(valid, 3.0, 0.0), valid)
    assert losses.total.isfinite()


def test_stochastic_depth_rises_and_keeps_the_mean(network):
    objective = CodeObjective(network, drop_path=0.5)
    keep = objective._keep(4000, torch.Generator().manual_seed(0), torch.device("cpu"))
    assert keep.shape == (2, 2, 4000) and (keep[0] == 1).all()
    assert set(keep[1].unique().tolist()) == {0.0, 2.0} and abs(keep[1].mean() - 1) < 0.05
    with torch.no_grad():
        assert objective._keep(4, torch.Generator(), torch.device("cpu")) is None
    with pytest.raises(ConfigError, match=r"drop_path: 1\.0"):
        CodeObjective(network, drop_path=1.0)


def test_stochastic_depth_depends_on_the_generator(network):
    valid = torch.ones(4, 16, 16, dtype=torch.bool)
    depth = torch.linspace(1, 2, 4 * 256).view(4, 16, 16)
    network = copy.deepcopy(network)
    with torch.no_grad():
        network.transformer.head.weight *= 50  # a fresh head hardly tells its inputs apart
    objective = TeacherForcing(network, drop_path=0.5)
    first, again, other = (call(objective, depth, valid, seed=s).total for s in (0, 0, 1))
    assert first == again != other


def test_losses_are_means_over_places():
    logits = torch.tensor([[[0.0, 0.0], [100.0, 0.0]]])
    losses = code_losses(logits, torch.tensor([[1, 0]]))
    assert torch.isclose(losses.total, torch.tensor(0.5).log() / -2)
    assert losses.parts["accuracy"] == 0.5


def test_gumbel_noise_has_its_mean_and_spread():
    noise = gumbel_noise(torch.empty(200, 100), generator=torch.Generator().manual_seed(0))
    assert abs(noise.mean() - 0.5772) < 0.02 and abs(noise.var() - torch.pi**2 / 6) < 0.05
