"""Tiny encoders trained from nothing and judged: what scene_ablation.py and scaling.py share.

Optimizer, rates and precision are those of recipes/tiny_encoder.toml (Muon for matrices). The
average of the weights always covers about the last ninth of the steps, however many they are, so
runs and checkpoints of different lengths are read alike.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from quality_tiny import HELD_OUT_SEED, Pair, Predict, mean_scores, pairs
from torch import Tensor

from nearfar.data.augment import AugmentOptions, augment_batch
from nearfar.data.scenes.options import SCENES_VERSION, SceneOptions
from nearfar.data.scenes.shards import SceneShards
from nearfar.encoders.tiny import PRESETS, TinyEncoder, TinyEncoderConfig
from nearfar.encoders.tiny_objective import TinyEncoderObjective
from nearfar.eval.metrics.image import flat_map, row_ramp
from nearfar.settings import cache_folder
from nearfar.train.config import TrainConfig
from nearfar.train.ema import MovingAverage
from nearfar.train.launch import settled
from nearfar.train.optimizer import make_optimizer, set_learning_rate
from nearfar.train.recipe import load_recipe
from nearfar.train.targets import autocast, draw_weights

RECIPE = Path(__file__).parents[1] / "recipes" / "tiny_encoder.toml"
SIZE = (96, 128)
SHARD = 256  # scenes a file: that of the recipes, so that their cache serves
AVERAGE = 0.999
WARM_UP_SHARE = 0.1  # the recipe's warm-up, but at most so much of a short run

Row = dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What a training may cost: `samples` and `seconds` of the processor (on CUDA: seconds).

    Ends with the first of both. falls: the rate follows half a cosine to that end, else it stays.
    """

    network: TinyEncoderConfig = PRESETS["tiny"]
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    samples: float = math.inf
    seconds: float = math.inf
    batch: int = 32
    scenes: int = 4096
    falls: bool = True

    def spent(self, samples: int, seconds: float) -> float:
        """The share 0..1 of what is allowed."""
        return min(1.0, max(samples / self.samples, seconds / self.seconds))


class Trained(NamedTuple):
    """An encoder on the CPU with averaged weights, and what it cost so far."""

    network: TinyEncoder
    samples: int
    seconds: float


def train(
    job: Job, shards: SceneShards, *, seed: int, device: str = "cpu", at: Sequence[int] = ()
) -> Iterator[Trained]:
    """The encoder after each number of samples in `at`, and at the end of the job."""
    place, generator = torch.device(device), torch.Generator().manual_seed(seed)
    config = recipe_config(place)
    network = TinyEncoder(job.network)
    draw_weights(network, generator=generator)
    network.to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    objective, average = TinyEncoderObjective(network), MovingAverage(network, AVERAGE)
    optimizer = make_optimizer(network, config)
    clock = time.perf_counter if place.type == "cuda" else time.process_time
    step, samples, seconds, waiting = 0, 0, 0.0, sorted(at)
    while job.spent(samples, seconds) < 1:
        start = clock()
        set_learning_rate(optimizer, rate(config, job, step, job.spent(samples, seconds)))
        numbers = torch.randint(job.scenes, (job.batch,), generator=generator)
        batch = augment_batch(
            shards.batch(numbers).to(place),
            size_hw=shards.size_hw,
            generator=generator,
            options=job.augment,
        )
        with autocast(place, config.dtype):
            losses = objective(batch, generator=generator)
        optimizer.zero_grad()
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
        optimizer.step()
        average.update(step)
        step, samples, seconds = step + 1, samples + job.batch, seconds + clock() - start
        is_asked = bool(waiting) and samples >= waiting[0]
        waiting = [number for number in waiting if number > samples]
        if is_asked or job.spent(samples, seconds) >= 1:
            yield Trained(_copy(average, job.network), samples, seconds)


def recipe_config(device: torch.device) -> TrainConfig:
    """How recipes/tiny_encoder.toml trains, its precision settled for the device."""
    return settled(load_recipe(RECIPE), device).train


def rate(config: TrainConfig, job: Job, step: int, spent: float) -> float:
    """AdamW's learning rate of a step (Muon's keeps its ratio to it)."""
    warmup = config.warmup
    if math.isfinite(job.samples):
        warmup = min(warmup, int(WARM_UP_SHARE * job.samples / job.batch))
    rise = min(1.0, (step + 1) / (warmup + 1))
    fall = config.final_fraction + (1 - config.final_fraction) * (1 + math.cos(math.pi * spent)) / 2
    return config.learning_rate * rise * (fall if job.falls else 1.0)


