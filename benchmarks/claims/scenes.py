"""Scenes and scores of the claims: rendered photos with frozen semantics, maps judged."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nearfar.data.sample import DepthBatch
from nearfar.data.scenes.options import SceneOptions
from nearfar.data.scenes.shards import SceneShards
from nearfar.encoders.tiny import TinyEncoder
from nearfar.eval.metrics.edges import boundary_f1, edge_chamfer
from nearfar.eval.metrics.image import image_metrics
from nearfar.eval.metrics.uncertainty import ause_aurg, propagate_sigma
from nearfar.geometry.camera import intrinsics_from_fov
from nearfar.geometry.fits import fit_lstsq_log1p
from nearfar.geometry.resize import resize
from nearfar.models.ppd.objective import Target, log_depth_target
from nearfar.pipeline.ensemble import merge_hypotheses
from nearfar.result import DepthKind
from nearfar.settings import cache_folder

TRAIN_SEED = 0  # that of the recipes, so that their cache serves
TEST_SEED = 4_000_003
FARTHEST = 80.0  # metres
KIND = DepthKind.AFFINE_LOG_DEPTH
_CHUNK = 32
QUALITY = ("abs_rel", "delta1", "boundary_f1", "edge_chamfer_m", "edge_chamfer_log", "flying")


class Scenes(NamedTuple):
    """N scenes in RAM; semantics and metres of the frozen encoder; target as PPD learns it.

    photo_hw: shape before squashing, None where nothing was squashed.
    """

    image_B3HW: Tensor
    semantics_BLD: Tensor
    guess_BHW: Tensor
    target: Target
    depth_BHW: Tensor
    valid_BHW: Tensor
    fov_x_deg_B: Tensor
    photo_hw: tuple[int, int] | None = None

    @property
    def count(self) -> int:
        return len(self.image_B3HW)

    def intrinsics(self, index: int) -> NDArray[np.float64]:
        """[3,3] in pixels of the maps, which are not square where photos were squashed."""
        H, W = self.image_B3HW.shape[-2:]
        height, width = self.photo_hw or (H, W)
        intrinsics_33 = intrinsics_from_fov(float(self.fov_x_deg_B[index]), (height, width))
        return np.diag([W / width, H / height, 1.0]) @ intrinsics_33


class Maps(NamedTuple):
    """S hypotheses of every scene as affine log depth; spread_BHW where S = 1: a stand-in."""

    depth_SBHW: Tensor
    spread_BHW: Tensor | None = None


def load_scenes(
    encoder: TinyEncoder,
    count: int,
    *,
    seed: int,
    size_hw: tuple[int, int],
    shard: int,
    square: int | None = None,
) -> Scenes:
    """The first `count` scenes of a seed, rendered into the cache where they are not there yet.

    square: pixels a side to squash them to, photos by area, maps by nearest neighbor, as the
    next-scale families do; metres are guessed from the photo in its own shape.
    """
    options = SceneOptions(texture_seed=0 if seed == TRAIN_SEED else seed)
    shards = SceneShards(
        cache_folder() / "scenes", seed=seed, size_hw=size_hw, options=options, shard_size=shard
    )
    shards.ensure(count)
    batch = shards.batch(torch.arange(count))
    image_B3HW, own_B3HW, photo_hw = batch.image_B3HW, batch.image_B3HW, None
    if square is not None:
        side_hw, photo_hw = (square, square), size_hw
        image_B3HW = resize(own_B3HW, side_hw, method="area").clamp(0, 1)
        maps = (resize(map_BHW, side_hw, method="nearest") for map_BHW in batch[1:4])
        batch = DepthBatch(image_B3HW, *maps, batch.fov_x_deg_B)
    semantics, guesses = [], []
    with torch.inference_mode():
        for first in range(0, count, _CHUNK):
            rows = slice(first, first + _CHUNK)
            found = encoder.both(image_B3HW[rows])
            guess = found.guess if square is None else encoder.metric(own_B3HW[rows])
            semantics.append(found.semantics_BLD)
            guesses.append(resize(guess.depth_BHW, image_B3HW.shape[-2:], method="bilinear"))
    target = log_depth_target(batch.depth_BHW, valid_BHW=batch.valid_BHW, sky_BHW=batch.sky_BHW)
    return Scenes(
        image_B3HW,
        torch.cat(semantics).clone(),
        torch.cat(guesses).clone(),
        target,
        batch.depth_BHW,
        batch.valid_BHW & (batch.depth_BHW < FARTHEST),
        batch.fov_x_deg_B,
        photo_hw,
    )


def scores(maps: Maps, scenes: Scenes) -> dict[str, float]:
    """Means over scenes, every map fitted to its truth in ln(metres + 1).

    Quality is that of the first hypothesis; AUSE and AURG (AbsRel) of the median and the spread,
    or of the stand-in for the spread.
    """
    rows = [row_of(maps, scenes, index) for index in range(scenes.count)]
    rows = [row for row in rows if row]
    return {name: float(np.nanmean([row[name] for row in rows])) for name in rows[0]}


def row_of(maps: Maps, scenes: Scenes, index: int) -> dict[str, float]:
    """The numbers of one scene; empty if nothing in it is nearer than 80 m."""
    truth_HW = scenes.depth_BHW[index].double().numpy()
    valid_HW = scenes.valid_BHW[index].numpy()
    if np.count_nonzero(valid_HW) < 2:
        return {}
    depth_SHW = maps.depth_SBHW[:, index].float().numpy()
    metres_HW, _ = in_metres(depth_SHW[0], truth_HW, valid_HW)
    edges = edge_chamfer(metres_HW, truth_HW, valid_HW, scenes.intrinsics(index))
    row = image_metrics(metres_HW, truth_HW, valid_HW, names=("abs_rel", "delta1"))
    row |= {
        "boundary_f1": boundary_f1(metres_HW, truth_HW, valid_HW=valid_HW).f1,
        "edge_chamfer_m": edges.chamfer_m,
        "edge_chamfer_log": edges.chamfer_log,
        "flying": edges.flywin,
    }
    return row | ranking(depth_SHW, maps.spread_BHW, index, truth_HW, valid_HW)


def ranking(
    depth_SHW: NDArray[np.float32],
    spread_BHW: Tensor | None,
    index: int,
    truth_HW: NDArray[np.float64],
    valid_HW: NDArray[np.bool_],
) -> dict[str, float]:
    """Whether the spread sorts the errors; nothing without a spread."""
    merged = merge_hypotheses(depth_SHW, kind=KIND)
    spread_HW = merged.uncertainty_HW
    if spread_BHW is not None:
        spread_HW = spread_BHW[index].float().numpy()
    if spread_HW is None:
        return {}
    metres_HW, scale = in_metres(merged.depth_HW, truth_HW, valid_HW)
    sigma_HW = propagate_sigma(spread_HW, space="log1p", scale=scale, depth=metres_HW)
    areas = ause_aurg(metres_HW[valid_HW], truth_HW[valid_HW], sigma_HW[valid_HW])
    return {"ause": areas.ause, "aurg": areas.aurg}


def in_metres(
    depth_HW: NDArray[np.float32], truth_HW: NDArray[np.float64], valid_HW: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], float]:
    """Metres after `lstsq_log1p`, 0.01 to 1100, and the scale of the line."""
    fit = fit_lstsq_log1p(depth_HW, truth_HW, valid_HW)
    log_HW = np.clip(fit.scale * depth_HW.astype(np.float64) + fit.shift, 0.01, 7)
    return np.expm1(log_HW), fit.scale


def steepness(depth_BHW: Tensor) -> Tensor:
    """Range of the 3x3 window: what a map without hypotheses can say about its own errors."""
    padded_B1HW = torch.nn.functional.pad(depth_BHW[:, None], (1, 1, 1, 1), mode="replicate")
    pool = torch.nn.functional.max_pool2d
    return (pool(padded_B1HW, 3, 1) + pool(-padded_B1HW, 3, 1))[:, 0]
