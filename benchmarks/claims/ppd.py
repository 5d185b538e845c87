"""PPD's claims in miniature: each against its rival at equal processor seconds, several seeds.

    python benchmarks/claims ppd --quick                    # under 3 minutes: does it run?
    python benchmarks/claims ppd --seconds 600 --seeds 3    # 5 trainings a seed

(a) semantics  prompted against the plain transformer (semantics are zeros)
(b) cascade    half the blocks on tokens of 8 pixels, against all on tokens of 4
(c) pixels     against a transformer of the same width in the latent of a VAE; the VAE is trained
               first, within the same seconds; beside it the truth through that VAE
(d) flow       against the frozen encoder alone (its maps are bilinear), and against the same
               network trained to answer at once (zeros for noise, squared error: no hypotheses)

Beside them ppd-tiny as it comes. All see the same rendered scenes, the frozen tiny encoder's
semantics (not counted), optimizer (Muon for matrices) and a rate that falls with the clock. Judged
on scenes and textures nobody trained on. Quality is of one map after --steps; AUSE of 4 maps
(encoder, regression, ppd-tiny: steepness of their map as stand-in). Results with mean, spread over
seeds and paired differences, written after every run: the same command goes on where it ended, with
more --seeds it adds them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from ledger import Ledger
from torch import Tensor, nn

from nearfar.eval.metrics.image import as_log_depth
from nearfar.models.ppd.config import PPDConfig
from nearfar.models.ppd.network import new_network
from nearfar.models.ppd.objective import Target, flow_losses
from nearfar.models.ppd.sample import sample_depth
from nearfar.pipeline.load import load
from nearfar.sampling.timesteps import logit_normal_timesteps, ppd_timesteps
from nearfar.weights.load import load_encoder

from .options import add_scenes, new_parser, read
from .ppd_networks import LATENT_CHANNELS, SHRINK, DepthVAE, new_flat, new_vae
from .report import Row, over_seeds, print_row, print_tables
from .scenes import (
    QUALITY,
    TEST_SEED,
    TRAIN_SEED,
    Maps,
    Scenes,
    load_scenes,
    scores,
    steepness,
)
from .training import fit

CONFIG = PPDConfig(
    width=128, depth=6, heads=2, patch_size=4, semantics_width=208, activation="silu"
)
BATCH, HYPOTHESES, AT_ONCE = 16, 4, 16
VAE_SHARE = 0.35  # of the seconds of the latent arm
MEASURED = 256  # maps whose latents give the VAE's mean and spread
UNTRAINED, SHIPPED = "encoder", "ppd-tiny"
START_SHARE, TIME_MEAN = 0.2, 0.6  # as in our recipe (docs/ppd.md section 7)
ADAMW = ("x_embedder", "t_embedder", "adaLN_modulation", "final_layer", "coder")
CLAIMS = {
    "a: semantics": ("prompted", "plain"),
    "b: cascade": ("prompted", "flat"),
    "c: pixels": ("prompted", "latent"),
    "d: flow over encoder": ("prompted", "encoder"),
    "d: flow over regression": ("prompted", "regression"),
    "d: ppd-tiny over encoder": (SHIPPED, UNTRAINED),
}


class Arm(NamedTuple):
    """A trained rival: its maps of scenes, and what it cost."""

    maps: Callable[[Scenes, torch.Generator], Maps]
    costs: dict[str, float]


class Budget(NamedTuple):
    """seconds: of the processor for each training. steps: network calls a map."""

    seconds: float
    steps: int


def main(words: Sequence[str]) -> None:
    options = read_options(words)
    encoder = load_encoder("tiny-encoder")
    size = {"size_hw": tuple(options.size), "shard": options.shard}
    train = load_scenes(encoder, options.scenes, seed=TRAIN_SEED, **size)
    test = load_scenes(encoder, options.test, seed=TEST_SEED, **size)
    budget = Budget(options.seconds, options.steps)
    settings = {
        name: getattr(options, name) for name in ("seconds", "size", "scenes", "test", "steps")
    }
    ledger = Ledger("claims_ppd", options.output, settings)
    for seed in range(options.seeds):
        for name in (*TRAINED, UNTRAINED, SHIPPED):
            if ledger.has(name, seed):
                continue
            for row_name, row in one_run(name, train, test, budget, seed).items():
                ledger.put(row_name, seed, row)
                print_row(f"seed {seed} {row_name}", row)
            ledger.write({})
    numbers = compared(ledger.runs, options.seeds)
    print_tables(numbers, names=[*QUALITY, "ause", "step_s", "predict_s"])
    print(json.dumps(ledger.write(numbers)))


def compared(runs: Mapping[str, Mapping[str, Row]], seeds: int) -> dict[str, dict[str, object]]:
    """Every arm over seeds, and each claim's paired differences."""
    rows = {name: [found[str(seed)] for seed in range(seeds)] for name, found in runs.items()}
    return over_seeds(rows, CLAIMS)


