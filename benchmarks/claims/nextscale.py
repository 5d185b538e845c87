"""Next-scale depth: the papers' claims in miniature, at equal processor seconds, several seeds.

    python benchmarks/claims nextscale --quick                    # under 3 minutes: does it run?
    python benchmarks/claims nextscale --seconds 120 --seeds 3    # 8 trainings a seed
    python benchmarks/claims nextscale --only a,d --tokenizer runs/depth_tokenizer

(a) targets   DepthART's dynamic targets against teacher forcing, free-running, greedy and mean_k
(b) guidance  one VAR-Depth network asked at several scales, and without a photo. 0 is none:
              logits = (1 + t) with - t without, t rising to the scale (docs/nextscale.md)
(c) places    the U-Net ladder against the photo joined to the tokens (concat) and against
              cross-attention alone (cross): edges count
(d) stages    1, 4, 7 and 10 scales, DepthART's network and targets: quality against time

One tokenizer (given, or trained first for --tokenizer-seconds) serves all; its encoder stays, and
its codes and decoder are tuned for --tuning-seconds to every table of scales, which costs no arm
anything. "ceiling" is the truth through such a tokenizer. All see the same rendered scenes squashed
to its square, the frozen tiny encoder's semantics (not counted), Muon for matrices and a rate that
falls with the clock; judged on scenes and textures nobody trained on. AUSE of 4 maps.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from stamp import store

from nearfar.eval.metrics.image import row_ramp
from nearfar.models.depthart.objective import DynamicTargets, TeacherForcing
from nearfar.tokenizers.presets import TINY_DEPTH, TINY_DEPTH10
from nearfar.tokenizers.vqvae import VQVAE
from nearfar.weights.load import load_encoder
from nearfar.weights.tokenizers import load_tokenizer

from .nextscale_networks import (
    SIZES,
    Pool,
    ceiling,
    depthart_maps,
    encoded,
    new_tokenizer,
    train_depthart,
    train_var_depth,
    tuned_tokenizer,
    var_depth_maps,
)
from .options import add_scenes, new_parser, read
from .report import over_seeds, print_row, print_tables, summary
from .scenes import QUALITY, TEST_SEED, TRAIN_SEED, Maps, load_scenes, scores

TABLES = {1: (12,), 4: (1, 3, 6, 12), 7: TINY_DEPTH.scales, 10: TINY_DEPTH10.scales}
GUIDANCE = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0)
PLACES = ("ladder", "concat", "none")  # none: cross-attention alone
MODES = ("greedy", "mean_k")
CLAIMS = {
    **{f"a: dynamic, {mode}": (f"dynamic, {mode}", f"teacher, {mode}") for mode in MODES},
    **{
        f"b: scale {scale:g}, {mode}": (f"scale {scale:g}, {mode}", f"ladder, {mode}")
        for mode in ("expected", "sample")
        for scale in GUIDANCE
    },
    **{
        f"c: over {other}, {mode}": (f"ladder, {mode}", f"{other}, {mode}")
        for mode in ("expected", "sample")
        for other in ("concat", "cross")
    },
    **{
        f"d: {count} stages, {mode}": (f"{count} stages, {mode}", f"7 stages, {mode}")
        for mode in MODES
        for count in (1, 4, 10)
    },
}
WANTED = {"a": (7,), "b": (10,), "c": (10,), "d": tuple(TABLES)}  # stages of a claim's arms
Rows = dict[str, dict[str, float]]


def main(words: Sequence[str]) -> None:
    options = read_options(words)
    start = time.process_time()
    tokenizers, train, test = prepare(options)
    floors = floor_rows(tokenizers, test)
    for name, row in floors.items():
        print_row(name, row)
    rows: dict[str, list[dict[str, float]]] = {}
    for seed in range(options.seeds):
        for name, row in one_seed(tokenizers, train, test, options, seed).items():
            rows.setdefault(name, []).append(row)
            print_row(f"seed {seed} {name}", row)
    numbers = {
        "seconds": options.seconds,
        "seeds": options.seeds,
        "size": options.size,
        "scenes": options.scenes,
        "test": options.test,
        "tokenizer": "trained here" if options.tokenizer is None else options.tokenizer.name,
        "tokenizer_seconds": None if options.tokenizer else options.tokenizer_seconds,
        "tuning_seconds": options.tuning_seconds,
        "tables": {str(count): TABLES[count] for count in tokenizers},
        "network": SIZES,
        "quick": options.quick,
        "processor_seconds": time.process_time() - start,
        **over_seeds(rows, CLAIMS),
    }
    numbers["arms"] |= {name: summary([row]) for name, row in floors.items()}
    print_tables(numbers, names=[*QUALITY, "ause", "step_s", "predict_s"])
    store("claims_nextscale", numbers, path=options.output)


def read_options(words: Sequence[str]) -> argparse.Namespace:
    parser = new_parser("nextscale", __doc__, seconds=600, test=64)
    add_scenes(parser)
    parser.add_argument("--only", default="a,b,c,d", help="which claims")
    parser.add_argument("--tokenizer", type=Path, help="trained one: weights.safetensors or folder")
    parser.add_argument("--tokenizer-seconds", type=float, default=600)
    parser.add_argument("--tuning-seconds", type=float, default=60, help="for each table of scales")
    small = {"seconds": 3.0, "scenes": 32, "test": 4, "size": [48, 64], "shard": 32}
    small |= {"tokenizer_seconds": 10.0, "tuning_seconds": 2.0}
    options = read(parser, words, quick=small)
    options.only = set(options.only.split(","))
    if not options.only <= set("abcd"):
        parser.error(f"--only {','.join(sorted(options.only))}: give some of a,b,c,d")
    return options


def prepare(options: argparse.Namespace) -> tuple[dict[int, VQVAE], Pool, Pool]:
    """A tokenizer for every number of stages that is asked for, and the scenes."""
    encoder, shared = load_encoder("tiny-encoder"), None
    if options.tokenizer is not None:
        shared = load_tokenizer(options.tokenizer)
    side = (TINY_DEPTH if shared is None else shared.config).image_size
    size = {"size_hw": tuple(options.size), "shard": options.shard, "square": side}
    train = load_scenes(encoder, options.scenes, seed=TRAIN_SEED, **size)
    test = load_scenes(encoder, options.test, seed=TEST_SEED, **size)
    generator = torch.Generator().manual_seed(0)
    if shared is None:
        shared = new_tokenizer(train, seconds=options.tokenizer_seconds, generator=generator)
    pool = encoded(shared, train)
    counts = sorted(
        {count for claim, needed in WANTED.items() if claim in options.only for count in needed}
    )
    tokenizers = {
        count: tuned_tokenizer(
            shared, TABLES[count], pool, seconds=options.tuning_seconds, generator=generator
        )
        for count in counts
    }
    return tokenizers, pool, encoded(shared, test)


def floor_rows(tokenizers: dict[int, VQVAE], test: Pool) -> Rows:
    """What needs no training: ramp, frozen encoder, the truth through each tokenizer."""
    scenes, shape = test.scenes, test.scenes.depth_BHW.shape
    ramp_HW = torch.from_numpy(row_ramp((shape[1], shape[2])).astype(np.float32))
    rows = {
        "row ramp": scores(Maps(ramp_HW.expand(1, *shape)), scenes),
        "encoder": scores(Maps(torch.log1p(scenes.guess_BHW)[None]), scenes),
    }
    for count, tokenizer in tokenizers.items():
        rows[f"{count} stages, ceiling"] = scores(ceiling(tokenizer, test), scenes)
    return rows


def one_seed(
    tokenizers: dict[int, VQVAE], train: Pool, test: Pool, options: argparse.Namespace, seed: int
) -> Rows:
    """Every arm that the claims need, trained and judged with one seed."""
    rows: Rows = {}

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(1000 * seed + 1)

    if options.only & {"a", "d"}:
        for count in tuple(TABLES) if "d" in options.only else (7,):
            network, costs = train_depthart(
                DynamicTargets,
                tokenizers[count],
                train,
                seconds=options.seconds,
                generator=generator(),
            )
            for mode in MODES:
                rows[f"{count} stages, {mode}"] = judged(
                    partial(depthart_maps, network, mode=mode), test, costs, seed
                )
    if "a" in options.only:
        network, costs = train_depthart(
            TeacherForcing, tokenizers[7], train, seconds=options.seconds, generator=generator()
        )
        for mode in MODES:
            rows[f"dynamic, {mode}"] = rows[f"7 stages, {mode}"]
            maps = partial(depthart_maps, network, mode=mode)
            rows[f"teacher, {mode}"] = judged(maps, test, costs, seed)
    for spatial in PLACES if "c" in options.only else PLACES[: int("b" in options.only)]:
        network, costs = train_var_depth(
            spatial, tokenizers[10], train, seconds=options.seconds, generator=generator()
        )
        name = "cross" if spatial == "none" else spatial
        for mode in ("expected", "sample"):
            ask = partial(var_depth_maps, network, mode=mode)
            rows[f"{name}, {mode}"] = judged(ask, test, costs, seed)
            if spatial != "ladder" or "b" not in options.only:
                continue
            for scale in GUIDANCE:
                guided = partial(ask, guidance_scale=scale)
                rows[f"scale {scale:g}, {mode}"] = judged(guided, test, costs, seed)
            rows[f"no photo, {mode}"] = judged(partial(ask, sees_photo=False), test, costs, seed)
    return rows


def judged(
    ask: Callable[..., Maps], test: Pool, costs: dict[str, float], seed: int
) -> dict[str, float]:
    """Scores of the maps that `ask` gives, what training cost and what a map costs."""
    start = time.process_time()
    maps = ask(test, generator=torch.Generator().manual_seed(1000 * seed + 2))
    predict_s = (time.process_time() - start) / (test.scenes.count * len(maps.depth_SBHW))
    return scores(maps, test.scenes) | costs | {"predict_s": predict_s}
