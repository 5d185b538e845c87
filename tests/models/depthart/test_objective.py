"""Both objectives and the reconstruction term equal golden in losses and gradients."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from nearfar.batch import DepthBatch
from nearfar.errors import ConfigError
from nearfar.models.base import Losses
from nearfar.models.depthart import objective as module
from nearfar.models.depthart.network import new_network
from nearfar.models.depthart.objective import (
    CodeObjective,
    DynamicTargets,
    TeacherForcing,
    code_losses,
    gumbel_noise,
    roll_out,
)
from nearfar.models.depthart.presets import MICRO


@pytest.fixture
def inputs(networks, golden):
    network, io = copy.deepcopy(networks["depthart"]), golden("depthart")
    network.transformer.requires_grad_(True)
    return network, network.photo_vectors(io["in.image01"], None), io


@pytest.mark.parametrize(("key", "weight"), [("train", 0.0), ("train_rec", 10.0)])
def test_dynamic_targets_equal_golden(inputs, monkeypatch, key, weight):
    network, photo, io = inputs
    noise = io["in.train_rec.gumbel_noise"]
    monkeypatch.setattr(module, "gumbel_noise", lambda like, generator: noise)
    objective = DynamicTargets(network, reconstruction_weight=weight)
    losses = objective.losses(photo, io["out.f_depth"], generator=torch.Generator())
    near = {"atol": 1e-5, "rtol": 1e-6}
    entropy = losses.parts["cross_entropy"][None]
    torch.testing.assert_close(entropy, io[f"out.{key}.loss_ce"], **near)
    if weight:
        error = weight * losses.parts["reconstruction"][None]
        torch.testing.assert_close(error, io["out.train_rec.f_dif_times10"], **near)
    losses.total.backward()
    parameters = dict(network.transformer.named_parameters())
    names = [n for n in io if n.startswith(f"out.{key}.gradnorm.")]
    assert len(names) == 8
    for name in names:
        norm = parameters[name.split("gradnorm.")[1]].grad.norm()[None]
        torch.testing.assert_close(norm, io[name], **near)
    assert all(p.grad is None for p in network.tokenizer.parameters())


@pytest.mark.parametrize("key", ["train", "train_rec"])
@torch.no_grad()
def test_every_token_costs_what_it_does_in_golden(inputs, key):
    network, photo, io = inputs
    rollout = roll_out(network, photo, io["out.f_depth"])
    logits = network.masked_logits(photo, rollout.inputs_BLC, detach_inputs=True)
    wanted, near = io[f"out.{key}.ce_per_token"], {"atol": 2e-5, "rtol": 0}
    count = wanted.shape[1]
    assert count == int(io["out.lossL"]) - 16 * (key == "train_rec")  # the last scale is soft
    torch.testing.assert_close(logits[:, :count], io[f"out.{key}.logits"], **near)
    losses = torch.nn.functional.cross_entropy(
        logits[:, :count].mT, rollout.target_BL[:, :count], reduction="none"
    )
    torch.testing.assert_close(losses, wanted, **near)


def test_teacher_forcing_has_the_static_targets(inputs):
    network, photo, io = inputs
    losses = TeacherForcing(network).losses(photo, io["out.f_depth"], generator=torch.Generator())
    logits, targets = io["out.depthvar_tf_posstart.logits"], io["out.depthvar_tf.targets"]
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    torch.testing.assert_close(losses.total.detach(), expected, atol=1e-5, rtol=0)
    released = code_losses(io["out.depthvar_tf.logits"], targets).total[None]
    torch.testing.assert_close(released, io["out.depthvar_tf.loss"], atol=1e-5, rtol=0)
    losses.total.backward()
    assert network.transformer.word_embed.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("make", [TeacherForcing, DynamicTargets])
def test_a_few_steps_lower_the_loss(make):
    network = new_network(MICRO, generator=torch.Generator().manual_seed(0))
    objective = make(network)
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(2, 3, 20, 24, generator=generator)
    depth = 1 + torch.rand(2, 20, 24, generator=generator).cumsum(dim=1)
    valid = torch.ones(2, 20, 24, dtype=torch.bool)
    optimizer = torch.optim.Adam(network.transformer.parameters(), lr=1e-2)
    seen = []
    for _ in range(12):
        losses = objective(
            DepthBatch(
                image, depth, valid_BHW=valid, sky_BHW=~valid, fov_x_deg_B=torch.full((2,), 60.0)
            ),
            generator=generator,
        )
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        seen.append(float(losses.total.detach()))
    assert seen[-1] < 0.8 * seen[0]


def test_bad_weights_are_refused():
    with pytest.raises(ConfigError, match=r"-1 is negative"):
        DynamicTargets(None, reconstruction_weight=-1)


@pytest.fixture(scope="module")
def network():
    return new_network(MICRO, generator=torch.Generator().manual_seed(0))


def call(objective, depth, valid, seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.full((len(depth), 3, *depth.shape[-2:]), 0.5)
    return objective(
        DepthBatch(
            image,
            depth,
            valid_BHW=valid,
            sky_BHW=torch.zeros_like(valid),
            fov_x_deg_B=torch.full((len(depth),), torch.nan),
        ),
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


def test_targets_equal_golden(networks, golden):
    network, io = networks["depthart"], golden("depthart")
    photo = network.photo_vectors(io["in.image01"], None)
    rollout = roll_out(network, photo, io["out.f_depth"])
    assert torch.equal(rollout.target_BL, io["out.train.targets"])
    assert torch.equal(rollout.target_BL[:, :14], io["out.train_rec.targets"])
    assert rollout.inputs_BLC.shape == (2, 29, 8) and not rollout.inputs_BLC.requires_grad
    logits = network.masked_logits(photo, rollout.inputs_BLC, detach_inputs=True)
    torch.testing.assert_close(logits, io["out.train.logits"], atol=1e-5, rtol=0)


def test_first_scale_is_static_and_the_rest_is_what_is_missing(networks, golden):
    network, io = networks["depthart"], golden("depthart")
    quantizer, f = network.tokenizer.quantize, io["out.f_depth"]
    rollout = roll_out(network, network.photo_vectors(io["in.image01"], None), f)
    static = quantizer.encode(f).indices
    assert torch.equal(rollout.target_BL[:, :1], static[0])
    missing = f - rollout.before_last_BCHW
    assert torch.equal(rollout.target_BL[:, 14:], quantizer.nearest_at(missing, scale=3))
    assert not torch.equal(rollout.target_BL[:, 14:], static[3])
