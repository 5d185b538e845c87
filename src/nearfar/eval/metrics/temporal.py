"""Whether the depth of a clip is steady: temporal alignment error, warping error, flicker, drift.

Depth is metres after one fit for the whole clip. Cameras are as everywhere in Nearfar (pixel
centers at +0.5); the published formulas count pixel centers in whole numbers, so 0.5 is taken off
inside. `track_back` tells where a pixel was one frame before, as a point of the world that does not
move: things that move and surfaces hidden before fall out.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import DataError

_FRAMES_PER_DRIFT = 100
_OPW_SHARPNESS = 50.0


class PairError(NamedTuple):
    """error: mean |d_j - z'| / d_j over `pixels`, 0 if there is none.

    projected_HW: frame i as frame j sees it, metres, 0 where nothing lands. occluded: share 0..1 of
    the hit pixels that the occlusion test dropped (0 without a test).
    """

    error: float
    pixels: int
    occluded: float
    projected_HW: NDArray[np.float64]


class TemporalError(NamedTuple):
    """percent: the error in percent, lower is better; NaN if no pair counts.

    pairs: directed pairs, 2 (T - 1); `empty` of them have no pixel in common. occluded: mean share
    of pixels dropped. variant, occlusion, crop_yx: what was asked for.
    """

    percent: float
    pairs: int
    empty: int
    occluded: float
    variant: str
    occlusion: float | None
    crop_yx: tuple[float, float]


class WarpError(NamedTuple):
    """error: sum of the pair errors / T, lower is better; `pair_errors` of each frame after the
    first. rgb_range: 255 for the published weights, 1 for smooth ones.
    """

    error: float
    pair_errors: tuple[float, ...]
    rgb_range: float


class Flicker(NamedTuple):
    """flicker: mean |ln d_t - ln d_(t-1)| over `pixels` static ones, 0 for a steady clip; NaN if
    there is none.
    """

    flicker: float
    pixels: int


class ScaleDrift(NamedTuple):
    """slope: change of ln scale per 100 frames. spread: its standard deviation over frames.

    `frames` had valid truth; NaN below two of them.
    """

    slope: float
    spread: float
    frames: int


def tae(
    depth_THW: NDArray,
    intrinsics_33: NDArray[np.float64],
    poses_T44: NDArray[np.float64],
    *,
    static_THW: NDArray[np.bool_] | None = None,
) -> TemporalError:
    """Temporal alignment error as released with Video Depth Anything (arXiv 2501.12375).

    100 / (2 (T - 1)) * sum over i of E(i -> i+1) + E(i+1 -> i), docs/evaluation.md, "Clips". The
    last pixel in row-major order wins a collision, hidden surfaces count, an empty pair counts 0.
    `poses_T44` camera to world. Perfect depth does not score 0.
    """
    results = _directed_pairs(depth_THW, intrinsics_33, poses_T44, static_THW, None)
    errors = [result.error for result in results]
    empty = sum(result.pixels == 0 for result in results)
    return TemporalError(100 * _mean(errors), len(errors), empty, 0.0, "parity", None, (0.0, 0.0))


def tae_v2(
    depth_THW: NDArray,
    intrinsics_33: NDArray[np.float64],
    poses_T44: NDArray[np.float64],
    *,
    static_THW: NDArray[np.bool_] | None = None,
    crop_yx: tuple[float, float] = (0.0, 0.0),
    occlusion: float | None = 0.1,
) -> TemporalError:
    """The same error with its faults mended: our own variant `tae-v2`.

    The nearest point wins a pixel, the camera moves with the rows and columns cut off at the top
    left (`crop_yx`), pixels with |d_j - z'| / d_j >= `occlusion` are dropped and reported (None
    keeps them), and empty pairs are left out.
    """
    camera_33 = np.array(intrinsics_33, np.float64)
    camera_33[:2, 2] -= crop_yx[::-1]
    limit = math.inf if occlusion is None else occlusion
    results = _directed_pairs(depth_THW, camera_33, poses_T44, static_THW, limit)
    counted = [result for result in results if result.pixels]
    return TemporalError(
        percent=100 * _mean([result.error for result in counted]),
        pairs=len(results),
        empty=len(results) - len(counted),
        occluded=_mean([result.occluded for result in results]),
        variant="v2",
        occlusion=occlusion,
        crop_yx=crop_yx,
    )


def pair_error(
    source_HW: NDArray,
    target_HW: NDArray,
    intrinsics_33: NDArray[np.float64],
    target_from_source_44: NDArray[np.float64],
    *,
    static_HW: NDArray[np.bool_] | None = None,
    nearest_within: float | None = None,
) -> PairError:
    """E(i -> j): frame i carried into frame j, against the depth there.

    Target pixels are round-half-even projections of every source pixel; compared where the value z'
    that landed is > 0. `nearest_within` None: the last one written stays (parity). A number: the
    nearest stays, and pixels with |d_j - z'| / d_j at or above it are dropped.
    """
    target_HW = np.asarray(target_HW, np.float64)
    projected_HW = _project(
        np.asarray(source_HW, np.float64),
        intrinsics_33,
        target_from_source_44,
        nearest=nearest_within is not None,
    )
    # the published test reads z' > 0 only; a target without depth has no relative error
    hit_HW = (projected_HW > 0) & (target_HW > 0)
    if static_HW is not None:
        hit_HW &= static_HW
    target = target_HW[hit_HW]
    relative = np.abs(target - projected_HW[hit_HW]) / target
    seen = relative < (math.inf if nearest_within is None else nearest_within)
    pixels = int(np.count_nonzero(seen))
    error = float(relative[seen].mean()) if pixels else 0.0
    occluded = 1 - pixels / relative.size if relative.size else 0.0
    return PairError(error, pixels, occluded, projected_HW)


def opw(
    depth_THW: NDArray, image_T3HW: NDArray, flow_T2HW: NDArray, *, rgb_range: float = 255.0
) -> WarpError:
    """Optical-flow warping error as in NVDS (arXiv 2307.08695; docs/evaluation.md, "Clips").

    flow_T2HW[t] (right, down, px) leads from frame t + 1 back to frame t, T - 1 of them. W warps
    bilinearly with zeros outside; n(x) = (x - lower median) / mean|x - lower median|; pair =
    10 mean(sum_rgb exp(-50 (W(I_(t-1)) - I_t)^2) |n(D_t) - n(W(D_(t-1)))|); value = sum / T.
    `image_T3HW` is 0..255; `rgb_range` 255 keeps it so, as released, and 1 divides it by 255.
    """
    frames = len(depth_THW)
    if len(image_T3HW) != frames or len(flow_T2HW) != frames - 1:
        raise DataError(
            "opw",
            f"{frames} maps, {len(image_T3HW)} photos, {len(flow_T2HW)} flows, not one fewer",
        )
    photos = np.asarray(image_T3HW, np.float64) * (rgb_range / 255)
    depth = np.asarray(depth_THW, np.float64)
    if not np.isfinite(depth).all():
        raise DataError("opw", "the prediction is not finite")
    errors = []
    for now in range(1, frames):
        flow_2HW = np.asarray(flow_T2HW[now - 1], np.float64)
        warped = _warp(np.concatenate([photos[now - 1], depth[now - 1][None]]), flow_2HW)
        change_3HW = warped[:3] - photos[now]
        weight_HW = np.exp(-_OPW_SHARPNESS * change_3HW**2).sum(axis=0)
        jump_HW = np.abs(_normalized(depth[now]) - _normalized(warped[3]))
        errors.append(10 * float(np.mean(weight_HW * jump_HW)))
    return WarpError(sum(errors) / frames, tuple(errors), rgb_range)


def flicker(
    depth_THW: NDArray,
    valid_THW: NDArray[np.bool_],
    *,
    static_THW: NDArray[np.bool_] | None = None,
) -> Flicker:
    """The mean change of ln depth between frames, over pixels valid in both.

    `static_THW[t]` says which pixels of frame t show what frame t - 1 showed there (a mask, or
    |flow| < 0.2 px); None for a fixed camera: all of them. `static_THW[0]` is not read.
    """
    shown_THW = valid_THW[1:] & valid_THW[:-1]
    if static_THW is not None:
        shown_THW = shown_THW & static_THW[1:]
    before, now = _logs(depth_THW[:-1], shown_THW), _logs(depth_THW[1:], shown_THW)
    value = float(np.mean(np.abs(now - before))) if now.size else math.nan
    return Flicker(value, now.size)


def scale_drift(depth_THW: NDArray, truth_THW: NDArray, valid_THW: NDArray[np.bool_]) -> ScaleDrift:
    """The least-squares slope of ln median(g / d) over frame numbers, and its standard deviation.

    Frames without valid truth are left out and keep their number.
    """
    numbers, logs = [], []
    for number, (depth, truth, valid) in enumerate(zip(depth_THW, truth_THW, valid_THW)):
        if valid.any():
            ratio = _logs(truth, valid) - _logs(depth, valid)
            numbers.append(number)
            logs.append(math.log(float(np.median(np.exp(ratio)))))
    if len(logs) < 2:
        return ScaleDrift(math.nan, math.nan, len(logs))
    slope = float(np.polyfit(numbers, logs, 1)[0])
    return ScaleDrift(_FRAMES_PER_DRIFT * slope, float(np.std(logs)), len(logs))


def _directed_pairs(
    depth_THW: NDArray,
    intrinsics_33: NDArray[np.float64],
    poses_T44: NDArray[np.float64],
    static_THW: NDArray[np.bool_] | None,
    nearest_within: float | None,
) -> list[PairError]:
    """Errors of i -> i+1 and i+1 -> i for all neighbors of the clip."""
    frames = len(depth_THW)
    if frames < 2 or len(poses_T44) != frames:
        raise DataError(
            "tae",
            f"{frames} frames and {len(poses_T44)} poses",
            "Give two frames or more, each with its pose",
        )
    if static_THW is not None and static_THW.shape != depth_THW.shape:
        raise DataError("tae", f"static mask is {static_THW.shape}, depth {depth_THW.shape}")
    if not (np.isfinite(depth_THW).all() and (np.asarray(depth_THW) > 0).all()):
        raise DataError("tae", "depth is not positive and finite", "Clip it as the protocol says")
    if not np.isfinite(poses_T44).all():
        raise DataError("tae", "a pose is not finite", "Leave out frames without a pose")
    results = []
    for i in range(frames - 1):
        for source, target in ((i, i + 1), (i + 1, i)):
            results.append(
                pair_error(
                    depth_THW[source],
                    depth_THW[target],
                    intrinsics_33,
                    np.linalg.inv(poses_T44[target]) @ poses_T44[source],
                    static_HW=None if static_THW is None else static_THW[target],
                    nearest_within=nearest_within,
                )
            )
    return results


def _project(
    depth_HW: NDArray[np.float64],
    intrinsics_33: NDArray[np.float64],
    target_from_source_44: NDArray[np.float64],
    *,
    nearest: bool,
) -> NDArray[np.float64]:
    """Depth of the source as the target camera sees it, 0 where nothing lands."""
    height, width = depth_HW.shape
    fx, fy = intrinsics_33[0, 0], intrinsics_33[1, 1]
    cx, cy = intrinsics_33[0, 2] - 0.5, intrinsics_33[1, 2] - 0.5
    row, column = np.mgrid[:height, :width].reshape(2, -1)
    z = depth_HW.ravel()
    points = np.stack([(column - cx) * z / fx, (row - cy) * z / fy, z])
    x, y, z = target_from_source_44[:3, :3] @ points + target_from_source_44[:3, 3:]
    with np.errstate(divide="ignore", invalid="ignore"):
        u, v = np.rint(x / z * fx + cx), np.rint(y / z * fy + cy)
    lands = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    if nearest:
        lands &= z > 0
    place = v[lands].astype(np.intp) * width + u[lands].astype(np.intp)
    z = z[lands]
    if nearest:  # the nearest is written last
        order = np.argsort(-z, kind="stable")
        place, z = place[order], z[order]
    projected = np.zeros(height * width)
    projected[place] = z
    return projected.reshape(height, width)


def _warp(maps_CHW: NDArray[np.float64], flow_2HW: NDArray[np.float64]) -> NDArray[np.float64]:
    """The maps [C,H,W] read bilinearly at pixel + flow; pixels outside count as zeros."""
    _, height, width = maps_CHW.shape
    row, column = np.mgrid[:height, :width]
    x, y = column + flow_2HW[0], row + flow_2HW[1]
    left, top = np.floor(x), np.floor(y)
    warped_CHW = np.zeros(maps_CHW.shape)
    for down in (0, 1):
        for right in (0, 1):
            u, v = left + right, top + down
            share = (1 - np.abs(x - u)) * (1 - np.abs(y - v))
            share[(u < 0) | (u >= width) | (v < 0) | (v >= height)] = 0
            u, v = np.clip(u, 0, width - 1), np.clip(v, 0, height - 1)
            warped_CHW += maps_CHW[:, v.astype(np.intp), u.astype(np.intp)] * share
    return warped_CHW


def _normalized(map_HW: NDArray[np.float64]) -> NDArray[np.float64]:
    """The map less its lower median, by the mean distance from it; a flat map becomes 0."""
    middle = (map_HW.size - 1) // 2
    centered_HW = map_HW - np.partition(map_HW.ravel(), middle)[middle]
    spread = np.abs(centered_HW).mean()
    return np.asarray(centered_HW / (spread if spread else 1.0))


def _logs(depth: NDArray, valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Logarithms of the valid depths; DataError unless all are positive and finite."""
    if depth.shape != valid.shape:
        raise DataError("clip", f"depth is {depth.shape}, its mask {valid.shape}")
    metres = np.asarray(depth, np.float64)[valid]
    if not (np.isfinite(metres).all() and (metres > 0).all()):
        raise DataError("clip", "depth is not positive inside the mask")
    return np.asarray(np.log(metres))


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else math.nan


