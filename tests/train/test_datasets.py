import json
import logging
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from micro_run import build_micro, micro_recipe

from nearfar.errors import ConfigError, DataError
from nearfar.train.config import DataConfig
from nearfar.train.datasets import (
    DatasetSource,
    check_licences,
    data_licences,
    mix_parts,
    seen_licences,
)
from nearfar.train.loop import train
from nearfar.train.recipe import load_recipe, recipe_from_table, recipe_hash, recipe_table
from nearfar.train.sources import build_source, build_validation, window
from nearfar.weights.safe import read_safetensors

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))
import mini_d2

CPU = torch.device("cpu")
RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "ppd_dataset.toml"


def config(folder: Path, **changes) -> DataConfig:
    values = {"source": "dataset", "dataset": "vkitti2", "root": str(folder), "split": "val"}
    return DataConfig(**values | {"size": (16, 24), "crop": (16, 24)} | changes)


def mixed(folder: Path, **changes) -> DataConfig:
    """Two streets (no commercial use) and one room, of which the room comes as often."""
    mini_d2.write_vkitti2(folder / "vkitti2")
    mini_d2.write_hypersim(folder / "hypersim")
    parts = (
        {"dataset": "vkitti2", "root": str(folder / "vkitti2"), "split": "val", "weight": 0.5},
        {"dataset": "hypersim", "root": str(folder / "hypersim"), "split": "train", "weight": 0.5,
         "validation_split": "val", "options": {"camera": "marigold"}},
    )  # fmt: skip
    changes = {"dataset": "", "root": "", "split": "", "mix": parts} | changes
    return config(folder, **changes)


def run_recipe(folder: Path, data: DataConfig, **train_options):
    recipe = micro_recipe(
        folder, train={"steps": 2} | train_options, log={"every": 1, "export": True}
    )
    return replace(recipe, data=replace(data, validation_count=2))


def test_one_dataset_trains_and_its_licence_is_in_the_card(tmp_path):
    mini_d2.write_vkitti2(tmp_path / "data")
    data = config(tmp_path / "data", validation_split="all")
    end = train(run_recipe(tmp_path / "run", data), build=build_micro)
    assert end.is_complete and "abs_rel" in end.metrics
    card = json.loads((tmp_path / "run" / "card.json").read_text())
    assert card["data_licences"] == {"vkitti2": "CC BY-NC-SA 3.0"}
    assert card["recipe"]["data"]["dataset"] == "vkitti2"
    metadata = read_safetensors(tmp_path / "run" / "weights.safetensors").metadata
    assert json.loads(metadata["data_licences"]) == card["data_licences"]


def test_batches_are_the_readers_values(tmp_path):
    mini_d2.write_vkitti2(tmp_path)
    source = build_source(config(tmp_path), CPU)
    batch = source.batch(torch.tensor([3, 0, 3]))
    assert len(source) == 4 and batch.image_B3HW.shape == (3, 3, 16, 24)
    assert batch.depth_BHW[0].max() == 90 and batch.sky_BHW[0, :2].all()
    assert torch.equal(batch.image_B3HW[0], batch.image_B3HW[2])
    threads = build_source(config(tmp_path, workers=3), CPU).batch(torch.tensor([3, 0, 3]))
    assert all(torch.equal(a, b) for a, b in zip(batch, threads) if not a.isnan().any())
    assert window(0, config(tmp_path), 37) == 37


def test_mixture_licences_and_held_out_split(tmp_path):
    data = mixed(tmp_path)
    source = DatasetSource(data)
    assert len(source) == 8  # every street once, the room as often together
    depths = source.batch(torch.arange(8)).depth_BHW.amax((1, 2))
    assert (depths[:4] == 90).all() and (depths[4:] < 2.1).all()
    union = {"vkitti2": "CC BY-NC-SA 3.0", "hypersim": "CC BY-SA 3.0"}
    assert data_licences(data) == union
    held_out = build_validation(replace(data, validation_count=5), CPU, build_source)
    assert len(held_out) == 1 and held_out.batch(torch.tensor([0])).depth_BHW.max() < 2.1
    assert build_validation(replace(data, mix=data.mix[:1]), CPU, build_source) is None


def test_held_out_samples_are_spread(tmp_path):
    mini_d2.write_irs(tmp_path)
    data = config(tmp_path, dataset="irs", split="train", validation_split="all")
    held_out = build_validation(replace(data, validation_count=3), CPU, build_source)
    every = build_source(config(tmp_path, dataset="irs", split="all"), CPU)
    picked = held_out.batch(torch.arange(3)).image_B3HW
    assert len(every) == 15 and torch.equal(picked, every.batch(torch.tensor([0, 5, 10]))[0])


