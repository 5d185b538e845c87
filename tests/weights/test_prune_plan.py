"""Plans of pruned networks: read, applied, and refused in one line if they are not theirs."""

import pytest
from micro_weights import family_network, ppd_config

from nearfar.errors import ConfigError, WeightsError
from nearfar.weights.networks import build
from nearfar.weights.prune_plan import PrunePlan, plan_from_metadata, prunable_units, shrink


def cut(removed):
    build("ppd", ppd_config(), PrunePlan(removed=removed))


def test_plan_is_read_as_it_was_written():
    plan = PrunePlan(model="ppd-tiny", removed={"blocks.0.mlp.fc2": (1, 5)}, rounds=("a", "b"))
    assert plan_from_metadata({"prune_plan": plan.text()}, "file") == plan
    assert plan_from_metadata({}, "file") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"area": 99999999999}',
        '{"steps": 0}',
        '{"removed": 3}',
        '{"removed": {"a": ["b"]}}',
        '{"other": 1}',
        "[" * 99999,
    ],
)
def test_damaged_plans_are_refused(text):
    with pytest.raises(WeightsError, match="prune_plan cannot be read") as error:
        plan_from_metadata({"prune_plan": text}, "file")
    assert "\n" not in str(error.value)


def test_network_is_built_as_small_as_the_plan_says():
    removed = {"blocks.0.attn.proj": tuple(range(16)), "blocks.1.mlp.fc2": (0, 127)}
    network = build("ppd", ppd_config(), PrunePlan(removed=removed))
    assert network.blocks[0].attn.heads == 1 and network.blocks[1].attn.heads == 2
    assert network.blocks[0].attn.qkv.weight.shape == (48, 32)
    assert network.blocks[1].mlp.fc1.weight.shape == (126, 32)
    assert network.blocks[1].mlp.fc2.weight.is_meta


@pytest.mark.parametrize(
    ("name", "removed", "finding"),
    [
        ("blocks.9.mlp.fc2", (1,), "lacks"),
        ("blocks.0.mlp.fc1", (1,), "lacks"),
        ("blocks.0.mlp.fc2", (128,), "does not fit"),
        ("blocks.0.mlp.fc2", (-1,), "does not fit"),
        ("blocks.0.mlp.fc2", (3, 2), "does not fit"),
        ("blocks.0.mlp.fc2", (3, 3), "does not fit"),
        ("blocks.0.mlp.fc2", tuple(range(128)), "does not fit"),
        ("blocks.0.attn.proj", (0, 1), "does not fit"),
    ],
)
def test_plans_of_other_networks_are_refused(name, removed, finding):
    with pytest.raises(WeightsError, match=finding):
        cut({name: removed})


def test_families_that_cannot_be_pruned_are_named():
    network = family_network("dar")
    with pytest.raises(ConfigError, match="dar networks cannot be pruned yet. Possible: ppd"):
        prunable_units("dar", network, "file")
    with pytest.raises(WeightsError, match="has a prune_plan, but dar networks cannot be pruned"):
        shrink("dar", network, PrunePlan(), "file")