_SAME = 0.02  # relative difference of depths up to which two pixels show one surface
_FAR = 1e6  # metres, for pixels without depth: they follow the camera's rotation


class Track(NamedTuple):
    """For every pixel of a frame: its place in the frame before.

    flow_2HW: (right, down) in pixels from here to there. row_HW, column_HW: the pixel there, within
    the picture. same_HW: whether both show the same point that does not move, as far as truth says.
    """

    flow_2HW: NDArray[np.float64]
    row_HW: NDArray[np.intp]
    column_HW: NDArray[np.intp]
    same_HW: NDArray[np.bool_]


def track_back(
    truth_HW: NDArray,
    before_HW: NDArray,
    intrinsics_33: NDArray[np.float64],
    before_from_now_44: NDArray[np.float64],
) -> Track:
    """The track of a frame into the one before; depths in metres, 0 where unknown.

    Pixel centers lie at +0.5. Points behind the earlier camera stay where they are, not `same`.
    """
    height, width = truth_HW.shape
    known_HW = truth_HW > 0
    z_HW = np.where(known_HW, truth_HW, _FAR).astype(np.float64)
    row_HW, column_HW = np.mgrid[:height, :width] + 0.5
    rays_3HW = np.stack([column_HW, row_HW, np.ones_like(row_HW)])
    points_3P = (np.linalg.inv(intrinsics_33) @ rays_3HW.reshape(3, -1)) * z_HW.ravel()
    moved_3P = before_from_now_44[:3, :3] @ points_3P + before_from_now_44[:3, 3:]
    there_HW = moved_3P[2].reshape(height, width)
    ahead_HW = there_HW > 0
    pixels_3P = intrinsics_33 @ moved_3P
    pixels_2HW = (pixels_3P[:2] / np.where(ahead_HW.ravel(), moved_3P[2], 1)).reshape(2, height, -1)
    here_2HW = np.stack([column_HW, row_HW])
    flow_2HW = np.where(ahead_HW, pixels_2HW - here_2HW, 0.0)
    x_HW, y_HW = np.floor(here_2HW + flow_2HW)
    inside_HW = (x_HW >= 0) & (x_HW < width) & (y_HW >= 0) & (y_HW < height)
    x_HW = np.clip(x_HW, 0, width - 1).astype(np.intp)
    y_HW = np.clip(y_HW, 0, height - 1).astype(np.intp)
    found_HW = np.asarray(before_HW, np.float64)[y_HW, x_HW]
    near_HW = np.abs(found_HW - there_HW) <= _SAME * np.where(ahead_HW, there_HW, 1)
    same_HW = known_HW & ahead_HW & inside_HW & (found_HW > 0) & near_HW
    return Track(flow_2HW, y_HW, x_HW, same_HW)