def read_options(words: Sequence[str]) -> argparse.Namespace:
    parser = new_parser("ppd", __doc__, seconds=600, test=64)
    add_scenes(parser)
    parser.add_argument("--steps", type=int, default=4, help="network calls a map")
    small = {"seconds": 4.0, "scenes": 32, "test": 6, "size": [48, 64], "shard": 32}
    return read(parser, words, quick=small)


def one_run(name: str, train: Scenes, test: Scenes, budget: Budget, seed: int) -> dict[str, Row]:
    """One arm trained and judged; or the maps that need no training. Rows by name."""
    if name == UNTRAINED:
        log_BHW = torch.log1p(test.guess_BHW)
        clamped = Maps(test.target.clean_B1HW[None, :, 0])
        return {
            name: scores(Maps(log_BHW[None], steepness(log_BHW)), test),
            "truth, clamped": scores(clamped, test),
        }
    if name == SHIPPED:
        return {name: scores(shipped(test, seed), test)}
    if name == "plain":
        train, test = without_semantics(train), without_semantics(test)
    arm = TRAINED[name](train, budget, torch.Generator().manual_seed(1000 * seed + 1))
    start = time.process_time()
    maps = arm.maps(test, torch.Generator().manual_seed(1000 * seed + 2))
    predict_s = (time.process_time() - start) / (test.count * len(maps.depth_SBHW))
    rows = {name: scores(maps, test) | arm.costs | {"predict_s": predict_s}}
    if isinstance(arm.maps, LatentMaps):
        rows["truth through VAE"] = scores(arm.maps.through(test), test)
    return rows


def shipped(scenes: Scenes, seed: int) -> Maps:
    """ppd-tiny's maps as a user gets them, ln(metres + 1); sky gets the farthest depth there is."""
    model = load(SHIPPED)
    photos_BHW3 = (scenes.image_B3HW * 255).round().byte().permute(0, 2, 3, 1).numpy()
    drawn = [model.predict(photo, seed=seed, metric=False) for photo in photos_BHW3]
    maps = [as_log_depth(found.depth, found.kind) for found in drawn]
    whole = [np.where(np.isfinite(m), m, m[np.isfinite(m)].max()) for m in maps]
    log_BHW = torch.from_numpy(np.stack(whole)).float()
    return Maps(log_BHW[None], steepness(log_BHW))


def without_semantics(scenes: Scenes) -> Scenes:
    return scenes._replace(semantics_BLD=torch.zeros_like(scenes.semantics_BLD))


def pixel_arm(
    make: Callable[..., nn.Module], train: Scenes, budget: Budget, generator: torch.Generator
) -> Arm:
    """A flow on pixels."""
    network = make(CONFIG, generator=generator)

    def loss() -> Tensor:
        rows = torch.randint(train.count, (BATCH,), generator=generator)
        return flow_loss(network, train, rows, pixels(train, rows), generator)

    costs = fit(network, loss, seconds=budget.seconds, adamw=ADAMW)
    return Arm(lambda scenes, g: drawn(network, scenes, budget.steps, g, channels=1), costs)


def pixels(scenes: Scenes, rows_B: Tensor) -> Target:
    """The depth of some scenes, as the networks learn it."""
    return Target(scenes.target.clean_B1HW[rows_B], scenes.target.usable_B1HW[rows_B])


def regression_arm(train: Scenes, budget: Budget, generator: torch.Generator) -> Arm:
    """The same network answering at once: zeros at time 1000, so that velocity is minus the map."""
    network = new_network(CONFIG, generator=generator)

    def loss() -> Tensor:
        rows = torch.randint(train.count, (BATCH,), generator=generator)
        target = pixels(train, rows)
        return flow_losses(
            network,
            train.image_B3HW[rows],
            train.semantics_BLD[rows],
            target=target,
            noise_B1HW=torch.zeros_like(target.clean_B1HW),
            timestep_B=torch.full((BATCH,), 1000),
            gradient_weight=0.0,
        ).total

    def maps(scenes: Scenes, _: torch.Generator) -> Maps:
        zeros_B1HW = torch.zeros_like(scenes.target.clean_B1HW)
        depth_BHW = sampled(network, scenes, zeros_B1HW, [1000])[:, 0]
        return Maps(depth_BHW[None], steepness(depth_BHW))

    return Arm(maps, fit(network, loss, seconds=budget.seconds, adamw=ADAMW))


