"""How good depth can be behind a tokenizer: scores of decode(encode(truth)) on held-out scenes.

    python benchmarks/vq_ceiling.py --quick                      # under 2 minutes: does it run?
    python benchmarks/vq_ceiling.py --seconds 300 --store        # 9 trainings
    python benchmarks/vq_ceiling.py --seconds 0 --tokenizer runs/depth_tokenizer [--curve log]

No next-scale model can be better than this. Trains one small tokenizer for every codebook size,
set of scales and depth curve below (the same processor seconds each, on rendered scenes, one
thread, Muon for matrices, one seed); --tokenizer adds rows of trained ones. Beside them stands each
curve alone, without a tokenizer: what its two per cent of clipped pixels cost. Truth is rendered at
the tokenizer's size, so nothing is resized. The image is fitted to the truth by least squares in
the curve's own space (d, ln(d + 1), d^-1/2), then scored in metres: AbsRel, delta1, boundary F1
(masked), edge-aware Chamfer (metres) and the share of flying pixels (flywin) in its zone.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from claims.training import fit
from numpy.typing import NDArray
from stamp import RESULTS, store
from torch import Tensor

from nearfar.data.benchmarks.rendered import HELD_OUT_SEED
from nearfar.data.sample import DepthBatch
from nearfar.data.scenes.options import SceneOptions
from nearfar.data.scenes.renderer import RenderedBatch, render_scenes
from nearfar.data.scenes.shards import SceneShards
from nearfar.eval.metrics.edges import boundary_f1, edge_chamfer
from nearfar.eval.metrics.image import image_metrics
from nearfar.geometry.depth_curves import CURVES, curve_space, depth_image, metres_of_space
from nearfar.settings import cache_folder, keep_freed_memory, set_threads
from nearfar.tokenizers.config import VQConfig
from nearfar.tokenizers.objective import TokenizerObjective
from nearfar.tokenizers.presets import PRESETS
from nearfar.tokenizers.revival import codebook_use, count_hits
from nearfar.tokenizers.vqvae import VQVAE, draw_codebook
from nearfar.train.targets import draw_weights
from nearfar.weights.tokenizers import load_tokenizer

BASE = PRESETS["tiny_depth"]
FARTHEST_M = 80.0
BATCH = 8
ADAMW = ("conv_in", "conv_out", "quant")  # ends and codes: not for Muon
TRAINING_SEED = 31
SCORES = ("abs_rel", "delta1", "boundary_f1", "chamfer_m", "flywin")
SPACE_LIMITS = {"log": (1e-3, 5.0), "sqrt_disparity": (0.02, 30.0)}


class Variant(NamedTuple):
    """One row: a tokenizer's sizes and the curve of its images."""

    name: str
    config: VQConfig
    curve: str


def variants(*, quick: bool) -> list[Variant]:
    """The base (log, 1024 codes, 7 scales), then one thing changed at a time."""
    base = Variant("base", BASE, "log")
    codebooks = [
        Variant(f"{size} codes", replace(BASE, codebook=size), "log") for size in (128, 4096)
    ]
    scales = [
        Variant("4 scales", replace(BASE, scales=(1, 3, 6, 12)), "log"),
        Variant("1 scale", replace(BASE, scales=(12,)), "log"),
        Variant("10 scales", PRESETS["tiny_depth10"], "log"),
    ]
    curves = [Variant(curve, BASE, curve) for curve in CURVES if curve != "log"]
    if quick:
        return [base, codebooks[0], scales[1], curves[-1]]
    return [base, *codebooks, *scales, *curves]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="4 rows, 6 s each: does it run?")
    parser.add_argument(
        "--seconds", type=float, default=300.0, help="processor time a row, 0: none"
    )
    parser.add_argument("--tokenizer", type=Path, nargs="*", default=[], help="trained: FILE ...")
    parser.add_argument("--curve", default="log", choices=CURVES, help="of --tokenizer")
    parser.add_argument("--scenes", type=int, default=32, help="held out")
    parser.add_argument("--training-scenes", type=int, default=1024)
    parser.add_argument("--store", action="store_true", help="write results/vq_ceiling.json")
    options = parser.parse_args()
    keep_freed_memory()
    set_threads(1)
    if options.quick:
        options.seconds, options.scenes, options.training_scenes = 6.0, 8, 24

    networks = {"/".join(path.parts[-2:]): load_tokenizer(path) for path in options.tokenizer}
    side = one_size(networks, trains=options.seconds > 0)
    held_out = rendered(range(options.scenes), side=side, seed=HELD_OUT_SEED)
    rows: dict[str, dict[str, float]] = {}
    print(f"{'':24}" + "".join(f"{name:>13}" for name in (*SCORES, "used", "steps")))
    for curve in CURVES if options.seconds > 0 else (options.curve,):
        rows[f"{curve} alone"] = show(f"{curve} alone", score(None, held_out, curve=curve))
    for name, network in networks.items():
        rows[name] = show(name, score(network, held_out, curve=options.curve))
    if options.seconds > 0:
        pool = training_scenes(options.training_scenes, side=side)
        for variant in variants(quick=options.quick):
            network, steps = train(variant, pool, seconds=options.seconds)
            scores = score(network, held_out, curve=variant.curve) | {"steps": float(steps)}
            rows[variant.name] = show(variant.name, scores)
    numbers = {
        "rows": rows,
        "scenes": options.scenes,
        "seed": HELD_OUT_SEED,
        "size": side,
        "seconds_per_row": options.seconds,
        "training_scenes": options.training_scenes if options.seconds > 0 else None,
        "quick": options.quick,
    }
    store("vq_ceiling", numbers, path=RESULTS / "vq_ceiling.json" if options.store else None)


