"""Two processes with split weights against two with copies: the same numbers, the same files."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import split_run
import torch
from micro_run import micro_recipe
from micro_run import run as run_micro
from safetensors.torch import load_file

from nearfar.errors import ConfigError
from nearfar.models.dar.network import DARNetwork
from nearfar.models.dar.presets import PRESETS
from nearfar.train import shards
from nearfar.train.checkpoint import list_checkpoints, load_checkpoint

SCRIPT = str(Path(__file__).parent / "split_run.py")
CLOSE = {"atol": 5e-6, "rtol": 1e-4}  # gradients are summed in another order


def two(folder, steps, *words):
    """Train in two gloo processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    given = {"OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
    given |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = [
        subprocess.Popen(
            [sys.executable, SCRIPT, str(folder), str(steps), *words],
            env=os.environ | given | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    assert [process.wait(timeout=240) for process in processes] == [0, 0]


def saved(folder, step=None):
    found = list_checkpoints(folder)
    path = found[-1] if step is None else folder / "checkpoints" / f"{step:08d}.pt"
    return load_checkpoint(path, device=torch.device("cpu"))


def leaves(tree, name=""):
    if not isinstance(tree, dict):
        return {name: tree}
    return {k: v for key, part in tree.items() for k, v in leaves(part, f"{name}.{key}").items()}


def assert_same(one, other, **close):
    """Names, shapes and numbers of two checkpoints; close: tolerances."""
    for part in ("network", "average", "optimizer"):
        ours, theirs = leaves(getattr(one, part)), leaves(getattr(other, part))
        assert list(ours) == list(theirs)
        for name, value in ours.items():
            if isinstance(value, torch.Tensor):
                assert type(theirs[name]) is torch.Tensor and value.shape == theirs[name].shape
                torch.testing.assert_close(theirs[name], value, **(close or CLOSE), msg=name)
    assert one.progress[:2] == other.progress[:2]
    assert other.metrics == pytest.approx(one.metrics, rel=1e-4)


def test_split_weights_train_like_copies_and_go_on_in_one_process(tmp_path):
    copies, split = tmp_path / "copies", tmp_path / "split"
    two(copies, 3)
    two(split, 2, "--split")
    assert_same(saved(copies, 2), saved(split, 2))
    alone = tmp_path / "alone"
    shutil.copytree(split, alone)
    for path in list_checkpoints(copies)[2:]:
        path.unlink()
    for folder in (copies, alone):  # from two processes to one
        split_run.run(folder, steps=3, resume=True, shard=folder is alone)
    assert_same(saved(copies), saved(alone))
    two(split, 3, "--split", "--resume")  # and on as they were
    assert saved(split).progress.samples == 12
    card = json.loads((split / "card.json").read_text())
    assert card["steps"] == 3 and card["validation"].keys() == saved(copies).metrics.keys()
    weights = load_file(split / "weights.safetensors")
    average = saved(split).average
    assert {n: t.shape for n, t in weights.items()} == {n: t.shape for n, t in average.items()}


def test_from_one_process_to_two_with_muon_and_a_bad_step(tmp_path):
    folders = copies, split = tmp_path / "copies", tmp_path / "split"
    split_run.run(copies, steps=1, optimizer="muon")
    shutil.copytree(copies, split)
    words = ("--resume", "--poison", "optimizer=muon")
    two(copies, 4, *words)
    two(split, 4, *words, "--split")
    for folder in folders:
        lines = (folder / "log.jsonl").read_text().splitlines()
        notes = [json.loads(line) for line in lines if '"skipped"' in line]
        assert [note["step"] for note in notes] == [3]
    assert_same(saved(copies), saved(split), atol=2e-5, rtol=1e-3)
    torch.testing.assert_close(saved(split, 3).network, saved(split, 2).network)
    moved = saved(split).network["transformer.mid_block.1.mlp.fc1.weight"]
    assert not torch.equal(moved, saved(split, 3).network["transformer.mid_block.1.mlp.fc1.weight"])


def test_bf16_gathers_half_and_keeps_float_masters(tmp_path):
    two(tmp_path / "copies", 2, "dtype=bf16")
    two(tmp_path / "split", 2, "dtype=bf16", "--split")
    copies, split = saved(tmp_path / "copies"), saved(tmp_path / "split")
    assert {t.dtype for t in split.network.values()} == {torch.float32, torch.int64}
    for name, value in copies.network.items():
        # two steps of AdamW, a third of the warm-up: a sign may turn, nothing may run away
        assert (split.network[name] - value).abs().max() <= 2.1e-3, name
    assert split.metrics["loss"] == pytest.approx(copies.metrics["loss"], rel=5e-3)


def test_blocks_hold_nearly_all_weights_of_the_large_preset():
    with torch.device("meta"):
        network = DARNetwork(PRESETS["large"])
    blocks = network.blocks()
    assert len(blocks) == 24 + 13 and list(blocks.values()).count(("remember",)) == 13
    inside = sum(p.numel() for block in blocks for p in block.parameters())
    assert inside > 0.95 * sum(p.numel() for p in network.parameters())


def test_other_kinds_and_other_tricks_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"train\.shard: a micro is not made to be split"):
        run_micro(micro_recipe(tmp_path, train={"shard": True}))
    with pytest.raises(ConfigError, match=r"train\.shard: compile"):
        micro_recipe(tmp_path, train={"shard": True, "compile": True})


def test_nothing_split_is_nothing_changed():
    weight = torch.nn.Parameter(torch.ones(3, 2))
    for same in (shards.own, shards.whole, lambda t: shards.joined(t, t)):
        assert same(weight) is weight
    assert shards.part_of(weight, weight) is weight
    assert shards.collected({"a": weight, "b": 1}, is_kept=False) == {"a": weight, "b": 1}
    layer = torch.nn.Linear(2, 3)
    shards.put_network(layer, {"weight": weight}, strict=False)
    assert torch.equal(layer.weight, weight)
    with pytest.raises(RuntimeError, match="Missing key"):
        shards.put_network(layer, {"weight": weight})
