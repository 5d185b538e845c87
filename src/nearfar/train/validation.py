"""Held-out scenes: the objective's losses, aligned depth errors, and pictures to look at.

Everything is drawn from generators of its own, so validating changes nothing in the training.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nearfar.data.sample import DepthBatch
from nearfar.eval.metrics import abs_rel, align_log1p, delta1
from nearfar.family import TrainingTarget

from .config import Recipe
from .sources import VALIDATION, Source, Views, stream
from .targets import TrainedObjective, autocast


class Compared(NamedTuple):
    """A held-out image with truth and prediction, on the CPU.

    image_HW3: 0..1. depth_HW: metres, 0 unknown. aligned_HW: predicted metres after the fit in
    ln(metres + 1). valid_HW: where the truth is known.
    """

    image_HW3: NDArray[np.float32]
    depth_HW: NDArray[np.float32]
    aligned_HW: NDArray[np.float32]
    valid_HW: NDArray[np.bool_]


class Validation(NamedTuple):
    """Mean losses and aligned errors by name; the first images to look at."""

    values: dict[str, float]
    pictures: list[Compared]


@torch.no_grad()
def validate(
    recipe: Recipe, target: TrainingTarget, source: Source, views: Views, *, device: torch.device
) -> Validation:
    """Losses and errors over the held-out source, with the weights the network holds now."""
    network = target.network
    module = TrainedObjective(network, target.objective, dtype=recipe.train.dtype)
    was_training = network.training
    network.eval()
    losses: dict[str, float] = {}
    compared: list[Compared] = []
    count = min(len(source), recipe.data.validation_count)
    size = min(recipe.train.batch_size, count)
    try:
        for start in range(0, count, size):
            indices = torch.arange(start, min(start + size, count))
            batch = views.held_out(source.batch(indices).to(device))
            generator = stream(device, recipe.train.seed, VALIDATION, start)
            for name, value in _losses(module, batch, generator).items():
                losses[name] = losses.get(name, 0.0) + value * len(indices) / count
            compared += _compare(target, batch, generator, recipe)
    finally:
        network.train(was_training)
    return Validation(losses | _scores(compared), compared[: recipe.log.pictures])


def _scores(compared: list[Compared]) -> dict[str, float]:
    """Mean aligned errors; empty without images."""
    if not compared:
        return {}
    maps = [(c.aligned_HW, c.depth_HW, c.valid_HW) for c in compared]
    return {
        "abs_rel": float(np.mean([abs_rel(*m) for m in maps])),
        "delta1": float(np.mean([delta1(*m) for m in maps])),
    }


def _losses(module: nn.Module, batch: DepthBatch, generator: torch.Generator) -> dict[str, float]:
    losses = module(batch, generator=generator)
    return {"loss": float(losses.total)} | {n: float(part) for n, part in losses.parts.items()}


def _compare(
    target: TrainingTarget, batch: DepthBatch, generator: torch.Generator, recipe: Recipe
) -> list[Compared]:
    """One entry per image that has valid pixels; none if the target shows no depth."""
    if target.preview is None and target.echo is None:
        return []
    with autocast(batch.image_B3HW.device, recipe.train.dtype):
        if target.preview is not None:
            predicted_BHW = target.preview(batch.image_B3HW, generator, recipe.log.preview_steps)
        elif target.echo is not None:
            predicted_BHW = target.echo(batch.depth_BHW, batch.valid_BHW & ~batch.sky_BHW)
    predicted_BHW = predicted_BHW.float().nan_to_num()
    tensors: tuple[torch.Tensor, ...]
    tensors = (batch.image_B3HW, batch.depth_BHW, batch.valid_BHW, predicted_BHW)
    if batch.depth_BHW.ndim == 4:  # clips: their frames side by side, aligned as one map
        tensors = tuple(torch.cat(x.unbind(1), dim=-1) for x in tensors)
    rows = zip(*tensors, strict=True)
    compared = []
    for image_3HW, *maps in rows:
        depth_HW, valid_HW, predicted_HW = (m.cpu().numpy() for m in maps)
        if not valid_HW.any():
            continue
        aligned_HW = align_log1p(predicted_HW, depth_HW, valid_HW).astype(np.float32)
        image_HW3 = image_3HW.permute(1, 2, 0).float().cpu().numpy()
        compared.append(Compared(image_HW3, depth_HW, aligned_HW, valid_HW))
    return compared
