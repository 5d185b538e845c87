"""A run of DAR's micro network in one of several processes: its weights split, or copies (DDP).

python split_run.py FOLDER STEPS [--split] [--resume] [--poison] [train key=value ...]
"""

import math
import os
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch
from micro_run import AS_IS, fake_source, micro_recipe

from nearfar.train import optimizer
from nearfar.train.config import ModelConfig
from nearfar.train.loop import train
from nearfar.train.targets import build_target

OBJECTIVE = {"freeze_encoder": True, "is_checkpointed": True}


def split_recipe(folder, **changes):
    """The micro DAR; the encoder's norm statistics are frozen, so that copies are comparable."""
    made = micro_recipe(
        Path(folder),
        train={"batch_size": 2, "objective": OBJECTIVE, "ema_decay": 0.9} | changes,
        log={"checkpoint_every": 1, "validate_every": 2, "export": True, "keep": 9},
    )
    return replace(made, model=ModelConfig(kind="dar", preset="micro"))


def build_poisoned(recipe, device):
    """The family's own target, whose second training loss is NaN on the first process."""
    target = build_target(recipe, device)
    objective, calls = target.objective, []

    def poisoned(*given, **named):
        losses = objective(*given, **named)
        if target.network.training:
            calls.append(1)
        if len(calls) == 2 and target.network.training and os.environ["RANK"] == "0":
            return losses._replace(total=losses.total * math.nan)
        return losses

    return replace(target, objective=poisoned)


def run(folder, *, build=build_target, resume=False, **changes):
    # in bfloat16, which fast CPUs take, Muon makes large steps of how gradients were summed
    with mock.patch.object(optimizer, "_muon_dtype", return_value=torch.float32):
        recipe = split_recipe(folder, **changes)
        return train(recipe, build=build, make_source=fake_source, views=AS_IS, resume=resume)


if __name__ == "__main__":
    folder, steps, *words = sys.argv[1:]
    run(
        folder,
        build=build_poisoned if "--poison" in words else build_target,
        resume="--resume" in words,
        steps=int(steps),
        shard="--split" in words,
        **dict(word.split("=") for word in words if "=" in word),
    )