def show(name: str, scores: dict[str, float]) -> dict[str, float]:
    """Print a row; returns it."""
    cells = [scores.get(key) for key in (*SCORES, "used", "steps")]
    texts = [f"{'':>13}" if cell is None else f"{cell:13.4g}" for cell in cells]
    print(f"{name[-24:]:24}" + "".join(texts), flush=True)
    return scores


def rendered(indices: range, *, side: int, seed: int) -> RenderedBatch:
    """Square scenes at the tokenizer's size, with textures of the seed."""
    parts = [
        render_scenes(
            indices[start : start + 64],
            seed=seed,
            size_hw=(side, side),
            device="cpu",
            options=SceneOptions(texture_seed=seed),
        )
        for start in range(0, len(indices), 64)
    ]
    return RenderedBatch(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def training_scenes(count: int, *, side: int) -> DepthBatch:
    """Other scenes with other textures, from the cache of rendered ones."""
    shards = SceneShards(
        cache_folder() / "scenes",
        seed=TRAINING_SEED,
        size_hw=(side, side),
        options=SceneOptions(texture_seed=TRAINING_SEED),
        shard_size=min(count, 256),
    )
    shards.ensure(count)
    return shards.batch(torch.arange(count))


def one_size(networks: Mapping[str, VQVAE], *, trains: bool) -> int:
    """Pixels a side that every row works at; leaves the program where they differ."""
    sides = {network.config.image_size for network in networks.values()}
    sides |= {BASE.image_size} if trains or not networks else set()
    if len(sides) > 1:
        raise SystemExit(f"--tokenizer: sizes {sorted(sides)} differ; give --seconds 0, one by one")
    return sides.pop()


def train(variant: Variant, pool: DepthBatch, *, seconds: float) -> tuple[VQVAE, int]:
    """A tokenizer trained for so many processor seconds, and its steps; flips are the augment."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        network = VQVAE(variant.config)
    draw_weights(network, generator=generator)
    draw_codebook(network, generator=generator)
    curves = {variant.curve: partial(depth_image, curve=variant.curve)}
    objective = TokenizerObjective(network, curves=curves, curve=variant.curve)

    def loss() -> Tensor:
        chosen = torch.randint(len(pool.depth_BHW), (BATCH,), generator=generator)
        batch = DepthBatch(*(tensor[chosen] for tensor in pool))
        if float(torch.rand((), generator=generator)) < 0.5:
            batch = DepthBatch(*(t.flip(-1) for t in batch[:-1]), batch.fov_x_deg_B)
        return objective(
            batch,
            generator=generator,
        ).total

    costs = fit(network, loss, seconds=seconds, adamw=ADAMW)
    return network, int(costs["train_steps"])


@torch.no_grad()
def score(network: VQVAE | None, scenes: RenderedBatch, *, curve: str) -> dict[str, float]:
    """Mean scores over scenes; those without depth edges have no edge scores."""
    found: dict[str, list[float]] = {name: [] for name in SCORES}
    hits_V = None
    for index in range(len(scenes.depth_BHW)):
        depth_BHW = scenes.depth_BHW[index : index + 1]
        valid_BHW = (depth_BHW > 0) & (depth_BHW < FARTHEST_M)
        image_B1HW = depth_image(depth_BHW, valid_BHW, curve=curve)
        if network is not None:
            channels = network.config.image_channels
            indices, sums = network.encode(image_B1HW.expand(-1, channels, -1, -1))
            image_B1HW = network.decode(sums[-1]).mean(dim=1, keepdim=True)
            new_V = count_hits(torch.cat(indices, dim=1), codebook=network.config.codebook)
            hits_V = new_V if hits_V is None else hits_V + new_V
        metres_HW = fitted(image_B1HW[0, 0], depth_BHW[0], valid_BHW[0], curve=curve)
        truth_HW, valid_HW = depth_BHW[0].double().numpy(), valid_BHW[0].numpy()
        values = image_metrics(metres_HW, truth_HW, valid_HW, names=("abs_rel", "delta1"))
        edges = edge_chamfer(
            metres_HW, truth_HW, valid_HW, scenes.intrinsics_B33[index].double().numpy()
        )
        values |= {
            "boundary_f1": boundary_f1(metres_HW, truth_HW, valid_HW=valid_HW).f1,
            "chamfer_m": edges.chamfer_m,
            "flywin": edges.flywin,
        }
        for name in SCORES:
            found[name].append(values[name])
    means = {name: float(np.nanmean(values)) for name, values in found.items()}
    return means if hits_V is None else means | {"used": codebook_use(hits_V).used}


def fitted(
    image_HW: Tensor, depth_HW: Tensor, valid_HW: Tensor, *, curve: str
) -> NDArray[np.float64]:
    """Metres [H,W] of an image, by least squares (scale and shift) in the curve's own space."""
    x_P, y_P = image_HW[valid_HW].double(), curve_space(depth_HW[valid_HW].double(), curve=curve)
    design_P2 = torch.stack([x_P, torch.ones_like(x_P)], dim=1)
    scale, shift = torch.linalg.lstsq(design_P2, y_P[:, None], driver="gelsd").solution[:, 0]
    low, high = SPACE_LIMITS.get(curve, (1e-3, 2 * FARTHEST_M))
    space_HW = (scale * image_HW.double() + shift).clamp(low, high)
    return metres_of_space(space_HW, curve=curve).numpy()


if __name__ == "__main__":
    main()
