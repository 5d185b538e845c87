"""The plan counts what a real run holds, and says so in lines."""

from pathlib import Path

import pytest
import torch

from nearfar.batch import DepthBatch
from nearfar.data.augment import AugmentOptions
from nearfar.errors import ConfigError
from nearfar.models.dar.presets import PRESETS
from nearfar.train.optimizer import learning_rate
from nearfar.train.plan import plan_run, plan_text
from nearfar.train.recipe import from_table, load_recipe, recipe_from_table
from nearfar.train.targets import TrainedObjective, build_target

ROOT = Path(__file__).parents[2]


def recipe(preset="tiny", kind="dar", **train):
    train = {
        "steps": 3,
        "batch_size": 2,
        "dtype": "bf16",
        "objective": {"freeze_encoder": True},
    } | train
    model = {"kind": kind, "preset": preset}
    data = {"size": [32, 48], "crop": [32, 48]}
    return recipe_from_table({"model": model, "data": data, "train": train}, where="test")


def kept_for_backward(made):
    """Bytes of a real forward pass."""
    target = build_target(made, torch.device("cpu"))
    module = TrainedObjective(target.network.train(), target.objective, dtype=made.train.dtype)
    own = {t.untyped_storage().data_ptr() for t in (*module.parameters(), *module.buffers())}
    kept, alive = {}, []

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    depth = torch.ones(2, 32, 48)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        module(
            DepthBatch(
                torch.zeros(2, 3, 32, 48),
                depth,
                valid_BHW=depth > 0,
                sky_BHW=depth < 0,
                fov_x_deg_B=torch.full((2,), 60.0),
            ),
            generator=torch.Generator().manual_seed(0),
        )
    return sum(kept.values())


def test_activations_are_those_of_a_real_pass():
    made = recipe()
    assert plan_run(made).activations == pytest.approx(kept_for_backward(made), rel=0.02)


def test_checkpointing_and_frozen_parts_save_memory():
    plain = plan_run(recipe())
    spared = plan_run(recipe(objective={"freeze_encoder": True, "is_checkpointed": True}))
    whole = plan_run(recipe(objective={}))
    assert spared.activations < 0.8 * plain.activations < plain.activations < whole.activations
    assert plain.weights == whole.weights == whole.trained == 6_953_564 > plain.trained


def test_two_billion_weights_are_planned_without_memory():
    made = recipe("large", objective={})
    plan = plan_run(made)
    assert plan.weights == plan.trained and 2.00e9 < plan.weights < 2.02e9
    assert plan.states == 2 * plan.weights
    text = plan_text(plan, made, gpus=8)
    alone, copies, shares = (line.split() for line in text.splitlines()[3:6])
    gib = 4 * plan.weights / 2**30
    assert [float(n) for n in alone[2:6]] == pytest.approx([gib, gib, 2 * gib, gib], abs=0.01)
    assert float(copies[-1]) == pytest.approx(float(alone[-1]) + gib, abs=0.03)
    assert float(shares[3]) == pytest.approx(gib / 8, abs=0.01) and "train.shard=true" in text
    assert plan.shares.activations < plan.activations  # casts of weights are not kept
    assert 8 * float(shares[-1]) < 2 * float(copies[-1]) + 8 * float(shares[-2])


def test_the_recipe_of_two_billion_weights_fits_where_copies_do_not():
    made = load_recipe(ROOT / "recipes" / "dar_large.toml")
    assert (made.model.preset, made.train.shard, made.train.ema_decay) == ("large", True, 0.0)
    assert made.train.objective == {"cut_depth": 0.25, "is_checkpointed": True}
    lines = plan_text(plan_run(made), made, gpus=8).splitlines()
    copies, shares = (float(line.split()[-1]) for line in lines[4:6])
    assert shares < 16 < 40 < copies and lines[5].split()[6] == "0.00"  # no average
    assert "as this recipe does" in lines[6]


def test_muon_keeps_one_number_a_weight_and_other_kinds_are_counted():
    made = recipe("tiny", "ppd", objective={}, optimizer="muon")
    plan = plan_run(made)
    assert plan.weights < plan.states < 1.05 * plan.weights and plan.activations is None
    assert "?" in plan_text(plan, made, gpus=2)
    with pytest.raises(ConfigError, match=r"model\.preset: unknown 'huge'"):
        plan_run(recipe("huge"))
    with pytest.raises(ConfigError, match=r"model\.kind"):
        plan_run(recipe(kind="other"))


@pytest.mark.parametrize(
    ("name", "preset", "photos", "per_epoch", "epochs"),
    [("paper", "small", 16, 24231 // 16, 25), ("released", "released", 32, 24231 // 32, 100)],
)
def test_recipes_of_dar_state_the_published_settings(name, preset, photos, per_epoch, epochs):
    made = load_recipe(ROOT / "recipes" / f"dar_{name}.toml")
    train = made.train
    assert (made.model.preset, made.data.dataset, made.data.crop) == (preset, "nyu", (480, 640))
    assert 8 * train.batch_size == photos and train.steps == per_epoch * epochs
    rates = [learning_rate(step, train) for step in (0, train.warmup - 1, train.steps - 1)]
    assert rates == pytest.approx([3e-5, 5e-4, 3e-5], rel=0.01)
    assert (train.betas, train.weight_decay) == ((0.9, 0.999), 0.1)
    assert train.objective == {"cut_depth": 0.25}
    from_table(AugmentOptions, made.data.augment, where="recipe")
    ranges = {n: PRESETS[n].far for n in (preset, f"{preset}-kitti")}
    assert list(ranges.values()) == [10.0, 80.0]
