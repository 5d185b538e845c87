"""Everything an exact resume needs, in one file that exists completely or not at all.

folder/checkpoints/00001200.pt holds network, average, optimizer and counters after 1200 steps.
Nothing random is saved: random numbers depend on the step alone (sources.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch

from nearfar.errors import ConfigError, OutputError, WeightsError
from nearfar.io.atomic import atomic_path, ensure_folder, held, remove_leftovers

from .config import LogConfig, Recipe
from .logging import is_log
from .recipe import recipe_table

_FORMAT = 1
_FOLDER = "checkpoints"


class Progress(NamedTuple):
    """How far a run is. step: optimizer steps done; seconds: of training, over all sessions."""

    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    bad_steps: int = 0  # skipped because of NaN or infinity, in a row


class Checkpoint(NamedTuple):
    """States to load, the progress they belong to, and where they come from.

    target: family, preset and encoder tag. metrics: the last held-out losses and errors.
    """

    network: dict[str, Any]
    average: dict[str, Any]
    optimizer: dict[str, Any]
    progress: Progress
    recipe: dict[str, Any]
    target: dict[str, str]
    metrics: dict[str, float]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Write the checkpoint under its step number; older ones beyond `keep` are removed after."""
    target = folder / _FOLDER / f"{checkpoint.progress.step:08d}.pt"
    target.parent.mkdir(parents=True, exist_ok=True)
    content = checkpoint._asdict() | {
        "format": _FORMAT,
        "progress": checkpoint.progress._asdict(),
    }
    try:
        with atomic_path(target) as temporary, open(temporary, "wb") as file:
            torch.save(content, file)
    except RuntimeError as error:
        raise OutputError(target, f"checkpoint not written ({error})", "Free disk space") from error
    for old in list_checkpoints(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return target


def load_checkpoint(path: Path, *, device: torch.device) -> Checkpoint:
    """The checkpoint in a file; tensors on the device, and nothing in the file is executed."""
    try:
        place = "cpu" if device.type == "cpu" else device  # several processes have a cpu:0
        content = torch.load(path, map_location=place, weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            path, f"not a readable checkpoint ({reason[:200]})", "Delete it to resume from an older"
        ) from error
    if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
        raise WeightsError(path, "not a checkpoint of this version of nearfar train")
    progress = Progress(**content.pop("progress"))
    return Checkpoint(progress=progress, **content)


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints of a run folder, oldest first."""
    return sorted((folder / _FOLDER).glob("[0-9]*.pt"))


def run_folder(recipe: Recipe) -> Path:
    """Where the run writes: log.folder, or runs/<recipe name>."""
    return Path(recipe.log.folder or f"runs/{recipe.name}")


def open_run(recipe: Recipe, *, resume: bool, overwrite: bool) -> Path | None:
    """Decide how a run starts: the checkpoint to go on from, or None for a fresh start.

    A folder with checkpoints needs `resume` or `overwrite`; overwriting removes them. Weights, a
    card or a log that no run of ours left need `overwrite`.
    """
    folder = run_folder(recipe)
    found = list_checkpoints(folder)
    for place in (folder, folder / _FOLDER):
        remove_leftovers(place)
    if not found:
        names = ("weights.safetensors", "card.json", *(() if is_log(folder) else ("log.jsonl",)))
        own = next((folder / n for n in names if os.path.lexists(folder / n)), None)
        if own is not None and not overwrite:
            raise ConfigError(own, "is there, but no run", "Use --overwrite or log.folder=OTHER")
        return None
    if resume:
        for path in found[: -recipe.log.keep]:  # of a run that was killed before it did so
            path.unlink(missing_ok=True)
        return found[-1]
    if not overwrite:
        raise ConfigError(
            run_folder(recipe),
            f"holds a run of {int(found[-1].stem)} steps",
            "Use --resume to go on, --overwrite to start again, or log.folder=OTHER",
        )
    for path in found:
        path.unlink(missing_ok=True)  # by another process of the run
    return None


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """The run folder is this process' own in the block; ConfigError if another one trains there."""
    is_new = not folder.exists()
    with held(ensure_folder(folder)) as is_ours:
        if not is_ours:
            raise ConfigError(folder, "another process trains in it", "Use log.folder=OTHER")
        try:
            yield
        finally:
            if is_new:
                with suppress(OSError):  # something is in it
                    folder.rmdir()


def refuse_other_model(recipe: Recipe, checkpoint: Checkpoint, path: Path) -> list[str]:
    """Keys outside [model] and [log] that changed since the checkpoint; another model raises."""
    now, then = recipe_table(recipe), checkpoint.recipe
    if now["model"] != then["model"]:
        raise ConfigError(path, f"is of {then['model']}", "Use --overwrite or log.folder=OTHER")
    return [
        f"{section}.{key}: {then[section].get(key)!r} -> {value!r}"
        for section in ("data", "train")
        for key, value in now[section].items()
        if then[section].get(key) != value
    ]


def should_save(step: int, since_last_s: float, log: LogConfig) -> bool:
    """Whether a checkpoint is due after `step` steps and so many seconds since the last."""
    by_step = log.checkpoint_every > 0 and step % log.checkpoint_every == 0
    return by_step or 0 < log.checkpoint_seconds <= since_last_s
