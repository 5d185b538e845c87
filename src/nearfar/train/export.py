"""The product of a run: weights.safetensors (averaged, fp16) and card.json beside it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nearfar import __version__
from nearfar.errors import ConfigError, WeightsError
from nearfar.io.atomic import atomic_path, ensure_folder, staging

from .checkpoint import Checkpoint, list_checkpoints, load_checkpoint
from .datasets import seen_licences
from .recipe import recipe_from_table, recipe_hash

WEIGHTS, CARD = "weights.safetensors", "card.json"


def export_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write the averaged weights in fp16 and their card into the folder; returns the weights."""
    from nearfar.weights.safe import sha256_of, write_safetensors
    from nearfar.weights.shared_stem import without_stem

    card = make_card(checkpoint)
    target = checkpoint.target
    own = without_stem(target["family"], checkpoint.average, target["encoder_sha256"])
    halves = {name: _half(name, tensor) for name, tensor in own.items()}
    metadata = {
        "nearfar_format": "1",
        **target,
        "licence": card["licence"],
        "recipe_hash": card["recipe_hash"],
        "steps": str(card["steps"]),
        "samples": str(card["samples"]),
        "seconds": str(card["seconds"]),
        "commit": card["commit"],
        "data_licences": json.dumps(card["data_licences"]),
    }
    with staging(ensure_folder(folder), WEIGHTS) as stage:
        if stage is None:
            raise ConfigError(folder, "another process writes its weights", "Wait for its end")
        made = write_safetensors(stage / WEIGHTS, halves, metadata)
        card["sha256"] = sha256_of(made)
        with atomic_path(stage / CARD) as temporary:
            temporary.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        for name in (WEIGHTS, CARD):
            os.replace(stage / name, folder / name)
    return folder / WEIGHTS


def export_run(folder: Path) -> Path:
    """Write weights and card of a run folder's newest checkpoint (`nearfar train --export`)."""
    found = list_checkpoints(folder)
    if not found:
        raise ConfigError(folder, "holds no checkpoint", "Name the folder of a training run")
    return export_checkpoint(folder, load_checkpoint(found[-1], device=torch.device("cpu")))


def make_card(checkpoint: Checkpoint) -> dict[str, Any]:
    """Where the weights come from: recipe, data, amount, time, machine, commit, held-out errors."""
    recipe = {key: value for key, value in checkpoint.recipe.items() if key != "name"}
    read = recipe_from_table(recipe, where="checkpoint")
    average = checkpoint.average.values()
    return {
        **checkpoint.target,
        "licence": recipe["model"]["licence"],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "nearfar": __version__,
        "recipe_hash": recipe_hash(read),
        "training_data": recipe["data"]["source"],
        **_built_on(read.model.backbone),
        "data_licences": seen_licences(read),
        "recipe": {name: part for name, part in recipe.items() if name != "log"},
        "parameters": sum(t.numel() for t in average if t.is_floating_point()),
        "steps": checkpoint.progress.step,
        "samples": checkpoint.progress.samples,
        "seconds": round(checkpoint.progress.seconds, 1),
        "machine": machine(),
        "validation": checkpoint.metrics,
    }


def _built_on(backbone: str) -> dict[str, Any]:
    """The package whose weights a run started from: name, version, sha256, licence, credit."""
    from .frozen_parts import BACKBONES

    return {"built_on": BACKBONES[backbone]._asdict()} if backbone else {}


def machine() -> dict[str, Any]:
    """The hardware and versions of this process."""
    has_gpu = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if has_gpu else platform.processor() or "cpu",
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _half(name: str, tensor: Tensor) -> Tensor:
    """The tensor in fp16 on the CPU, whole numbers as they are; WeightsError beyond its range."""
    tensor = tensor.detach().cpu()
    if not tensor.is_floating_point():
        return tensor.contiguous()
    half = tensor.half().contiguous()
    if not torch.isfinite(half).all():
        raise WeightsError(WEIGHTS, f"{name} has values that fp16 cannot hold, or NaN")
    return half


def _commit() -> str:
    """The commit of the source tree this runs from, with + if it was changed; empty if unknown."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
