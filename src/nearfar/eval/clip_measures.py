"""Metrics of a whole clip: does its depth keep still where the world does?

tae            as released (Video Depth Anything), percent; camera of the uncropped frame
tae_v2         mended: nearest point wins, the camera moves with the crop, empty pairs left out
tae_v2_checked the same without pixels whose depths differ by 10 % or more (hidden ones)
opw            optical-flow warping error (NVDS); the flow is that of true depth and poses
flicker        mean change of ln(depth / truth) from frame to frame along points that stand still
scale_drift    slope of ln median(truth / depth) per 100 frames

A clip has one value of each. It stands in the row of the clip's first frame, so `n` counts clips.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError, DataError

from .measures import CLIP_METRICS, Measured
from .metrics.temporal import Track, flicker, opw, scale_drift, tae, tae_v2, track_back
from .prepare import Case

FLOWS = ("truth",)  # metric_options.flow: whose optical flow `opw` follows


class ScoredClip(NamedTuple):
    """The scored frames of a clip and their aligned depth in metres, positive everywhere."""

    cases: Sequence[Case]
    depth_THW: NDArray[np.float64]
    options: Mapping[str, Any]


def clip_metrics(names: Sequence[str]) -> list[str]:
    """Those that are of whole clips."""
    return [name for name in names if name in CLIP_METRICS]


def require_flow(names: Sequence[str], options: Mapping[str, Any], *, where: str) -> None:
    """ConfigError if `opw` is wanted with a flow that nothing here computes."""
    if "opw" in names and options.get("flow") not in FLOWS:
        raise ConfigError(
            where,
            "opw follows an optical flow that is not in nearfar",
            "vda-synthetic measures it with the flow of true depth and poses",
        )


def measure_clip(clip: ScoredClip, names: Sequence[str]) -> Measured:
    """The named metrics of a clip; NaN where it has fewer than two scored frames.

    DataError names the frame without the camera or pose that a metric needs.
    """
    wanted = clip_metrics(names)
    if len(clip.cases) < 2 or not wanted:
        return Measured(dict.fromkeys(wanted, math.nan), {})
    values: dict[str, float] = {}
    notes: dict[str, float] = {}
    if "scale_drift" in wanted:
        truth_THW = np.stack([case.truth_HW for case in clip.cases])
        scored_THW = np.stack([case.scored_HW for case in clip.cases])
        values["scale_drift"] = scale_drift(clip.depth_THW, truth_THW, scored_THW).slope
    if any(name.startswith("tae") for name in wanted):
        values |= _alignment_errors(clip, wanted, notes)
    if {"opw", "flicker"} & set(wanted):
        tracks = _tracks(clip)
        if "opw" in wanted:
            values["opw"] = _warping_error(clip, tracks)
        if "flicker" in wanted:
            values["flicker"] = _flicker(clip, tracks)
            notes["static_share"] = float(np.mean([track.same_HW.mean() for track in tracks]))
    return Measured({name: values[name] for name in wanted}, notes)


def _alignment_errors(
    clip: ScoredClip, wanted: Sequence[str], notes: dict[str, float]
) -> dict[str, float]:
    """The variants of the temporal alignment error that are wanted, percent."""
    poses_T44 = _poses(clip)
    values = {}
    if "tae" in wanted:
        values["tae"] = tae(clip.depth_THW, _camera(clip, is_cropped=False), poses_T44).percent
    for name, occlusion in (("tae_v2", None), ("tae_v2_checked", 0.1)):
        if name in wanted:
            camera_33 = _camera(clip, is_cropped=True)
            found = tae_v2(clip.depth_THW, camera_33, poses_T44, occlusion=occlusion)
            values[name] = found.percent
            if occlusion is not None:
                notes["occluded_share"] = found.occluded
    return values


def _warping_error(clip: ScoredClip, tracks: Sequence[Track]) -> float:
    photos_T3HW = np.stack([case.rgb_HW3.transpose(2, 0, 1) for case in clip.cases])
    flow_T2HW = np.stack([track.flow_2HW for track in tracks])
    rgb_range = float(clip.options.get("rgb_range", 255.0))
    return opw(clip.depth_THW, photos_T3HW, flow_T2HW, rgb_range=rgb_range).error


def _flicker(clip: ScoredClip, tracks: Sequence[Track]) -> float:
    """Over all pairs of frames, each weighted by its pixels.

    The ratio to the truth is compared, so that a camera that comes nearer is no flicker; before a
    camera that stands still it is |ln d_t - ln d_(t-1)|.
    """
    total, pixels = 0.0, 0
    ratios = [
        np.divide(depth, case.truth_HW, out=np.ones_like(depth), where=case.known_HW)
        for depth, case in zip(clip.depth_THW, clip.cases, strict=True)
    ]
    for before, now, track in zip(ratios[:-1], ratios[1:], tracks, strict=True):
        pair = np.stack([before[track.row_HW, track.column_HW], now])
        found = flicker(pair, np.stack([track.same_HW] * 2))
        if found.pixels:
            total, pixels = total + found.flicker * found.pixels, pixels + found.pixels
    return total / pixels if pixels else math.nan


def _tracks(clip: ScoredClip) -> list[Track]:
    """Of every frame but the first into the one before."""
    poses_T44, camera_33 = _poses(clip), _camera(clip, is_cropped=True)
    return [
        track_back(
            np.where(clip.cases[i].known_HW, clip.cases[i].truth_HW, 0),
            np.where(clip.cases[i - 1].known_HW, clip.cases[i - 1].truth_HW, 0),
            camera_33,
            np.linalg.inv(poses_T44[i - 1]) @ poses_T44[i],
        )
        for i in range(1, len(clip.cases))
    ]


def _poses(clip: ScoredClip) -> NDArray[np.float64]:
    """Camera to world of every frame, [T,4,4]."""
    poses = []
    for case in clip.cases:
        if case.record.pose_44 is None:
            raise DataError(case.record.sample_id, "has no pose; metrics of clips need one")
        poses.append(np.asarray(case.record.pose_44, np.float64))
    return np.stack(poses)


def _camera(clip: ScoredClip, *, is_cropped: bool) -> NDArray[np.float64]:
    """The one camera of the clip, of the truth's grid or of the frame as stored."""
    cameras = []
    for case in clip.cases:
        found = case.intrinsics_33 if is_cropped else case.record.intrinsics_33
        if found is None:
            raise DataError(case.record.sample_id, "has no camera; metrics of clips need one")
        cameras.append(np.asarray(found, np.float64))
    for case, camera_33 in zip(clip.cases, cameras, strict=True):
        if not np.allclose(camera_33, cameras[0], rtol=1e-6):
            raise DataError(case.record.sample_id, "has another camera than the clip before it")
    return cameras[0]
