"""What each group of additions to scenes and augmentation is worth, at equal training time.

    python benchmarks/scene_ablation.py --quick
    python benchmarks/scene_ablation.py --preset tiny --seconds 900 --seeds 3 --pairs FOLDER --store

A tiny encoder is trained from nothing on every variant (one group switched off, the rest on) for
the same processor seconds (on CUDA: seconds), several seeds each. Rendering is done before and not
counted. AbsRel after a fit in ln(metres + 1), on held-out rendered scenes with everything on, and
on real pairs if given (folder as for quality_tiny.py). Above "all" = the group helped. A difference
smaller than the spread over seeds shows nothing.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from quality_tiny import HELD_OUT_SEED, Pair, Predict, mean_scores, pairs
from stamp import RESULTS, store
from torch import Tensor

from sonde.data.augment import AugmentOptions, augment_batch
from sonde.data.scenes.options import SceneOptions
from sonde.data.scenes.shards import SceneShards
from sonde.encoders.tiny import PRESETS, TinyEncoder
from sonde.encoders.tiny_objective import TinyEncoderObjective
from sonde.eval.metrics import flat_map, row_ramp
from sonde.settings import cache_folder, keep_freed_memory
from sonde.train.ema import MovingAverage
from sonde.train.targets import autocast, draw_weights

SIZE = (96, 128)


class Variant(NamedTuple):
    """Options that differ from the defaults."""

    scenes: dict[str, float]
    augment: dict[str, float]


VARIANTS = {
    "all": Variant({}, {}),
    "no close views": Variant({"floor": 0.0, "desk": 0.0}, {}),
    "no clutter": Variant({"clutter": 0.0}, {}),
    "no prints": Variant({"prints": 0.0}, {}),
    "no natural albedo": Variant({"albedo": 0.0}, {}),
    "no soft lights": Variant({"lights": 0.0}, {}),
    "no sensor": Variant({"sensor": 0.0}, {}),
    "no random filter": Variant({}, {"random_filter": 0.0}),
    "no fourier": Variant({}, {"fourier": 0.0}),
    "no flatten, erase": Variant({}, {"flatten": 0.0, "erase": 0.0}),
    "no strong colour": Variant({}, {"strong": 0.0}),
    "no rotation": Variant({}, {"rotate": 0.0}),
}
QUICK = ("all", "no prints", "no random filter")


def main() -> None:
    chosen = arguments()
    torch.set_num_threads(1)
    keep_freed_memory()
    names = QUICK if chosen.quick else tuple(chosen.variants or VARIANTS)
    sets: dict[str, list[Pair]] = {"rendered": list(held_out(chosen))}
    if chosen.pairs:
        sets["pairs"] = list(pairs(chosen.pairs))
    table: dict[str, dict[str, object]] = {"row ramp": {}, "flat map": {}}
    for set_name, members in sets.items():
        table["row ramp"][set_name] = mean_scores(lambda x: row_ramp(x.shape[:2]), members).abs_rel
        table["flat map"][set_name] = mean_scores(lambda x: flat_map(x.shape[:2]), members).abs_rel
    for name in names:
        shards = pool(chosen, VARIANTS[name])
        shards.ensure(chosen.scenes)
        runs = [train(chosen, VARIANTS[name], shards, seed) for seed in range(chosen.seeds)]
        scores: dict[str, object] = {
            set_name: summary([mean_scores(run.predict, members).abs_rel for run in runs])
            for set_name, members in sets.items()
        }
        table[name] = scores | {"samples": [run.samples for run in runs]}
        print(f"{name:20} {table[name]}", flush=True)
    settings = {key: str(value) for key, value in vars(chosen).items()}
    path = RESULTS / "scene_ablation.json" if chosen.store else None
    store("scene_ablation", {"variants": table, "settings": settings}, path=path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three variants, seconds each")
    parser.add_argument("--variants", nargs="*", choices=tuple(VARIANTS))
    parser.add_argument("--preset", choices=tuple(PRESETS), default="tiny")
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--scenes", type=int, default=4096, help="training scenes per variant")
    parser.add_argument("--held-out", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--cache", type=Path, default=cache_folder() / "scenes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="of the renderer")
    parser.add_argument("--store", action="store_true", help="write results/scene_ablation.json")
    chosen = parser.parse_args()
    chosen.size = SIZE
    if chosen.quick:
        small = dict(preset="micro", seconds=4.0, seeds=1, scenes=48, held_out=8, size=(48, 64))
        vars(chosen).update(small)
    return chosen


def summary(values: list[float]) -> dict[str, object]:
    """Mean, deviation over seeds and the values."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "deviation": spread, "values": values}


def pool(chosen: argparse.Namespace, variant: Variant) -> SceneShards:
    """The training scenes of a variant (those of "all" where only the augmentation differs)."""
    options = replace(SceneOptions(compile=chosen.compile), **variant.scenes)
    return SceneShards(
        chosen.cache,
        seed=0,
        size_hw=chosen.size,
        shard_size=min(256, chosen.scenes),
        options=options,
        device=chosen.device,
    )


def held_out(chosen: argparse.Namespace) -> Iterator[Pair]:
    """Scenes and textures that no variant trains on, everything switched on."""
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


class Trained(NamedTuple):
    predict: Predict
    samples: int


def train(chosen: argparse.Namespace, variant: Variant, shards: SceneShards, seed: int) -> Trained:
    """An encoder after `chosen.seconds`, averaged weights; the rate falls with the time left."""
    device, generator = torch.device(chosen.device), torch.Generator().manual_seed(seed)
    network = TinyEncoder(PRESETS[chosen.preset])
    draw_weights(network, generator=generator)
    network.to(device)
    objective, average = TinyEncoderObjective(network), MovingAverage(network, 0.998)
    optimizer = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.98), weight_decay=0.02)
    options = replace(AugmentOptions(), **variant.augment)
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    start, step = clock(), 0
    while (spent := (clock() - start) / chosen.seconds) < 1:
        rate = (
            1e-3 * min(1.0, (step + 1) / 50) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * spent)))
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        numbers = torch.randint(chosen.scenes, (chosen.batch,), generator=generator)
        batch = augment_batch(
            shards.batch(numbers).to(device),
            size_hw=chosen.size,
            generator=generator,
            options=options,
        )
        image, depth, *rest = batch
        names = ("valid_BHW", "sky_BHW", "fov_x_deg_B")
        with autocast(device, "bf16"):
            losses = objective(image, depth, **dict(zip(names, rest)), generator=generator)
        optimizer.zero_grad()
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        average.update(step)
        step += 1
    with average.applied():
        state = {
            name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()
        }
    return Trained(predictor(chosen.preset, state), step * chosen.batch)


def predictor(preset: str, state: dict[str, Tensor]) -> Predict:
    """Photo to ln(metres + 1), of the photo's size."""
    network = TinyEncoder(PRESETS[preset]).eval()
    network.load_state_dict(state)

    def predict(rgb_HW3: np.ndarray) -> np.ndarray:
        image_B3HW = torch.from_numpy(rgb_HW3.copy()).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            log_B1HW = network(image_B3HW).log_depth_BHW[:, None]
            size = rgb_HW3.shape[:2]
            log_B1HW = torch.nn.functional.interpolate(log_B1HW, size, mode="bilinear")
        return np.log1p(log_B1HW[0, 0].double().exp().numpy())

    return predict


if __name__ == "__main__":
    main()
