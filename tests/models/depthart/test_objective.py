"""Both objectives and the reconstruction term equal golden in losses and gradients."""

import copy

import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.models.depthart import objective as module
from nearfar.models.depthart.code_objective import code_losses
from nearfar.models.depthart.dynamic_targets import roll_out
from nearfar.models.depthart.network import new_network
from nearfar.models.depthart.objective import DynamicTargets, TeacherForcing
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
            image,
            depth,
            valid_BHW=valid,
            sky_BHW=~valid,
            fov_x_deg_B=torch.full((2,), 60.0),
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
