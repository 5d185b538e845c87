import pickle
from pathlib import Path

import pytest
import torch
from micro_run import micro_recipe

from nearfar.errors import ConfigError, OutputError, WeightsError
from nearfar.train.checkpoint import (
    Checkpoint,
    Progress,
    alone_in,
    list_checkpoints,
    load_checkpoint,
    open_run,
    refuse_other_model,
    run_folder,
    save_checkpoint,
    should_save,
)
from nearfar.train.config import LogConfig
from nearfar.train.recipe import recipe_table

CPU = torch.device("cpu")


def make(step: int, recipe=None) -> Checkpoint:
    return Checkpoint(
        network={"w": torch.arange(3.0) + step},
        average={"w": torch.zeros(3)},
        optimizer={"state": {}, "param_groups": []},
        progress=Progress(step=step, samples=4 * step, seconds=1.5),
        recipe=recipe_table(recipe) if recipe else {},
        target={"family": "micro"},
        metrics={"loss": 0.5},
    )


def test_round_trip_and_keep(tmp_path):
    for step in (2, 4, 10):
        path = save_checkpoint(tmp_path, make(step), keep=2)
    assert [p.stem for p in list_checkpoints(tmp_path)] == ["00000004", "00000010"]
    loaded = load_checkpoint(path, device=CPU)
    assert loaded.progress == Progress(step=10, samples=40, seconds=1.5)
    assert loaded.network["w"].tolist() == [10, 11, 12] and loaded.metrics == {"loss": 0.5}
    assert not list(tmp_path.rglob("*.tmp*"))


def test_failed_write_leaves_the_older_one_and_no_rest(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, make(2), keep=1)

    def full(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match="No space left"):
        save_checkpoint(tmp_path, make(4), keep=1)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["00000002.pt"]


def test_damaged_foreign_and_malicious_files_are_refused(tmp_path):
    path = save_checkpoint(tmp_path, make(2), keep=1)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="not a readable checkpoint"):
        load_checkpoint(path, device=CPU)
    torch.save({"w": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="not a checkpoint"):
        load_checkpoint(path, device=CPU)
    flag = tmp_path / "executed"

    class Bomb:
        def __reduce__(self):
            return Path.touch, (flag,)

    path.write_bytes(pickle.dumps(Bomb(), protocol=2))
    with pytest.raises(WeightsError):
        load_checkpoint(path, device=CPU)
    assert not flag.exists()


def test_used_folder_needs_a_decision(tmp_path):
    recipe = micro_recipe(tmp_path)
    assert open_run(recipe, resume=True, overwrite=False) is None  # nothing there yet
    save_checkpoint(tmp_path, make(2), keep=1)
    with pytest.raises(ConfigError, match="holds a run of 2 steps"):
        open_run(recipe, resume=False, overwrite=False)
    assert open_run(recipe, resume=True, overwrite=False).stem == "00000002"
    assert open_run(recipe, resume=False, overwrite=True) is None
    assert list_checkpoints(tmp_path) == []


@pytest.mark.parametrize("name", ["weights.safetensors", "card.json", "log.jsonl"])
def test_what_no_run_left_is_not_replaced(tmp_path, name):
    (tmp_path / name).write_text("mine")
    for resume in (False, True):
        with pytest.raises(ConfigError, match=rf"{name}: is there, but no run"):
            open_run(micro_recipe(tmp_path), resume=resume, overwrite=False)
    assert open_run(micro_recipe(tmp_path), resume=False, overwrite=True) is None
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("content", ["", '{"st', '{"step": 1, "group": "train"}\n'])
def test_a_run_killed_before_its_first_checkpoint_begins_again(tmp_path, content):
    (tmp_path / "log.jsonl").write_text(content)
    assert open_run(micro_recipe(tmp_path), resume=True, overwrite=False) is None


def test_one_process_trains_in_a_folder(tmp_path):
    refused = pytest.raises(ConfigError, match="another process trains in it")
    with alone_in(tmp_path / "run"), refused, alone_in(tmp_path / "run"):
        pass
    assert not (tmp_path / "run").exists()  # nothing was trained
    with alone_in(tmp_path / "run"):
        save_checkpoint(tmp_path / "run", make(2), keep=1)
    assert len(list_checkpoints(tmp_path / "run")) == 1


def test_resuming_with_a_changed_recipe(tmp_path):
    old = micro_recipe(tmp_path)
    changes = refuse_other_model(micro_recipe(tmp_path, train={"steps": 9}), make(2, old), tmp_path)
    assert changes == ["train.steps: 6 -> 9"]
    saved = make(2, old)
    saved.recipe["model"]["preset"] = "large"
    with pytest.raises(ConfigError, match="large"):
        refuse_other_model(old, saved, tmp_path)


def test_run_folder_and_when_to_save(tmp_path):
    assert run_folder(micro_recipe(tmp_path)) == tmp_path
    log = LogConfig(checkpoint_every=5, checkpoint_seconds=60)
    assert should_save(10, 0, log) and should_save(3, 61, log) and not should_save(3, 1, log)
    assert not should_save(3, 1e9, LogConfig(checkpoint_seconds=0))
