"""Held-out scenes: the objective's losses, aligned depth errors, and pictures to look at.

Errors come from the judge of `nearfar eval`, so that an image, a clip and a training are measured
alike. Everything is drawn from generators of its own: validating changes nothing in the training.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nearfar.data.record import DepthRecord
from nearfar.data.sample import DepthBatch
from nearfar.eval.judge import FrameResult, judge
from nearfar.eval.predictions import GivenMaps
from nearfar.eval.protocol import Protocol, load_protocol
from nearfar.family import TrainingTarget

from .config import Recipe
from .sources import VALIDATION, Source, Views, stream
from .targets import TrainedObjective, autocast

METRICS = ("abs_rel", "delta1")


class Compared(NamedTuple):
    """A held-out image with truth and prediction, on the CPU.

    image_HW3: 0..1. depth_HW: metres, 0 unknown. aligned_HW: predicted metres after the fit in
    ln(metres + 1). valid_HW: where the truth is known. Of a clip: its scored frames side by side.
    """

    image_HW3: NDArray[np.float32]
    depth_HW: NDArray[np.float32]
    aligned_HW: NDArray[np.float32]
    valid_HW: NDArray[np.bool_]


class Validation(NamedTuple):
    """Mean losses and aligned errors by name; the first images to look at."""

    values: dict[str, float]
    pictures: list[Compared]


class _Judged(NamedTuple):
    """Mean errors over the frames of a clip, by name, and its picture."""

    values: dict[str, float]
    picture: Compared


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
    judged: list[_Judged] = []
    count = min(len(source), recipe.data.validation_count)
    size = min(recipe.train.batch_size, count)
    try:
        for start in range(0, count, size):
            indices = torch.arange(start, min(start + size, count))
            batch = views.held_out(source.batch(indices).to(device))
            generator = stream(device, recipe.train.seed, VALIDATION, start)
            for name, value in _losses(module, batch, generator).items():
                losses[name] = losses.get(name, 0.0) + value * len(indices) / count
            judged += _judged(target, batch, generator, recipe)
    finally:
        network.train(was_training)
    errors = {n: float(np.mean([one.values[n] for one in judged])) for n in METRICS if judged}
    pictures = [one.picture for one in judged[: recipe.log.pictures]]
    return Validation(losses | errors, pictures)


def _losses(module: nn.Module, batch: DepthBatch, generator: torch.Generator) -> dict[str, float]:
    losses = module(batch, generator=generator)
    return {"loss": float(losses.total)} | {n: float(part) for n, part in losses.parts.items()}


def _judged(
    target: TrainingTarget, batch: DepthBatch, generator: torch.Generator, recipe: Recipe
) -> list[_Judged]:
    """Errors and picture of every image or clip; none if the target shows no depth."""
    if target.preview is None and target.echo is None:
        return []
    with autocast(batch.image_B3HW.device, recipe.train.dtype):
        if target.preview is not None:
            predicted_BHW = target.preview(batch.image_B3HW, generator, recipe.log.preview_steps)
        elif target.echo is not None:
            predicted_BHW = target.echo(batch.depth_BHW, batch.valid_BHW & ~batch.sky_BHW)
    # 1. [B,T,...] on the CPU; an image is a clip of one frame
    is_clip = batch.depth_BHW.ndim == 4
    predicted_BHW = predicted_BHW.float().nan_to_num()  # a run that diverges is told, not ended
    maps = (batch.image_B3HW.float(), batch.depth_BHW, batch.valid_BHW, predicted_BHW)
    clips = (x.cpu() if is_clip else x.cpu().unsqueeze(1) for x in maps)
    # 2. every clip under one fit, as `nearfar eval` judges it
    protocol = _protocol()
    judged = []
    for image_T3HW, depth_THW, valid_THW, predicted_THW in zip(*clips, strict=True):
        records = [_record(*frame) for frame in zip(image_T3HW, depth_THW, valid_THW, strict=True)]
        estimator = GivenMaps(predicted_THW.numpy(), value_space="affine_log1p")
        results = judge(records, range(len(records)), protocol, estimator)
        scored = [(i, v) for i, v in enumerate(results) if v.scored is not None]
        if not scored:
            continue
        values = {n: float(np.mean([v.row.values[n] for _, v in scored])) for n in METRICS}
        judged.append(_Judged(values, _picture(image_T3HW, [i for i, _ in scored], results)))
    return judged


def _protocol() -> Protocol:
    """`synthetic` with AbsRel and delta1 only, for any held-out data: all known depth counts."""
    locked = load_protocol("synthetic")
    mask = replace(locked.mask, terms=("file",), empty="skip")
    return replace(locked, metrics=METRICS, mask=mask)


def _record(image_3HW: torch.Tensor, depth_HW: torch.Tensor, valid_HW: torch.Tensor) -> DepthRecord:
    """A frame of a batch as a sample of a dataset; its photo is for the size only."""
    known_HW = (valid_HW & (depth_HW > 0)).numpy()
    return DepthRecord(
        sample_id="held-out",
        scene="",
        rgb_HW3=(image_3HW.clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy(),
        depth_HW=np.where(known_HW, depth_HW.float().numpy(), np.float32(0)),
        valid_HW=known_HW,
    )


def _picture(image_T3HW: torch.Tensor, shown: list[int], results: list[FrameResult]) -> Compared:
    """The frames `shown` side by side."""
    scored = [frame for i in shown if (frame := results[i].scored) is not None]
    return Compared(
        np.concatenate([image_T3HW[i].permute(1, 2, 0).numpy() for i in shown], axis=1),
        np.concatenate([frame.sample.truth_HW for frame in scored], axis=1),
        np.concatenate([frame.depth_HW for frame in scored], axis=1).astype(np.float32),
        np.concatenate([frame.sample.known_HW for frame in scored], axis=1),
    )