def _copy(average: MovingAverage, config: TinyEncoderConfig) -> TinyEncoder:
    network = TinyEncoder(config).eval()
    network.load_state_dict({name: t.detach().cpu() for name, t in average.state_dict().items()})
    return network


def predictor(network: TinyEncoder) -> Predict:
    """Photo to ln(metres + 1), of the photo's size."""

    def predict(rgb_HW3: np.ndarray) -> np.ndarray:
        image_B3HW = torch.from_numpy(rgb_HW3.copy()).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            log_B1HW: Tensor = network(image_B3HW).log_depth_BHW[:, None]
            size = rgb_HW3.shape[:2]
            log_B1HW = torch.nn.functional.interpolate(log_B1HW, size, mode="bilinear")
        return np.log1p(log_B1HW[0, 0].double().exp().numpy())

    return predict


def judge(predict: Predict, sets: Mapping[str, list[Pair]]) -> dict[str, Row]:
    """AbsRel and delta1 on every set, rounded to what pictures of that number can tell."""
    scores = {name: mean_scores(predict, members)._asdict() for name, members in sets.items()}
    return {name: {k: round(v, 5) for k, v in row.items()} for name, row in scores.items()}


def baselines(sets: Mapping[str, list[Pair]]) -> dict[str, dict[str, Row]]:
    """What a ramp over image rows and a flat map reach."""
    return {
        "row ramp": judge(lambda rgb_HW3: row_ramp(rgb_HW3.shape[:2]), sets),
        "flat map": judge(lambda rgb_HW3: flat_map(rgb_HW3.shape[:2]), sets),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of both scripts."""
    parser.add_argument("--quick", action="store_true", help="micro encoders, seconds each")
    parser.add_argument("--scenes", type=int, default=4096, help="training scenes in the pool")
    parser.add_argument("--held-out", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--pairs", type=Path, help="real pairs, a folder as for quality_tiny.py")
    parser.add_argument("--cache", type=Path, default=cache_folder() / "scenes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="the renderer: 8 times as fast")
    parser.add_argument("--output", type=Path, help="default: results/, nothing with --quick")


def common_settings(chosen: argparse.Namespace) -> dict[str, object]:
    """What results depend on besides a script's own options; no paths, they differ by machine."""
    return {
        "size": list(chosen.size),
        "scenes": chosen.scenes,
        "scenes_version": SCENES_VERSION,
        "batch": chosen.batch,
        "held_out": chosen.held_out,
        "pairs": chosen.pairs.name if chosen.pairs else None,
        "dtype": recipe_config(torch.device(chosen.device)).dtype,
    }


def pool(chosen: argparse.Namespace, changes: Mapping[str, float] | None = None) -> SceneShards:
    """Training scenes with these changes of the default look, rendered where missing."""
    options = SceneOptions(compile=chosen.compile, **(changes or {}))  # type: ignore[arg-type]
    shards = SceneShards(
        chosen.cache,
        seed=0,
        size_hw=chosen.size,
        shard_size=min(SHARD, chosen.scenes),
        options=options,
        device=chosen.device,
    )
    shards.ensure(chosen.scenes)
    return shards


def judged_sets(chosen: argparse.Namespace) -> dict[str, list[Pair]]:
    """`rendered`: scenes and textures that nobody trains on. `pairs`: real ones, if given."""
    sets = {"rendered": list(held_out(chosen))}
    if chosen.pairs:
        sets["pairs"] = list(pairs(chosen.pairs))
    return sets


def held_out(chosen: argparse.Namespace) -> Iterator[Pair]:
    """Held-out rendered scenes, everything switched on."""
    shards = SceneShards(
        chosen.cache,
        seed=HELD_OUT_SEED,
        size_hw=chosen.size,
        shard_size=chosen.held_out,
        options=SceneOptions(texture_seed=HELD_OUT_SEED, compile=chosen.compile),
        device=chosen.device,
    )
    batch = shards.batch(torch.arange(chosen.held_out))
    photos = (batch.image_B3HW * 255).round().byte().permute(0, 2, 3, 1).numpy()
    for index, (rgb_HW3, depth) in enumerate(zip(photos, batch.depth_BHW.double().numpy())):
        yield Pair(str(index), rgb_HW3, depth, (depth > 0) & (depth < 80))
