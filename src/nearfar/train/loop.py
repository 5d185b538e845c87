"""The training loop: one for every family, on one CPU, one GPU, or many processes.

A step: draw its images, `accumulate` times forward and backward, clip, AdamW, moving average. All
randomness is a function of the step (sources.py), so a checkpoint holds no random state and a run
that was killed and resumed gives the same bits as one that was not (on a CPU).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nearfar.data.sample import DepthBatch
from nearfar.errors import DataError
from nearfar.family import TrainingTarget
from nearfar.settings import set_threads

from .checkpoint import (
    Checkpoint,
    Progress,
    alone_in,
    load_checkpoint,
    open_run,
    refuse_other_model,
    run_folder,
    save_checkpoint,
    should_save,
)
from .config import Recipe
from .datasets import check_licences
from .ema import MovingAverage
from .export import export_checkpoint
from .launch import Accelerator, make_accelerator, settled, share_work
from .logging import RunLog
from .optimizer import learning_rate, set_learning_rate
from .recipe import recipe_table
from .shards import collected, gathered, put_network, put_optimizer, share_buffers, whole
from .sources import (
    NOISE,
    Feed,
    Source,
    SourceBuilder,
    Views,
    build_source,
    build_validation,
    build_views,
    stream,
    window,
)
from .targets import (
    TargetBuilder,
    TrainedObjective,
    build_target,
    load_initial,
    read_initial,
)
from .validation import validate
from .watch import Clock, Watcher

_log = logging.getLogger(__name__)


class TrainingEnd(NamedTuple):
    """The run folder, steps done, whether that is all of them, last held-out values."""

    folder: Path
    step: int
    is_complete: bool
    metrics: dict[str, float]


@dataclass(kw_only=True, slots=True)
class _Run:
    """Everything alive during a run."""

    recipe: Recipe
    folder: Path
    accelerator: Accelerator
    target: TrainingTarget
    module: Any  # the TrainedObjective, wrapped
    is_split: bool  # weights over processes (shards.py): all of them validate, save and resume
    optimizer: Any
    average: MovingAverage
    progress: Progress
    held_out: Source | None
    views: Views
    watcher: Watcher
    metrics: dict[str, float]
    started: float  # of this session, on time.perf_counter


class _StepResult(NamedTuple):
    loss: float
    norm: float
    parts: dict[str, Tensor]
    is_good: bool
    waited_s: float  # for images

    def values(self) -> dict[str, float | Tensor] | None:
        """Named scalars for the log; None for a skipped step."""
        return {"loss": self.loss, "grad_norm": self.norm, **self.parts} if self.is_good else None


def train(
    recipe: Recipe,
    *,
    watcher: Watcher | None = None,
    resume: bool = False,
    overwrite: bool = False,
    build: TargetBuilder = build_target,
    make_source: SourceBuilder = build_source,
    views: Views | None = None,
) -> TrainingEnd:
    """Train the recipe into its run folder: log, checkpoints, pictures, weights and card.

    resume: go on from the newest checkpoint. overwrite: start again in a used folder. build,
    make_source and views (default: the recipe's) exist for families and data of your own.
    """
    started = time.perf_counter()
    check_licences(recipe)
    set_threads(recipe.train.threads or None)
    accelerator = make_accelerator()
    is_main = accelerator.is_main_process
    with alone_in(run_folder(recipe)) if is_main else nullcontext():
        start = open_run(recipe, resume=resume, overwrite=overwrite)
        return _train(recipe, start, accelerator, watcher, build, make_source, views, started)


def _train(
    recipe: Recipe,
    start: Path | None,
    accelerator: Accelerator,
    watcher: Watcher | None,
    build: TargetBuilder,
    make_source: SourceBuilder,
    views: Views | None,
    started: float,
) -> TrainingEnd:
    recipe = settled(recipe, accelerator.device)
    networks = _networks(recipe, accelerator, build)
    source = make_source(recipe.data, accelerator.device)
    run = _Run(
        recipe=recipe,
        folder=run_folder(recipe),
        accelerator=accelerator,
        held_out=build_validation(recipe.data, accelerator.device, make_source),
        views=views or build_views(recipe.data),
        watcher=watcher if watcher and accelerator.is_main_process else Watcher(),
        progress=Progress(),
        metrics={},
        started=started,
        **networks,
    )
    notes = _start(run, start)
    _prepare(run, source)
    place = _place_of(accelerator)
    feed = Feed(recipe, source, run.views.train, device=accelerator.device, **place)
    with (
        RunLog(
            run.folder if accelerator.is_main_process else None,
            start_step=run.progress.step,
            use_tensorboard=recipe.log.tensorboard,
        ) as log,
        feed.ahead(run.progress.step, recipe.train.steps) as batches,
        torch.backends.cudnn.flags(enabled=True, benchmark=True),
    ):
        for note in notes:
            _log.warning("%s", note)
            log.write(run.progress.step, "event", {"note": note})
        _loop(run, batches, log)
        accelerator.wait_for_everyone()
    is_complete = run.progress.step >= recipe.train.steps
    return TrainingEnd(run.folder, run.progress.step, is_complete, run.metrics)


def _place_of(accelerator: Accelerator) -> dict[str, int]:
    """Which of how many processes this is."""
    return {"rank": accelerator.process_index, "world_size": accelerator.num_processes}


def _prepare(run: _Run, source: Source) -> None:
    """Have the held-out images and those of the first step ready, every process its share."""
    accelerator, samples = run.accelerator, _samples_per_step(run)
    place = _place_of(accelerator)
    first = window(run.progress.step * samples, run.recipe.data, len(source))
    source.prepare(first, progress=run.watcher.on_data, **place)
    if run.held_out is not None:
        run.held_out.prepare(len(run.held_out), progress=run.watcher.on_data, **place)
    accelerator.wait_for_everyone()


def _loop(run: _Run, batches: Iterator[DepthBatch], log: RunLog) -> None:
    """Steps until the last one, a wish to stop, or the end of the allowed time."""
    train, every = run.recipe.train, run.recipe.log
    clock = Clock(_samples_per_step(run), train.steps, started=run.started)
    is_over = run.progress.step >= train.steps
    saved_at = -1
    while not is_over:
        result = _step(run, batches)
        seconds = run.progress.seconds + clock.took_step(result.values(), waited_s=result.waited_s)
        run.progress = run.progress._replace(seconds=seconds)
        step = run.progress.step
        run.watcher.on_step(clock.report(step, result.loss))
        if not result.is_good:
            log.write(step, "event", {"note": "skipped", "loss": result.loss, "norm": result.norm})
        is_over = step >= train.steps or _agree_to_stop(run, clock)
        if step % every.every == 0 or is_over:
            run.watcher.on_record(log.write(step, "train", _record(run, clock)))
        if is_over and step < train.steps:
            _save(run)  # whoever stops a run may not wait for its validation
        if is_over or (every.validate_every and step % every.validate_every == 0):
            _validate(run, log)
        is_due = should_save(step, clock.since_save(), every)
        if is_over or (_agree(run, is_due) if run.is_split else is_due):
            _save(run)
            clock.saved()
            saved_at = step
    if saved_at < 0 and run.recipe.log.export:  # resumed when it was already complete
        checkpoint = _checkpoint(run)
        if run.accelerator.is_main_process:
            export_checkpoint(run.folder, checkpoint)


def _step(run: _Run, batches: Iterator[DepthBatch]) -> _StepResult:
    """One optimizer step; it is skipped, and counted, if loss or gradient is not finite."""
    train, accelerator = run.recipe.train, run.accelerator
    step = run.progress.step
    set_learning_rate(run.optimizer, learning_rate(step, train))
    if run.target.on_progress is not None:
        run.target.on_progress(step / train.steps)
    if run.is_split:
        share_buffers(run.target.network)
    total = torch.zeros((), device=accelerator.device)
    parts: dict[str, Tensor] = {}
    waited_s = 0.0
    for part in range(train.accumulate):
        asked = time.perf_counter()
        batch = next(batches)
        waited_s += time.perf_counter() - asked
        numbers = (train.seed, NOISE, step, part, accelerator.process_index)
        if part < train.accumulate - 1:
            with accelerator.no_sync(run.module):
                losses = _forward_backward(run, batch, stream(accelerator.device, *numbers))
        else:
            losses = _forward_backward(run, batch, stream(accelerator.device, *numbers))
        total += losses.total.detach() / train.accumulate
        for name, value in losses.parts.items():
            parts[name] = parts.get(name, 0.0) + value.detach() / train.accumulate
    norm = whole(accelerator.clip_grad_norm_(run.module.parameters(), train.clip_norm))
    if accelerator.num_processes > 1:
        total = accelerator.reduce(total, reduction="mean")
    loss_value, norm_value = torch.stack([total.float(), norm.float()]).tolist()
    is_good = math.isfinite(loss_value) and math.isfinite(norm_value)
    if is_good:
        run.optimizer.step()
        run.average.update(step)
    else:
        run.average.heal_buffers(run.target.network)
    run.optimizer.zero_grad(set_to_none=True)
    run.progress = run.progress._replace(
        step=step + 1,
        samples=run.progress.samples + _samples_per_step(run),
        bad_steps=0 if is_good else run.progress.bad_steps + 1,
    )
    if run.progress.bad_steps >= train.max_bad_steps:
        raise DataError(
            f"step {step + 1}",
            f"loss {loss_value}, gradient norm {norm_value}, {train.max_bad_steps} steps in a row",
            "Lower train.learning_rate, or resume from an older checkpoint",
        )
    return _StepResult(loss_value, norm_value, parts, is_good, waited_s)


def _forward_backward(run: _Run, batch: DepthBatch, generator: torch.Generator) -> Any:
    """Losses of one part; its gradients are added to those there."""
    if run.recipe.train.channels_last:
        image_B3HW = batch.image_B3HW.contiguous(memory_format=torch.channels_last)
        batch = batch._replace(image_B3HW=image_B3HW)
    losses = run.module(batch, generator=generator)
    run.accelerator.backward(losses.total / run.recipe.train.accumulate)
    return losses


def _samples_per_step(run: _Run) -> int:
    train = run.recipe.train
    return train.batch_size * train.accumulate * run.accelerator.num_processes


def _record(run: _Run, clock: Clock) -> dict[str, Any]:
    """What a line of the log says about training."""
    return clock.record() | {
        "learning_rate": learning_rate(run.progress.step - 1, run.recipe.train),
        "samples": run.progress.samples,
        "seconds": round(run.progress.seconds, 3),
    }


def _agree_to_stop(run: _Run, clock: Clock) -> bool:
    """Whether any process wants to stop; all processes get the same answer."""
    limit = run.recipe.train.max_seconds
    wish = run.watcher.should_stop() or 0 < limit <= clock.session()
    return _agree(run, wish)


def _agree(run: _Run, wish: bool) -> bool:
    """Whether any process wishes it."""
    if run.accelerator.num_processes == 1:
        return wish
    wishes = torch.tensor(float(wish), device=run.accelerator.device)
    return bool(run.accelerator.reduce(wishes, reduction="sum") > 0)


def _validate(run: _Run, log: RunLog) -> None:
    """Held-out losses and errors of the averaged weights, into log, pictures and the card."""
    if run.held_out is None or not (run.accelerator.is_main_process or run.is_split):
        return
    with run.average.applied(), gathered(run.module, is_split=run.is_split):
        values, pictures = validate(
            run.recipe, run.target, run.held_out, run.views, device=run.accelerator.device
        )
    run.metrics = values
    run.watcher.on_record(log.write(run.progress.step, "val", values))
    log.show(run.progress.step, pictures)
    if pictures:
        run.watcher.on_pictures(run.progress.step, pictures, run.folder / "pictures")


def _checkpoint(run: _Run) -> Checkpoint:
    """What is saved; all processes must call it where weights are split, the first one keeps it."""
    is_kept = run.accelerator.is_main_process
    return Checkpoint(
        network=collected(run.target.network.state_dict(), is_kept=is_kept),
        average=collected(run.average.state_dict(), is_kept=is_kept),
        optimizer=collected(run.optimizer.state_dict(), is_kept=is_kept),
        progress=run.progress,
        recipe=recipe_table(run.recipe),
        target={
            "family": run.target.family,
            "preset": run.target.preset,
            "encoder": run.target.encoder,
            "encoder_sha256": run.target.encoder_sha256,
        },
        metrics=run.metrics,
    )


def _save(run: _Run) -> None:
    """Checkpoint and, if wanted, weights and card, by the first process.

    No barrier, except for split weights: the clocks of processes differ, so only the first one
    knows that it is time.
    """
    is_main = run.accelerator.is_main_process
    if is_main or run.is_split:
        checkpoint = _checkpoint(run)
    if is_main:
        save_checkpoint(run.folder, checkpoint, keep=run.recipe.log.keep)
        if run.recipe.log.export:
            export_checkpoint(run.folder, checkpoint)


def _start(run: _Run, path: Path | None) -> list[str]:
    """Load the checkpoint to go on from, or the initial weights; returns notes for the log."""
    train = run.recipe.train
    if path is not None:
        device = torch.device("cpu") if run.is_split else run.accelerator.device
        saved = load_checkpoint(path, device=device)
        changes = refuse_other_model(run.recipe, saved, path)
        put_network(run.target.network, saved.network)
        run.average.load_state_dict(saved.average)
        put_optimizer(run.optimizer, saved.optimizer)
        run.progress, run.metrics = saved.progress, saved.metrics
        return [f"resumed with another {change}" for change in changes]
    if not train.init_from:
        return []
    state = read_initial(Path(train.init_from))
    faults = load_initial(run.target.network, state, strict=train.init_strict)
    run.average.reset()
    return [f"init_from {train.init_from}: {fault}" for fault in faults]


def _networks(recipe: Recipe, accelerator: Accelerator, build: TargetBuilder) -> dict[str, Any]:
    """Target, wrapped module, optimizer and average, on the accelerator's device."""
    target = build(recipe, accelerator.device)
    network = target.network.train()
    if recipe.train.channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if recipe.train.compile:
        network.compile()
    module = TrainedObjective(network, target.objective, dtype=recipe.train.dtype)
    shared = share_work(accelerator, module, target.blocks, recipe)
    average = MovingAverage(network, recipe.train.ema_decay)
    return {"target": target, **shared._asdict(), "average": average}
