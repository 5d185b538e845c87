"""OBS at three granularities equals the golden vectors; patterns are exact; what is refused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nearfar.errors import ConfigError
from nearfar.prune.surgeon import obs_prune, obs_prune_columns, obs_prune_columns_joint

FOLDER = Path(__file__).parents[1] / "golden" / "prune"
ENTRIES = load_file(FOLDER / "obs_unstructured_nm.safetensors")
COLUMNS = load_file(FOLDER / "obs_structured.safetensors")
TOLERANCE = 1e-5  # of the largest value


def near(found, wanted):
    return (found - wanted).abs().max() <= TOLERANCE * wanted.abs().max()


def settings(words):
    """Arguments of obs_prune from the name of a golden result: s50, bs16, 2of4, damp0.1."""
    chosen = {"sparsity": 0.5}
    for word in words:
        if word.startswith("bs"):
            chosen["block_size"] = int(word[2:])
        elif word.startswith("s"):
            chosen["sparsity"] = int(word[1:]) / 100
        elif "of" in word:
            chosen["n"], chosen["m"] = map(int, word.split("of"))
        else:
            chosen["damp"] = float(word.removeprefix("damp"))
    return chosen


@pytest.mark.parametrize("name", [n for n in ENTRIES if ".unstructured." in n or ".nm." in n])
def test_entries_equal_golden(name):
    case, _, *words = name.replace("damp0.1", "damp0,1").split(".")
    chosen = settings([word.replace(",", ".") for word in words])
    found = obs_prune(ENTRIES[f"{case}.W"], ENTRIES[f"{case}.H"], chosen.pop("sparsity"), **chosen)
    assert torch.equal(found == 0, ENTRIES[name] == 0)
    assert near(found, ENTRIES[name])


@pytest.mark.parametrize("name", [n for n in COLUMNS if n.endswith("comp.W")])
def test_columns_equal_golden(name):
    case, share, how, _ = name.split(".")
    source, group = ("head", 8) if case == "head8" else ("ffn", 1)
    found = obs_prune_columns(
        COLUMNS[f"{source}.W"],
        COLUMNS[f"{source}.H"],
        int(share[1:]) / 100,
        group_size=group,
        compensate=how == "comp",
    )
    assert torch.equal(found.removed, COLUMNS[f"{case}.{share}.{how}.idx"])
    assert near(found.weight, COLUMNS[name])
    assert not found.weight[:, found.removed].any()


@pytest.mark.parametrize("share", [25, 50])
def test_columns_shared_by_two_weights_equal_golden(share):
    names = ("head.W", "head.W2"), ("head.H", "head.H2")
    weights, hessians = ([COLUMNS[name] for name in pair] for pair in names)
    found, removed = obs_prune_columns_joint(weights, hessians, share / 100, group_size=8)
    assert torch.equal(removed, COLUMNS[f"joint8.s{share}.idx"])
    assert near(found[0], COLUMNS[f"joint8.s{share}.W"])
    assert near(found[1], COLUMNS[f"joint8.s{share}.W2"])


def test_compensation_keeps_the_output_near():
    weight, x = ENTRIES["a.W"], ENTRIES["a.X"]
    pruned = obs_prune(weight, ENTRIES["a.H"], 0.5)
    plain = weight.masked_fill(pruned == 0, 0)
    error, plain_error = ((x @ (w - weight).T).square().mean() for w in (pruned, plain))
    assert error < 0.8 * plain_error


def test_two_of_four_in_every_row_and_nothing_given_is_changed():
    weight, hessian = ENTRIES["a.W"].clone(), ENTRIES["a.H"].clone()
    pruned = obs_prune(weight, hessian, 0.0, n=2, m=4)
    assert ((pruned.view(24, -1, 4) == 0).sum(-1) == 2).all()
    assert torch.equal(weight, ENTRIES["a.W"]) and torch.equal(hessian, ENTRIES["a.H"])


def test_one_group_always_stays():
    found = obs_prune_columns(COLUMNS["head.W"], COLUMNS["head.H"], 0.99, group_size=32)
    assert len(found.removed) == 32


@pytest.mark.parametrize(
    ("chosen", "finding"),
    [
        ({"sparsity": 1.0}, "sparsity: 1"),
        ({"sparsity": 0.5, "n": 4, "m": 4}, "pattern: 4:4"),
        ({"sparsity": 0.5, "n": 2, "m": 5}, "48 inputs"),
    ],
)
def test_impossible_patterns_are_refused(chosen, finding):
    with pytest.raises(ConfigError, match=finding):
        obs_prune(ENTRIES["a.W"], ENTRIES["a.H"], chosen.pop("sparsity"), **chosen)


@pytest.mark.parametrize(("sparsity", "group"), [(-0.1, 1), (0.5, 7)])
def test_impossible_columns_are_refused(sparsity, group):
    with pytest.raises(ConfigError, match="sparsity|does not divide"):
        obs_prune_columns(COLUMNS["head.W"], COLUMNS["head.H"], sparsity, group_size=group)
