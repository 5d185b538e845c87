import math
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import micro_run
import pytest
import torch
from micro_run import AS_IS, FakeSource, build_micro, micro_recipe, run

from nearfar import settings
from nearfar.errors import ConfigError, DataError
from nearfar.train.checkpoint import list_checkpoints, load_checkpoint
from nearfar.train.logging import read_log
from nearfar.train.loop import train
from nearfar.train.watch import Watcher

CPU = torch.device("cpu")
SCRIPT = str(Path(micro_run.__file__))


def newest(folder: Path):
    return load_checkpoint(list_checkpoints(folder)[-1], device=CPU)


def assert_same_bits(one: Path, two: Path) -> None:
    a, b = newest(one), newest(two)
    assert a.progress._replace(seconds=0) == b.progress._replace(seconds=0)
    for part in ("network", "average"):
        for name, tensor in getattr(a, part).items():
            assert torch.equal(tensor, getattr(b, part)[name]), f"{part}.{name}"
    for key, state in a.optimizer["state"].items():
        for name, tensor in state.items():
            assert torch.equal(tensor, b.optimizer["state"][key][name]), f"{key}.{name}"


def test_training_learns_and_logs(tmp_path):
    recipe = micro_recipe(
        tmp_path, train={"steps": 60, "learning_rate": 0.02}, log={"validate_every": 30}
    )
    end = run(recipe)
    records = read_log(tmp_path)
    losses = [r["loss"] for r in records if r["group"] == "train"]
    assert end.is_complete and end.step == 60 and len(losses) == 30
    assert losses[-1] < 0.2 * losses[0]
    validations = [r for r in records if r["group"] == "val"]
    assert [r["step"] for r in validations] == [30, 60]
    assert validations[-1]["loss"] == end.metrics["loss"]
    last = [r for r in records if r["group"] == "train"][-1]
    assert last["samples"] == 240 and last["samples_per_s"] > 0 and last["seconds"] > 0


def test_targets_that_ask_are_told_how_far_it_is(tmp_path):
    told = []

    def build(recipe, device):
        return replace(build_micro(recipe, device), on_progress=told.append)

    run(micro_recipe(tmp_path, train={"steps": 4}), build=build)
    assert told == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("kill_at", [1, 7])
