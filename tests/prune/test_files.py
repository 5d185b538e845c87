"""Files of pruned networks: read back bit by bit, refused without plan, resumed from."""

import dataclasses
import json

import pytest
import torch

from nearfar.errors import WeightsError
from nearfar.prune.calibration import answers
from nearfar.prune.config import PruneConfig
from nearfar.prune.files import identity_of, read_state, write_pruned, write_state
from nearfar.prune.model import prune_model, source_of
from nearfar.weights.convert import convert_file
from nearfar.weights.safe import read_metadata, read_safetensors, write_safetensors

CUT = PruneConfig(mode="structured", packages=2, steps=2)


@pytest.fixture
def pruned(load, photos, tmp_path):
    def make(kind="velocity", config=CUT):
        model = load(kind)
        _, plan = prune_model(model, photos, config)
        return model, write_pruned(tmp_path / "p.safetensors", model, plan)

    return make


@pytest.mark.parametrize("mode", ["structured", "unstructured", "nm"])
def test_what_is_read_predicts_bit_by_bit_the_same(load, photos, pruned, kind, mode):
    config = dataclasses.replace(CUT, mode=mode)
    model, path = pruned(kind, config)
    again = load(kind, path)
    for a, b in zip(
        answers(model, photos, config).maps, answers(again, photos, config).maps, strict=True
    ):
        assert torch.equal(a, b)
    plan = source_of(again).plan
    assert plan is not None and plan.model.startswith(kind)
    assert plan.rounds == (config.line(3),)
    assert again.entry.licence == "Apache-2.0" and again.entry.encoder == model.entry.encoder


def test_the_file_is_smaller_and_keeps_its_numbers(model_files, pruned):
    _, path = pruned()
    assert path.stat().st_size < 0.95 * model_files["velocity"].stat().st_size
    assert {tensor.dtype for tensor in read_safetensors(path)[0].values()} == {torch.float16}


def test_a_read_one_is_pruned_on(load, photos, pruned, tmp_path):
    _, path = pruned(config=dataclasses.replace(CUT, sparsity=0.25))
    model = load(path=path)
    _, plan = prune_model(model, photos, CUT)
    again = load(path=write_pruned(tmp_path / "q.safetensors", model, plan))
    assert source_of(again).network.blocks[1].attn.heads == 2
    assert len(plan.rounds) == 2


def test_without_its_plan_it_is_refused_in_a_clear_line(load, pruned, tmp_path):
    _, path = pruned()
    tensors, metadata = read_safetensors(path)
    del metadata["prune_plan"]
    bare = write_safetensors(tmp_path / "bare.safetensors", tensors, metadata)
    with pytest.raises(WeightsError, match="of other shape.*metadata lost the prune_plan") as error:
        load(path=bare)
    assert "\n" not in str(error.value)


def test_conversion_keeps_the_plan(load, pruned, tmp_path):
    _, path = pruned()
    convert_file(path, tmp_path / "c.safetensors", dtype="fp32")
    assert source_of(load(path=tmp_path / "c.safetensors")).plan == source_of(load(path=path)).plan


def test_states_are_read_by_their_pruning_only(load, photos, tmp_path):
    model, path = load(), tmp_path / "part.safetensors"
    identity = identity_of(model, photos, CUT)
    states = []

    def keep(state):
        states.append(state)
        write_state(path, model, state, identity)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prune_model(model, photos, CUT, on_package=keep)
    assert read_state(path, identity) == states[0]
    assert read_state(path, identity_of(load(), photos[:2], CUT)) is None
    assert read_state(path, identity_of(load(), photos, dataclasses.replace(CUT, seed=1))) is None
    load(path=path)
    tensors, metadata = read_safetensors(path)
    write_safetensors(path, tensors, metadata | {"prune_layers": json.dumps([{"name": "a"}])})
    assert read_metadata(path)["prune_identity"] == identity
    with pytest.raises(WeightsError, match="damaged state"):
        read_state(path, identity)
