from dataclasses import replace

import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.models.var_depth.objective import VarDepthObjective
from nearfar.models.var_depth.presets import MICRO
from nearfar.tokenizers.presets import MICRO as FOUR_SCALES


@pytest.fixture
def always_in_pixels(monkeypatch):
    monkeypatch.setattr("nearfar.models.var_depth.objective.DEPTH_SHARE", 1.0)


def batch(generator, count=3):
    depth = 1 + 5 * torch.rand(count, 24, 32, generator=generator)
    sky = torch.zeros(count, 24, 32, dtype=torch.bool)
    sky[:, :4] = True
    return {
        "image_B3HW": torch.rand(count, 3, 24, 32, generator=generator),
        "depth_BHW": torch.where(sky, 0.0, depth),
        "valid_BHW": ~sky,
        "sky_BHW": sky,
        "fov_x_deg_B": torch.full((count,), 60.0),
    }


def test_same_seed_same_loss_and_options_are_parts(micro, generator, always_in_pixels):
    given, network = batch(generator), micro()
    plain = VarDepthObjective(network)
    first, second = (plain(**given, generator=torch.Generator().manual_seed(4)) for _ in "ab")
    assert torch.equal(first.total, second.total) and set(first.parts) == {
        "cross_entropy",
        "accuracy",
    }
    rich = VarDepthObjective(network, soft_targets=True, feature_weight=0.25, depth_weight=0.1)
    found = rich(**given, generator=torch.Generator().manual_seed(4))
    assert set(found.parts) - set(first.parts) == {"soft_cross_entropy", "feature", "depth"}
    wanted = found.parts["soft_cross_entropy"] + 0.25 * found.parts["feature"]
    torch.testing.assert_close(found.total, wanted + 0.1 * found.parts["depth"])


def test_condition_dropout_reaches_the_null_tokens(micro, generator):
    given = batch(generator)
    for dropout, wanted in ((1.0, True), (0.0, False)):
        network = micro()
        objective = VarDepthObjective(network, condition_dropout=dropout)
        objective(**given, generator=generator).total.backward()
        grad = network.condition.null_pooled_D.grad
        assert (grad is not None and bool(grad.abs().max() > 0)) == wanted
        ladder = network.ladder.into.grad
        assert bool(ladder.abs().max() == 0) == wanted


def test_self_refinement_learns_on_own_codes(micro, generator):
    given, network = batch(generator), micro()
    losses = [
        VarDepthObjective(network, condition_dropout=0.0, self_refinement=share)(
            **given, generator=torch.Generator().manual_seed(4)
        ).total
        for share in (0.0, 1.0)
    ]
    assert abs(float(losses[0] - losses[1])) > 1e-3


def test_self_refinement_grows_over_the_first_half(micro, generator, monkeypatch):
    objective, runs = VarDepthObjective(micro(), self_refinement=1.0), []
    where = "nearfar.models.var_depth.objective."
    for name in ("own_pass", "teacher_pass"):
        monkeypatch.setattr(where + name, lambda *_, name=name: runs.append(name))
    monkeypatch.setattr(VarDepthObjective, "_losses", lambda *_: None)
    given = batch(generator)
    objective(**given, generator=generator)  # nobody told it where it is
    for done in (0.0, 0.5):
        objective.at(done)
        objective(**given, generator=generator)
    assert runs == ["own_pass", "teacher_pass", "own_pass"]


def test_loss_falls_on_one_batch(micro, generator):
    network, given = micro(placing=False), batch(generator, 2)
    objective = VarDepthObjective(network, condition_dropout=0.0)
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=3e-3)
    losses = []
    for _ in range(12):
        loss = objective(**given, generator=generator).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]


def test_images_without_depth_are_finite(micro, generator, always_in_pixels):
    given = batch(generator)
    given["valid_BHW"] = torch.zeros_like(given["valid_BHW"])
    objective = VarDepthObjective(micro(), depth_weight=1.0)
    assert objective(**given, generator=generator).total.isfinite()


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"is_causal": True}, {"self_refinement": 0.5}, "see each other"),
        ({}, {"condition_dropout": 1.5}, "0..1"),
        ({}, {"depth_weight": -1.0}, "weights"),
    ],
)
def test_senseless_options_are_refused(micro, changes, options, words):
    with pytest.raises(ConfigError, match=words):
        VarDepthObjective(micro(**changes), **options)


def test_other_numbers_of_stages_are_refused(micro):
    assert len(replace(MICRO).tokenizer.scales) == 10
    with pytest.raises(ConfigError, match="10 fixed stages"):
        VarDepthObjective(micro(tokenizer=FOUR_SCALES))
