"""Whole models pruned: exact patterns and nothing else touched, smaller deviation, refusals."""

import dataclasses

import pytest
import torch

from nearfar.errors import ConfigError, InputError
from nearfar.prune.calibration import answers
from nearfar.prune.config import PruneConfig
from nearfar.prune.model import (
    PruneState,
    prune_model,
    remember,
    source_of,
    split_packages,
    targets,
    zeros,
)

HALF = PruneConfig(mode="unstructured", packages=2, steps=2)
CUT = PruneConfig(mode="structured", packages=2, steps=2)


def state_of(model):
    return {name: tensor.clone() for name, tensor in source_of(model).network.state_dict().items()}


@pytest.mark.parametrize("method", ["obs", "wanda", "magnitude"])
def test_half_of_the_weights_of_blocks_and_nothing_else(load, photos, kind, method):
    model = load(kind)
    before = state_of(model)
    config = dataclasses.replace(HALF, method=method)
    report, plan = prune_model(model, photos, config)
    after = state_of(model)
    names = {f"{unit.name}.weight" for unit in targets(model, config)}
    assert len(names) == 8
    for name in names:
        assert (after[name] == 0).float().mean() == pytest.approx(0.5, abs=0.01)
    assert all(torch.equal(before[n], after[n]) for n in before if n not in names)
    assert report.zeros == pytest.approx(0.5, abs=0.01) and plan.removed == {}
    assert report.parameters_after == report.parameters_before
    assert report.deviation > 0 and len(report.layers) == 8
    assert "no faster" in report.as_table()["note"]


def test_two_of_four_everywhere(load, photos, kind):
    model = load(kind)
    prune_model(model, photos, dataclasses.replace(HALF, mode="nm"))
    for unit in targets(model, HALF):
        assert ((unit.linear.weight.view(-1, 4) == 0).sum(1) == 2).all()


@pytest.mark.parametrize("method", ["obs", "l1"])
def test_heads_and_neurons_are_cut(load, photos, kind, method):
    model = load(kind)
    config = dataclasses.replace(CUT, method=method)
    report, plan = prune_model(model, photos, config)
    heads = source_of(model).network.config.heads
    for block in source_of(model).network.blocks:
        assert block.attn.heads == heads // 2 and block.attn.qkv.weight.shape == (48, 32)
        assert block.attn.proj.weight.shape == (32, 16)
        assert block.mlp.fc1.bias.shape == (64,) and block.mlp.fc2.weight.shape == (32, 64)
    assert {name: len(gone) for name, gone in plan.removed.items()} == {
        f"blocks.{i}.{layer}": count
        for i in range(2)
        for layer, count in (("attn.proj", 16), ("mlp.fc2", 64))
    }
    assert report.parameters_after < report.parameters_before
    assert "smaller" in report.as_table()["note"]


def test_obs_changes_outputs_less_than_the_baselines(load, photos, kind):
    errors = {}
    for config in (HALF, CUT):
        for method in ("obs", "magnitude" if config is HALF else "l1"):
            report, _ = prune_model(
                load(kind), photos, dataclasses.replace(config, method=method, packages=1)
            )
            errors[config.mode, method] = sum(layer.error for layer in report.layers)
    assert errors["unstructured", "obs"] < 0.8 * errors["unstructured", "magnitude"]
    assert errors["structured", "obs"] < 0.9 * errors["structured", "l1"]


def test_a_pruned_one_is_pruned_on_to_the_share_of_the_whole(load, photos):
    model = load()
    first, plan = prune_model(model, photos, dataclasses.replace(CUT, sparsity=0.25))
    again = model._replace(source=source_of(model)._replace(plan=plan))
    second, grown = prune_model(again, photos, CUT)
    assert source_of(model).network.blocks[0].attn.heads == 2
    for name, gone in grown.removed.items():
        assert set(plan.removed[name]) < set(gone) and len(gone) == 2 * len(plan.removed[name])
    assert len(grown.rounds) == 2 and second.parameters_before == first.parameters_after
    with pytest.raises(ConfigError, match="already smaller than asked, 0.5"):
        prune_model(model._replace(source=source_of(model)._replace(plan=grown)), photos, CUT)


def test_interrupted_prunings_end_in_the_same_weights(load, photos):
    whole_way, half_way = load(), load()
    expected, plan = prune_model(whole_way, photos, CUT)
    states: list[PruneState] = []

    def stop(state):
        states.append(state)
        raise KeyboardInterrupt

    remembered = remember(half_way, photos, CUT)
    with pytest.raises(KeyboardInterrupt):
        prune_model(half_way, photos, CUT, on_package=stop)
    report, resumed = prune_model(half_way, photos, CUT, whole=remembered, state=states[0])
    assert resumed == plan and report.layers == expected.layers
    assert report.deviation == expected.deviation
    for name, tensor in state_of(whole_way).items():
        assert torch.equal(tensor, state_of(half_way)[name])


def test_every_photo_of_every_package_is_told(load, photos):
    told = []
    prune_model(load(), photos, HALF, on_photo=lambda: told.append(1))
    assert len(told) == HALF.packages * len(photos)


def test_flat_pictures_are_refused(load, photos):
    flat = torch.full((3, 64, 64), 0.5)
    with pytest.raises(InputError, match="the only picture is flat"):
        prune_model(load(), [flat], HALF)
    with pytest.raises(InputError, match="no photos"):
        prune_model(load(), [], HALF)
    remember(load(), [flat, photos[0]], HALF)


def test_what_is_sparse_already_is_refused(load, photos):
    model = load()
    prune_model(model, photos, dataclasses.replace(HALF, sparsity=0.6, method="magnitude"))
    with pytest.raises(ConfigError, match="already smaller than asked"):
        prune_model(model, photos, HALF)
    model = load()
    pattern = dataclasses.replace(HALF, mode="nm", method="magnitude")
    prune_model(model, photos, pattern)
    with pytest.raises(ConfigError, match="already has 2 zeros in every 4"):
        prune_model(model, photos, pattern)
    assert zeros(targets(model, pattern)) == 0.5


def test_another_encoder_is_refused(load, photos):
    model = load()
    source = source_of(model)._replace(encoder_sha256="another")
    with pytest.raises(ConfigError, match="another encoder"):
        prune_model(model._replace(source=source), photos, HALF)


def test_other_families_and_models_without_files_are_refused(load, photos):
    model = load()
    other = model._replace(entry=dataclasses.replace(model.entry, family="dar"))
    with pytest.raises(ConfigError, match="dar networks cannot be pruned yet"):
        prune_model(other, photos, HALF)
    with pytest.raises(ConfigError, match="not loaded from a file"):
        prune_model(model._replace(source=None), photos, HALF)


def test_packages_are_neighbors_of_equal_size(load):
    units = targets(load(), HALF)
    packages = split_packages(units, 3)
    assert [len(p) for p in packages] == [3, 3, 2]
    assert [unit.name for p in packages for unit in p] == [unit.name for unit in units]
    assert len(split_packages(units, 99)) == len(units)


def test_answers_are_the_same_at_every_call(load, photos):
    model = load()
    once, twice = (answers(model, photos, HALF).maps for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(once, twice, strict=True))
    assert not torch.equal(once[0], once[1])
