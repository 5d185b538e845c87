"""Scenes and scores of dar.py: photos, outputs of the frozen encoder, metres judged."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nearfar.data.scenes.options import SceneOptions
from nearfar.data.scenes.shards import SceneShards
from nearfar.encoders.outputs import EncoderOutput
from nearfar.encoders.tiny import TinyEncoder
from nearfar.eval.metrics.image import image_metrics
from nearfar.settings import cache_folder

from .scenes import FARTHEST, TRAIN_SEED, in_metres

METRIC = ("abs_rel", "delta1", "rmse", "rmse_log")
_CHUNK = 64


class Scenes(NamedTuple):
    """N scenes in RAM. outputs: of the frozen encoder, guess_BHW: its metres at photo size.

    valid_BHW: where the truth is known; scored_BHW: and nearer than 80 m.
    """

    image_B3HW: Tensor
    outputs: EncoderOutput
    guess_BHW: Tensor
    depth_BHW: Tensor
    valid_BHW: Tensor
    scored_BHW: Tensor

    @property
    def count(self) -> int:
        return len(self.image_B3HW)

    def outputs_of(self, rows: Tensor | slice) -> EncoderOutput:
        """The encoder's outputs for some scenes."""
        *maps, grid_hw = self.outputs
        return EncoderOutput(*(values[rows] for values in maps), grid_hw)


def load_scenes(
    encoder: TinyEncoder, count: int, *, seed: int, size_hw: tuple[int, int], shard: int
) -> Scenes:
    """The first `count` scenes of a seed, rendered into the cache where they are not there yet."""
    options = SceneOptions(texture_seed=0 if seed == TRAIN_SEED else seed)
    shards = SceneShards(
        cache_folder() / "scenes", seed=seed, size_hw=size_hw, options=options, shard_size=shard
    )
    shards.ensure(count)
    batch = shards.batch(torch.arange(count))
    parts, guesses = [], []
    with torch.no_grad():
        for image_B3HW in batch.image_B3HW.split(_CHUNK):
            parts.append(encoder(image_B3HW))
            guesses.append(encoder.guess(parts[-1], size_hw=size_hw).depth_BHW)
    maps = (torch.cat(values) for values in list(zip(*parts))[:-1])
    return Scenes(
        batch.image_B3HW,
        EncoderOutput(*maps, parts[0].grid_hw),
        torch.cat(guesses),
        batch.depth_BHW,
        batch.valid_BHW,
        batch.valid_BHW & (batch.depth_BHW < FARTHEST),
    )


def scores(depth_BHW: Tensor, scenes: Scenes) -> dict[str, float]:
    """Means over scenes: metres as they are, and AbsRel after a fit in ln(metres + 1)."""
    rows = [
        row_of(*(m[index].double().numpy() for m in (depth_BHW, scenes.depth_BHW)), valid_HW)
        for index, valid_HW in enumerate(scenes.scored_BHW.numpy())
        if np.count_nonzero(valid_HW) > 1
    ]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def row_of(
    metres_HW: NDArray[np.float64], truth_HW: NDArray[np.float64], valid_HW: NDArray[np.bool_]
) -> dict[str, float]:
    """The numbers of one scene."""
    row = image_metrics(metres_HW, truth_HW, valid_HW, names=METRIC)
    aligned_HW, _ = in_metres(np.log1p(metres_HW), truth_HW, valid_HW)
    aligned = image_metrics(aligned_HW, truth_HW, valid_HW, names=("abs_rel",))
    return {**row, "aligned_abs_rel": aligned["abs_rel"]}


def flat_metres(train: Scenes, like: Scenes) -> Tensor:
    """One depth everywhere: the geometric mean of the training scenes."""
    mean = train.depth_BHW[train.scored_BHW].log().mean().exp()
    return torch.full_like(like.depth_BHW, float(mean))