def test_commercial_only_refuses_what_is_not_clear(tmp_path):
    data = mixed(tmp_path, commercial_only=True)
    with pytest.raises(ConfigError, match=r"vkitti2 \(CC BY-NC-SA 3.0\): commercial use is not"):
        train(run_recipe(tmp_path / "run", data), build=build_micro)
    assert not (tmp_path / "run").exists()
    for name in ("irs", "pointodyssey", "webdataset", "unrealstereo4k"):
        with pytest.raises(ConfigError, match=name):
            check_licences(run_recipe(tmp_path, replace(data, mix=(), dataset=name)))
    check_licences(run_recipe(tmp_path, replace(data, mix=data.mix[1:])))
    check_licences(run_recipe(tmp_path, replace(data, commercial_only=False)))


def test_weights_to_start_from_bring_their_licences(tmp_path):
    mini_d2.write_vkitti2(tmp_path / "vkitti2")
    mini_d2.write_hypersim(tmp_path / "hypersim")
    first = run_recipe(tmp_path / "first", config(tmp_path / "vkitti2"))
    train(first, build=build_micro)
    weights = str(tmp_path / "first" / "weights.safetensors")
    room = config(tmp_path / "hypersim", dataset="hypersim", split="train")
    second = run_recipe(tmp_path / "second", room, init_from=weights)
    assert set(seen_licences(second)) == {"vkitti2", "hypersim"}
    train(second, build=build_micro)
    card = json.loads((tmp_path / "second" / "card.json").read_text())
    assert set(card["data_licences"]) == {"vkitti2", "hypersim"}
    third = replace(second, data=replace(room, commercial_only=True))
    with pytest.raises(ConfigError, match="vkitti2"):
        check_licences(third)


def test_broken_files_end_the_run_or_are_logged(tmp_path, caplog):
    mini_d2.write_vkitti2(tmp_path)
    path = tmp_path / "Scene01/clone/frames/depth/Camera_0/depth_00000.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"depth_00000.png"):
        build_source(config(tmp_path), CPU).batch(torch.tensor([0]))
    source = build_source(config(tmp_path, on_error="skip"), CPU)
    with caplog.at_level(logging.WARNING):
        batch = source.batch(torch.tensor([0, 1, 0]))
    assert torch.equal(batch.depth_BHW[0], batch.depth_BHW[1])
    assert len(caplog.records) == 1 and "1 broken of 4" in caplog.text


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"dataset": "vkitti"}, "Did you mean vkitti2"),
        ({"split": "night"}, "no split 'night'"),
        ({"options": {"camera": "exact"}}, "no option 'camera'"),
        ({"root": ""}, "needs its folder"),
        ({"mix": ({"dataset": "irs"},)}, "both given"),
        ({"dataset": ""}, "neither given"),
        ({"dataset": "", "mix": ({"dataset": "irs", "weigth": 1.0},)}, r"data.mix\[0\].*weight"),
        ({"dataset": "", "mix": ({"dataset": "irs", "weight": -1.0},)}, "below 0"),
        ({"dataset": "", "mix": ({"dataset": "irs", "weight": 1.0}, {"dataset": "irs"})},
         "Give all of them one, or none"),
        ({"on_error": "warn"}, "Use one of raise, skip"),
        ({"workers": -1}, "workers"),
    ],
)  # fmt: skip
def test_wrong_settings_are_named(tmp_path, changes, finding):
    mini_d2.write_vkitti2(tmp_path)
    with pytest.raises(ConfigError, match=finding):
        build_source(config(tmp_path, **changes), CPU)


def test_the_recipe_in_the_repository_opens(tmp_path):
    mini_d2.write_vkitti2_tar(tmp_path)
    data = load_recipe(RECIPE, [f"data.root={tmp_path / 'tars'}", "data.split=val"]).data
    assert data.source == "dataset" and data.validation_split == "val"
    assert [part.dataset for part in mix_parts(data)] == ["vkitti2"]
    assert len(build_source(data, CPU)) == 4


def test_recipes_without_datasets_keep_their_hash(tmp_path):
    scenes = micro_recipe(tmp_path)
    assert "dataset" not in recipe_table(scenes)["data"]
    own = replace(scenes, data=config(tmp_path, max_depth=80.0))
    table = {key: part for key, part in recipe_table(own).items() if key != "name"}
    assert recipe_from_table(table, where="x") == own and table["data"]["max_depth"] == 80.0
    assert recipe_hash(own) != recipe_hash(replace(own, data=config(tmp_path, max_depth=70.0)))