def test_sigkill_and_resume_give_the_bits_of_an_uninterrupted_run(tmp_path, kill_at):
    victim = subprocess.Popen(
        [sys.executable, SCRIPT, str(tmp_path / "killed"), "9", "--slow"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    for line in victim.stdout:
        if int(line) == kill_at:
            victim.kill()
            break
    assert victim.wait() == -signal.SIGKILL
    victim.stdout.close()
    steps = {"steps": 9}
    run(micro_recipe(tmp_path / "killed", train=steps), resume=True)
    run(micro_recipe(tmp_path / "whole", train=steps))
    assert_same_bits(tmp_path / "killed", tmp_path / "whole")
    steps_logged = [r["step"] for r in read_log(tmp_path / "killed") if r["group"] == "train"]
    assert steps_logged == [2, 4, 6, 8, 9]


def test_killed_at_any_moment_resume_gives_the_same_files_and_leaves_nothing(killed_often):
    """Few moments here; docs/reliability.md has the command for many."""
    assert killed_often("train", stride=17) >= 3


def test_stopping_on_wish_and_resuming_is_exact_too(tmp_path):
    class Stop(Watcher):
        count = 0

        def should_stop(self):
            self.count += 1
            return self.count == 3

    recipe = micro_recipe(tmp_path / "stopped", log={"checkpoint_every": 0})
    end = run(recipe, watcher=Stop())
    assert (end.step, end.is_complete) == (3, False)
    assert run(recipe, resume=True).is_complete
    run(micro_recipe(tmp_path / "whole"))
    assert_same_bits(tmp_path / "stopped", tmp_path / "whole")


def test_who_stops_a_run_may_not_wait_for_its_validation(tmp_path, monkeypatch):
    class Stop(Watcher):
        def should_stop(self):
            return True

    def interrupted(*_):
        raise KeyboardInterrupt

    recipe = micro_recipe(tmp_path / "stopped", log={"checkpoint_every": 0})
    with monkeypatch.context() as patched:
        patched.setattr("nearfar.train.loop._validate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(recipe, watcher=Stop())
    assert [path.stem for path in (tmp_path / "stopped" / "checkpoints").glob("*.pt")] == [
        "00000001"
    ]
    assert run(recipe, resume=True).is_complete


def test_time_limit_stops_with_a_checkpoint(tmp_path):
    end = run(micro_recipe(tmp_path, train={"max_seconds": 1e-6}))
    assert (end.step, end.is_complete) == (1, False)
    assert newest(tmp_path).progress.step == 1


def test_resuming_a_complete_run_changes_nothing(tmp_path):
    run(micro_recipe(tmp_path))
    before = newest(tmp_path)
    end = run(micro_recipe(tmp_path), resume=True)
    assert end.is_complete and end.step == 6
    assert torch.equal(before.network["conv1.weight"], newest(tmp_path).network["conv1.weight"])
    with pytest.raises(ConfigError, match="holds a run"):
        run(micro_recipe(tmp_path))
    assert run(micro_recipe(tmp_path), overwrite=True).step == 6


def test_a_longer_recipe_goes_on_and_says_what_changed(tmp_path):
    run(micro_recipe(tmp_path))
    run(micro_recipe(tmp_path, train={"steps": 8}), resume=True)
    notes = [r["note"] for r in read_log(tmp_path) if r["group"] == "event"]
    assert notes == ["resumed with another train.steps: 6 -> 8"]


def test_accumulation_equals_the_larger_batch(tmp_path):
    shapes = [{"batch_size": 12}, {"batch_size": 4, "accumulate": 3}]
    folders = [tmp_path / "one", tmp_path / "three"]
    for folder, shape in zip(folders, shapes, strict=True):
        run(micro_recipe(folder, train=shape), build=micro_run.build_plain)
    one, three = (newest(folder).network for folder in folders)
    for name in one:
        torch.testing.assert_close(one[name], three[name], atol=1e-5, rtol=1e-5)


def poisoned(*calls):
    def build(recipe, device):
        target = build_micro(recipe, device)
        target.objective.poison_at = calls
        return target

    return build


def test_a_step_with_nan_is_skipped_and_logged(tmp_path):
    run(micro_recipe(tmp_path, log={"checkpoint_every": 1}), build=poisoned(3))
    assert all(torch.isfinite(t).all() for t in newest(tmp_path).network.values())
    notes = [r for r in read_log(tmp_path) if r["group"] == "event"]
    assert [(r["step"], r["note"]) for r in notes] == [(3, "skipped")]
    assert math.isnan(notes[0]["loss"])
    states = newest(tmp_path).optimizer["state"].values()
    assert {float(state["step"]) for state in states} == {5.0}


def test_pictures_of_nan_do_not_stay_in_the_statistics(tmp_path):
    class Broken(FakeSource):
        def batch(self, indices):
            batch = super().batch(indices)
            if len(self.asked) == 2:
                batch.image_B3HW.fill_(math.nan)
            return batch

    train(
        micro_recipe(tmp_path),
        build=build_micro,
        make_source=lambda data, device: Broken(data.count, data.seed),
        views=AS_IS,
    )
    assert all(torch.isfinite(t).all() for t in newest(tmp_path).network.values())


def test_too_many_bad_steps_end_the_run(tmp_path):
    recipe = micro_recipe(tmp_path, train={"max_bad_steps": 3, "steps": 9})
    with pytest.raises(DataError, match="3 steps in a row"):
        run(recipe, build=poisoned(3, 4, 5))


def test_bf16_trains_fp32_master_weights(tmp_path):
    recipe = micro_recipe(tmp_path, train={"dtype": "bf16", "channels_last": True})
    run(recipe)
    saved = newest(tmp_path)
    assert {t.dtype for t in saved.network.values()} == {torch.float32, torch.int64}
    run(micro_recipe(tmp_path / "fp32"))
    other = newest(tmp_path / "fp32").network
    assert not torch.equal(saved.network["conv1.weight"], other["conv1.weight"])


@pytest.mark.parametrize(("is_fast", "taken"), [(True, "bf16"), (False, "fp32")])
def test_auto_trains_and_is_recorded_as_what_was_taken(tmp_path, monkeypatch, is_fast, taken):
    monkeypatch.setattr(settings, "has_fast_bf16", lambda: is_fast)
    run(micro_recipe(tmp_path / "auto", train={"dtype": "auto"}))
    run(micro_recipe(tmp_path / "asked", train={"dtype": taken}))
    found, asked = newest(tmp_path / "auto"), newest(tmp_path / "asked")
    assert found.recipe["train"]["dtype"] == taken
    assert torch.equal(found.network["conv1.weight"], asked.network["conv1.weight"])


def test_initial_weights_are_taken_and_misfits_noted(tmp_path):
    run(micro_recipe(tmp_path / "first", log={"export": True}))
    path = str(tmp_path / "first" / "weights.safetensors")
    start = {"init_from": path, "learning_rate": 1e-12, "weight_decay": 0.0}
    run(micro_recipe(tmp_path / "second", train=start))
    first = newest(tmp_path / "first").average["conv1.weight"].half().float()
    torch.testing.assert_close(newest(tmp_path / "second").network["conv1.weight"], first)

    def other(recipe, device):
        return build_micro(recipe, device, with_norm=False)

    lenient = {"init_from": path, "init_strict": False}
    run(micro_recipe(tmp_path / "third", train=lenient), build=other)
    notes = [r["note"] for r in read_log(tmp_path / "third") if r["group"] == "event"]
    assert any("norm.weight: not in this network" in note for note in notes)


def test_two_processes_train_like_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    ranks = [
        subprocess.Popen(
            [sys.executable, SCRIPT, str(tmp_path / "two"), "4", "--plain", "2"],
            env=os.environ
            | {"OMP_NUM_THREADS": "1", "RANK": str(rank), "LOCAL_RANK": str(rank)}
            | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            | {"ACCELERATE_USE_CPU": "true"},
        )
        for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in ranks] == [0, 0]
    run(micro_recipe(tmp_path / "one", train={"steps": 4}), build=micro_run.build_plain)
    one, two = newest(tmp_path / "one"), newest(tmp_path / "two")
    assert two.progress.samples == one.progress.samples == 16
    for name in one.network:
        torch.testing.assert_close(one.network[name], two.network[name], atol=1e-5, rtol=1e-5)
    assert [r["step"] for r in read_log(tmp_path / "two") if r["group"] == "train"] == [2, 4]
