"""Clips and scores of video.py: rendered paths with frozen semantics, clips judged."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nearfar.data.benchmarks.rendered_clips import RenderedClips
from nearfar.data.sample import DepthBatch
from nearfar.data.scenes.clips import ClipOptions, ClipShards
from nearfar.encoders.base import ClipEncoder
from nearfar.eval.metrics.image import image_metrics
from nearfar.eval.metrics.temporal import scale_drift, tae
from nearfar.geometry.resize import resize
from nearfar.models.ppd.objective import Target, log_depth_target
from nearfar.models.ppd.video_objective import clip_target
from nearfar.settings import cache_folder

from .scenes import FARTHEST, TRAIN_SEED, in_metres

QUALITY = ("abs_rel", "delta1", "change", "tae", "scale_spread")
SAME_SURFACE = 0.05  # two pixels show one place if their true depths agree to this share
NEAREST, LARGEST = 1e-3, 1000.0  # metres of a fitted map
_CHUNK = 4  # clips an encoder sees at once


class Cameras(NamedTuple):
    """Of held-out clips: pixels [N,3,3] of the maps, camera to world [N,T,4,4]."""

    intrinsics_N33: NDArray[np.float64]
    poses_NT44: NDArray[np.float64]


class Clips(NamedTuple):
    """N clips of T frames in RAM. frame_range, clip_range: what PPD learns of them, [N,T,1,H,W].

    photo_NTLD, clip_NTLD: semantics of the encoder of photos and of that of clips.
    """

    image_NT3HW: Tensor
    depth_NTHW: Tensor
    valid_NTHW: Tensor
    frame_range: Target
    clip_range: Target
    photo_NTLD: Tensor
    clip_NTLD: Tensor
    cameras: Cameras | None = None

    @property
    def count(self) -> int:
        return len(self.image_NT3HW)

    @property
    def frames(self) -> int:
        return self.image_NT3HW.shape[1]


class Encoders(NamedTuple):
    """The frozen encoder of photos, frame by frame, and that of clips."""

    photo: ClipEncoder
    clip: ClipEncoder


def training_clips(count: int, *, frames: int, drawn_hw: tuple[int, int], shard: int) -> DepthBatch:
    """The first clips that the recipes train on, from their cache, rendered where missing."""
    shards = ClipShards(
        cache_folder() / "scenes",
        seed=TRAIN_SEED,
        size_hw=drawn_hw,
        options=ClipOptions(frames=frames),
        shard_size=shard,
    )
    shards.ensure(count)
    return shards.batch(torch.arange(count))


def held_out_clips(
    count: int, *, frames: int, drawn_hw: tuple[int, int]
) -> tuple[DepthBatch, Cameras]:
    """Clips of scenes and textures nobody trained on, with their cameras."""
    height, width = drawn_hw
    data = RenderedClips(
        count=count, frames=frames, height=height, width=width, cache=cache_folder() / "scenes"
    )
    records = [data.record(index) for index in range(count * frames)]

    def stacked(arrays: list[NDArray]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).unflatten(0, (count, frames))

    photos = stacked([record.rgb_HW3 for record in records])
    batch = DepthBatch(
        photos.permute(0, 1, 4, 2, 3).float().div(255).contiguous(),
        stacked([record.depth_HW for record in records]),
        stacked([record.valid_HW for record in records]),
        stacked([record.sky_HW for record in records]),
        torch.full((count,), torch.nan),
    )
    poses = np.stack([record.pose_44 for record in records]).reshape(count, frames, 4, 4)
    intrinsics = np.stack([record.intrinsics_33 for record in records[::frames]])
    return batch, Cameras(intrinsics, poses)


def seen(
    batch: DepthBatch,
    encoders: Encoders,
    *,
    size_hw: tuple[int, int],
    cameras: Cameras | None = None,
) -> Clips:
    """The clips at network size, with targets and semantics."""
    drawn_hw = batch.depth_BHW.shape[-2:]
    count = len(batch.depth_BHW)
    image_NT3HW = resize(batch.image_B3HW.flatten(0, 1), size_hw, method="area").clamp(0, 1)
    image_NT3HW = image_NT3HW.unflatten(0, (count, -1))
    depth_NTHW, valid_NTHW, sky_NTHW = (
        resize(map_NTHW.flatten(0, 1), size_hw, method="nearest").unflatten(0, (count, -1))
        for map_NTHW in batch[1:4]
    )
    if cameras is not None:
        scale_33 = np.diag([size_hw[1] / drawn_hw[1], size_hw[0] / drawn_hw[0], 1.0])
        cameras = cameras._replace(intrinsics_N33=scale_33 @ cameras.intrinsics_N33)
    masks = {"valid_BHW": valid_NTHW.flatten(0, 1), "sky_BHW": sky_NTHW.flatten(0, 1)}
    each = log_depth_target(depth_NTHW.flatten(0, 1), **masks)
    whole = clip_target(depth_NTHW, valid_BTHW=valid_NTHW, sky_BTHW=sky_NTHW)
    with torch.inference_mode():
        photo_NTLD, clip_NTLD = (
            torch.cat([encoder.clip_semantics(part) for part in image_NT3HW.split(_CHUNK)])
            for encoder in encoders
        )
    return Clips(
        image_NT3HW,
        depth_NTHW,
        valid_NTHW & (depth_NTHW < FARTHEST),
        Target(*(x.unflatten(0, (count, -1)) for x in each)),
        Target(*(x.unflatten(0, (count, -1)) for x in whole)),
        photo_NTLD.clone(),
        clip_NTLD.clone(),
        cameras,
    )


def scores(depth_NTHW: Tensor, clips: Clips) -> dict[str, float]:
    """Means over clips of maps in affine log depth, one scale and shift fitted for each clip."""
    rows = [row_of(depth_THW.numpy(), clips, n) for n, depth_THW in enumerate(depth_NTHW)]
    return {name: float(np.nanmean([row[name] for row in rows])) for name in rows[0]}


def row_of(depth_THW: NDArray[np.float32], clips: Clips, index: int) -> dict[str, float]:
    """The numbers of one clip.

    change: percent that depth over true depth changes from frame to frame, along the true motion.
    tae: as released with Video Depth Anything. scale_spread: of the frames' ln scales.
    """
    assert clips.cameras is not None
    truth_THW = clips.depth_NTHW[index].double().numpy()
    valid_THW = clips.valid_NTHW[index].numpy()
    intrinsics_33 = clips.cameras.intrinsics_N33[index]
    poses_T44 = clips.cameras.poses_NT44[index]
    metres_THW, _ = in_metres(depth_THW, truth_THW, valid_THW)
    metres_THW = metres_THW.clip(NEAREST, LARGEST)
    frames = [
        image_metrics(*maps, names=("abs_rel", "delta1"))
        for maps in zip(metres_THW, truth_THW, valid_THW, strict=True)
        if maps[2].any()
    ]
    row = {name: float(np.mean([frame[name] for frame in frames])) for name in frames[0]}
    steady = change_along_motion(metres_THW, truth_THW, valid_THW, intrinsics_33, poses_T44)
    drift = scale_drift(metres_THW, np.where(valid_THW, truth_THW, 1.0), valid_THW)
    return row | {
        "change": 100 * steady,
        "tae": tae(metres_THW, intrinsics_33, poses_T44).percent,
        "scale_spread": drift.spread,
    }


def change_along_motion(
    metres_THW: NDArray[np.float64],
    truth_THW: NDArray[np.float64],
    valid_THW: NDArray[np.bool_],
    intrinsics_33: NDArray[np.float64],
    poses_T44: NDArray[np.float64],
) -> float:
    """Mean |change of ln(metres / truth)| from a frame to the next, at the same place of the scene.

    Pixels are carried over with the true depth and cameras; where the true depth found there is
    another (hidden, or a thing that moved), they do not count. NaN if nothing is seen twice.
    """
    height, width = truth_THW.shape[1:]
    row, column = np.mgrid[:height, :width].reshape(2, -1) + 0.5
    rays_3P = np.linalg.solve(intrinsics_33, np.stack([column, row, np.ones_like(row)]))
    error_TP = np.log(metres_THW / np.where(valid_THW, truth_THW, 1.0)).reshape(len(truth_THW), -1)
    truth_TP, valid_TP = (x.reshape(len(x), -1) for x in (truth_THW, valid_THW))
    changes = []
    for now in range(len(truth_THW) - 1):
        move_44 = np.linalg.inv(poses_T44[now + 1]) @ poses_T44[now]
        x, y, z = move_44[:3, :3] @ (rays_3P * truth_TP[now]) + move_44[:3, 3:]
        ahead = valid_TP[now] & (z > 1e-6)
        z = np.where(ahead, z, 1.0)
        u, v, _ = intrinsics_33 @ np.stack([x / z, y / z, np.ones_like(z)])
        ahead &= (u >= 0) & (u < width) & (v >= 0) & (v < height)
        place_P = v[ahead].astype(np.intp) * width + u[ahead].astype(np.intp)
        found = truth_TP[now + 1, place_P]
        same = valid_TP[now + 1, place_P] & (np.abs(found - z[ahead]) < SAME_SURFACE * found)
        change_P = error_TP[now + 1, place_P[same]] - error_TP[now, ahead][same]
        changes.append(np.abs(change_P))
    found_P = np.concatenate(changes)
    return float(found_P.mean()) if found_P.size else float("nan")