class LatentMaps:
    """Maps of a flow in the latent of a VAE."""

    def __init__(self, network: nn.Module, vae: DepthVAE, *, steps: int) -> None:
        self.network, self.vae, self.steps = network, vae, steps

    @torch.inference_mode()
    def __call__(self, scenes: Scenes, generator: torch.Generator) -> Maps:
        shape = {"channels": LATENT_CHANNELS, "shrink": SHRINK}
        latents = drawn(self.network, scenes, self.steps, generator, **shape).depth_SBHW
        return Maps(torch.stack([self.vae.decode(latent_BChw)[:, 0] for latent_BChw in latents]))

    @torch.inference_mode()
    def through(self, scenes: Scenes) -> Maps:
        """What the VAE leaves of the target."""
        return Maps(self.vae.decode(self.vae.encode(scenes.target.clean_B1HW))[None, :, 0])


def latent_arm(train: Scenes, budget: Budget, generator: torch.Generator) -> Arm:
    """VAE first, then a flow in its latent, within the same seconds.

    Maps are encoded as they are drawn: bringing all of them into the latent first would cost more
    than the flow's share of short budgets.
    """
    clean_B1HW, usable_B1HW = train.target
    cells_hw = [side // SHRINK for side in clean_B1HW.shape[-2:]]
    vae = new_vae(generator=generator)

    def vae_loss() -> Tensor:
        rows = torch.randint(train.count, (BATCH,), generator=generator)
        noise = torch.randn(BATCH, LATENT_CHANNELS, *cells_hw, generator=generator)
        return vae.loss(clean_B1HW[rows], usable_B1HW[rows], noise)

    vae_costs = fit(vae, vae_loss, seconds=VAE_SHARE * budget.seconds, adamw=ADAMW)
    start = time.process_time()
    vae.standardize(clean_B1HW[:MEASURED])
    measuring_s = time.process_time() - start
    network = new_flat(CONFIG, generator=generator, channels=LATENT_CHANNELS, shrink=SHRINK)

    def loss() -> Tensor:
        rows = torch.randint(train.count, (BATCH,), generator=generator)
        with torch.no_grad():
            latent_BChw = vae.encode(clean_B1HW[rows])
        usable_B1hw = nn.functional.max_pool2d(usable_B1HW[rows].float(), SHRINK) > 0
        target = Target(latent_BChw, usable_B1hw.expand_as(latent_BChw))
        return flow_loss(network, train, rows, target, generator)

    left = (1 - VAE_SHARE) * budget.seconds - measuring_s
    costs = fit(network, loss, seconds=max(left, 0.1 * budget.seconds), adamw=ADAMW)
    costs["parameters"] += vae_costs["parameters"]
    costs["train_s"] += vae_costs["train_s"] + measuring_s
    return Arm(LatentMaps(network, vae, steps=budget.steps), costs)


def flow_loss(
    network: nn.Module,
    scenes: Scenes,
    rows_B: Tensor,
    target: Target,
    generator: torch.Generator,
) -> Tensor:
    """Velocity loss of these scenes at random times; the target in the network's own space."""
    clean_BCHW = target.clean_B1HW
    return flow_losses(
        network,
        scenes.image_B3HW[rows_B],
        scenes.semantics_BLD[rows_B],
        target=target,
        noise_B1HW=torch.randn(clean_BCHW.shape, generator=generator),
        timestep_B=logit_normal_timesteps(
            len(rows_B), generator=generator, mean=TIME_MEAN, start_share=START_SHARE
        ),
        gradient_weight=0.0,
    ).total


def drawn(
    network: nn.Module,
    scenes: Scenes,
    steps: int,
    generator: torch.Generator,
    *,
    channels: int,
    shrink: int = 1,
) -> Maps:
    """Hypotheses of every scene from noise of this generator."""
    H, W = (side // shrink for side in scenes.image_B3HW.shape[-2:])
    found = []
    for _ in range(HYPOTHESES):
        noise_BCHW = torch.randn(scenes.count, channels, H, W, generator=generator)
        found.append(sampled(network, scenes, noise_BCHW, ppd_timesteps(steps)))
    latent_SBCHW = torch.stack(found)
    return Maps(latent_SBCHW[:, :, 0] if channels == 1 else latent_SBCHW)


@torch.inference_mode()
def sampled(
    network: nn.Module, scenes: Scenes, noise_BCHW: Tensor, timesteps: Sequence[int]
) -> Tensor:
    """Latents of every scene from this noise, float32."""
    parts = []
    for first in range(0, scenes.count, AT_ONCE):
        rows = slice(first, first + AT_ONCE)
        parts.append(
            sample_depth(
                network,
                scenes.image_B3HW[rows],
                scenes.semantics_BLD[rows],
                noise_BCHW[rows],
                timesteps,
            )
        )
    return torch.cat(parts)


TRAINED: dict[str, Callable[[Scenes, Budget, torch.Generator], Arm]] = {
    "prompted": partial(pixel_arm, new_network),
    "plain": partial(pixel_arm, new_network),  # `one_run` takes the semantics away
    "flat": partial(pixel_arm, new_flat),
    "regression": regression_arm,
    "latent": latent_arm,
}
