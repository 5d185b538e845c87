"""What layers are given over photos and steps; flat photos; scenes that repeat."""

import pytest
import torch

from nearfar.errors import InputError
from nearfar.prune.calibration import (
    answers,
    layer_hessians,
    require_pictures,
    synthetic_photos,
)
from nearfar.prune.config import PruneConfig
from nearfar.prune.hessian import HessianAccumulator, timestep_weights
from nearfar.prune.model import targets

CONFIG = PruneConfig(mode="unstructured", steps=3)


def test_hessians_are_of_all_inputs_weighted_by_step(load, photos, kind):
    model = load(kind)
    units = targets(model, CONFIG)[2:5]
    seen = {unit.name: [] for unit in units}
    hooks = [
        unit.linear.register_forward_pre_hook(
            lambda _, given, name=unit.name: seen[name].append(given[0].clone())
        )
        for unit in units
    ]
    told = []
    found = layer_hessians(model, photos, units, CONFIG, on_photo=lambda: told.append(1))
    for hook in hooks:
        hook.remove()
    weights = timestep_weights("log_decrease", 3) * len(photos)
    for unit in units:
        assert len(seen[unit.name]) == 9
        expected = HessianAccumulator(unit.linear.in_features)
        for x, weight in zip(seen[unit.name], weights, strict=True):
            expected.add(x, weight=weight)
        assert torch.equal(found[unit.name], expected.hessian)
    assert len(told) == 3 and not units[0].linear._forward_pre_hooks


def test_answers_say_how_long_they_took(load, photos):
    found = answers(load(), photos[:2], CONFIG)
    assert [m.shape for m in found.maps] == [(64, 64)] * 2 and 0 < found.seconds < 60


def test_flat_photos_are_told_from_others(photos):
    flat = torch.zeros(3, 8, 8)
    with pytest.raises(InputError, match="all 2 pictures are flat"):
        require_pictures([flat, flat + 0.7])
    require_pictures([flat, photos[0]])


def test_scenes_repeat_and_differ():
    told = []
    first = synthetic_photos(2, on_photo=lambda: told.append(1))
    assert torch.equal(first[0], synthetic_photos(1)[0]) and not torch.equal(*first)
    assert first[0].shape == (3, 192, 256) and len(told) == 2
    require_pictures(first)
