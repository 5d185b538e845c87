"""DAR's claims in miniature: its parts and their rivals at equal processor seconds, several seeds.

    python benchmarks/claims dar --quick                    # under 3 minutes: does it run?
    python benchmarks/claims dar --seconds 120 --seeds 3    # 12 trainings a seed: 75 minutes
    python benchmarks/claims dar --only both wider --add    # into the stored JSON, a run beside

none         encoder, pooled to a grid, decoded once to ln(metres)
transformer  5 steps of finer tokens, every step answers with ln(metres): no bins
bins         5 steps of tree bins and their injection; tokens are the pooled encoder: no transformer
both         DAR as in the paper
wider        its transformer twice as wide, 5 blocks instead of 3
no mask      tokens see later steps, so every step runs all tokens again
no refresh   the first step's bins for all steps, still injected
no feedback  the next step gets the transformer's tokens without what the ConvGRU made of them
prior        ours, not the paper's: steps start from the depth before, the first from the encoder's
1, 2, 3 steps  trained with fewer steps, the last grid the same; "both, stopped at k": without

All see the same rendered scenes unchanged and the answers of the frozen tiny encoder (computed
once, not counted), the same optimizer (Muon for matrices) and a rate that falls with the clock.
Judged on scenes and textures nobody trained on, in metres as they are (abs_rel, delta1, rmse,
rmse_log) and after a fit in ln(metres + 1). Floors: the encoder's own metres, and one flat depth.
A claim is answered only by rows of one run: another machine or dtype buys other numbers of steps.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nearfar.batch import DepthBatch
from nearfar.models.dar.config import DARConfig
from nearfar.models.dar.network import DARNetwork
from nearfar.models.dar.objective import DARObjective
from nearfar.models.dar.sample import at_photo, sample_steps
from nearfar.weights.load import load_encoder

from .dar_networks import (
    CONFIG,
    ONE_STEP,
    PRIOR,
    WIDER,
    Direct,
    Pooled,
    PooledDirect,
    Unrefreshed,
    new_rival,
)
from .dar_scenes import METRIC, Scenes, flat_metres, load_scenes, scores
from .options import add_arms, add_scenes, new_parser, read
from .report import add_run, over_seeds, print_row, print_tables
from .scenes import TEST_SEED, TRAIN_SEED
from .training import fit

BATCH, AT_ONCE = 16, 32
ADAMW = ("query_tokens", "level_embedding", "probability")  # inputs and last layers
NAMES = (*METRIC, "aligned_abs_rel", "train_steps", "predict_s")


class Rival(NamedTuple):
    """A network to train: its class and sizes."""

    kind: type[DARNetwork]
    config: DARConfig


RIVALS = {
    "none": Rival(PooledDirect, ONE_STEP),
    "transformer": Rival(Direct, CONFIG),
    "bins": Rival(Pooled, CONFIG),
    "both": Rival(DARNetwork, CONFIG),
    "wider": Rival(DARNetwork, WIDER),
    "no mask": Rival(DARNetwork, replace(CONFIG, is_masked=False)),
    "no refresh": Rival(Unrefreshed, CONFIG),
    "no feedback": Rival(DARNetwork, replace(CONFIG, feedback="transformer")),
    "prior": Rival(DARNetwork, PRIOR),
    "1 step": Rival(DARNetwork, ONE_STEP),
    "2 steps": Rival(DARNetwork, replace(CONFIG, fractions=(0.5, 1.0))),
    "3 steps": Rival(DARNetwork, replace(CONFIG, fractions=(0.25, 0.5, 1.0))),
}
CLAIMS = {
    "transformer over none": ("transformer", "none"),
    "bins over none": ("bins", "none"),
    "both over none": ("both", "none"),
    "both over transformer": ("both", "transformer"),
    "both over bins": ("both", "bins"),
    "wider over both": ("wider", "both"),
    "mask": ("both", "no mask"),
    "refreshed bins": ("both", "no refresh"),
    "feedback": ("both", "no feedback"),
    "prior": ("prior", "both"),
    "5 steps over 1": ("both", "1 step"),
    "5 steps over 2": ("both", "2 steps"),
    "5 steps over 3": ("both", "3 steps"),
    "step 5 over step 1": ("both", "both, stopped at 1"),
    "step 5 over step 3": ("both", "both, stopped at 3"),
    "both over encoder": ("both", "encoder"),
    "prior over encoder": ("prior", "encoder"),
}


def main(words: Sequence[str]) -> None:
    options = read_options(words)
    encoder = load_encoder("tiny-encoder")
    size: dict[str, Any] = {"size_hw": tuple(options.size), "shard": options.shard}
    train = load_scenes(encoder, options.scenes, seed=TRAIN_SEED, **size)
    test = load_scenes(encoder, options.test, seed=TEST_SEED, **size)
    rows: dict[str, list[dict[str, float]]] = {}
    for seed in range(options.seeds):
        for name in options.only:
            found = one_rival(name, train, test, options.seconds, seed, dtype=options.dtype)
            for row_name, row in found.items():
                rows.setdefault(row_name, []).append(row)
                print_row(f"seed {seed} {row_name}", row)
        for row_name, depth_BHW in floors(train, test).items():
            rows.setdefault(row_name, []).append(scores(depth_BHW, test))
    numbers = {
        "seconds": options.seconds,
        "seeds": options.seeds,
        "dtype": options.dtype,
        "size": options.size,
        "scenes": options.scenes,
        "test": options.test,
        "quick": options.quick,
        **over_seeds(rows, CLAIMS),
    }
    print_tables(numbers, names=NAMES)
    print(f"{time.process_time():.0f} s of the processor in all")
    add_run("claims_dar", numbers, path=options.output, keep=options.add)


def read_options(words: Sequence[str]) -> argparse.Namespace:
    parser = new_parser("dar", __doc__, seconds=120, test=128)
    add_scenes(parser)
    add_arms(parser, list(RIVALS))
    parser.add_argument("--add", action="store_true", help="keep the runs that the output holds")
    small = {"seconds": 3.0, "scenes": 32, "test": 6, "size": [48, 64]}
    options = read(parser, words, quick=small)
    options.shard = 256 if options.scenes >= 256 else 32
    return options


def one_rival(
    name: str, train: Scenes, test: Scenes, seconds: float, seed: int, *, dtype: str = ""
) -> dict[str, dict[str, float]]:
    """One training judged, by row name; of `both` also the answers of its earlier steps."""
    rival = RIVALS[name]
    generator = torch.Generator().manual_seed(1000 * seed + 1)
    network = new_rival(rival.kind, rival.config, generator=generator)
    loss = make_loss(network, train, generator)
    costs = fit(network, loss, seconds=seconds, adamw=ADAMW, dtype=dtype)
    last = len(rival.config.fractions)
    start = time.process_time()
    depth_BHW = metres(network, test, stop_at=last)
    predict_s = (time.process_time() - start) / test.count
    rows = {name: scores(depth_BHW, test) | costs | {"predict_s": predict_s}}
    if name == "both":
        for k in range(1, last):
            rows[f"both, stopped at {k}"] = scores(metres(network, test, stop_at=k), test)
    return rows


def make_loss(
    network: DARNetwork, train: Scenes, generator: torch.Generator
) -> Callable[[], Tensor]:
    """The family's loss of a random batch, depth beyond the range counted as its end."""
    objective = DARObjective(network, is_capped=True)

    def loss() -> Tensor:
        rows = torch.randint(train.count, (BATCH,), generator=generator)
        network.encoder.backbone.outputs = train.outputs_of(rows)
        valid_BHW = train.valid_BHW[rows]
        return objective(
            DepthBatch(
                train.image_B3HW[rows],
                train.depth_BHW[rows],
                valid_BHW=valid_BHW,
                sky_BHW=~valid_BHW,
                fov_x_deg_B=torch.full((BATCH,), torch.nan),
            ),
            generator=generator,
        ).total

    return loss


@torch.no_grad()
def metres(network: DARNetwork, scenes: Scenes, *, stop_at: int) -> Tensor:
    """Depth [B,H,W] of every scene after `stop_at` steps."""
    parts = []
    for first in range(0, scenes.count, AT_ONCE):
        rows = slice(first, first + AT_ONCE)
        image_B3HW = scenes.image_B3HW[rows]
        size_hw = (image_B3HW.shape[-2], image_B3HW.shape[-1])
        network.encoder.backbone.outputs = scenes.outputs_of(rows)
        sizes_hw = network.sizes(network.padded_size(size_hw))
        steps = sample_steps(network, network.encode(image_B3HW), sizes_hw, stop_at=stop_at)
        parts.append(at_photo(network, steps[-1].depth_B1hw, size_hw))
    return torch.cat(parts)


def floors(train: Scenes, test: Scenes) -> dict[str, Tensor]:
    """Maps that need no training of ours."""
    return {"encoder": test.guess_BHW, "flat": flat_metres(train, test)}
