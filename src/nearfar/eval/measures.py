"""The metrics a protocol may list, by id, and what each needs: image, edges, planes, pairs, points.

Ids that share work are one group, computed once per image. A value that does not exist (an image
without edges or planes) is NaN: it stays in the table and is counted, never dropped silently.

Of whole clips (a clip has one value of each, in the row of its first frame, so `n` counts clips):

tae            as released (Video Depth Anything), percent; camera of the uncropped frame
tae_v2         mended: nearest point wins, the camera moves with the crop, empty pairs left out
tae_v2_checked the same without pixels whose depths differ by 10 % or more (hidden ones)
opw            optical-flow warping error (NVDS); the flow is that of true depth and poses
flicker        mean change of ln(depth / truth) from frame to frame along points that stand still
scale_drift    slope of ln median(truth / depth) per 100 frames
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import ConfigError, DataError

from .metrics.image import METRICS, image_metrics
from .metrics.temporal import Track, flicker, opw, scale_drift, tae, tae_v2, track_back
from .prepare import PreparedSample


class ScoredFrame(NamedTuple):
    """A prediction on the truth's grid: aligned metres, and the raw map with its value space.

    sigma_HW: standard deviation in metres, NaN where the model says sky, None if it gives none.
    fov_x_deg: the model's own. options: `metric_options` of the protocol. boundary_depth_HW: what
    windowed boundary scores take, None = depth_HW.
    """

    sample: PreparedSample
    depth_HW: NDArray[np.float64]
    raw_HW: NDArray[np.float64]
    value_space: str
    sigma_HW: NDArray[np.float64] | None
    fov_x_deg: float | None
    options: Mapping[str, Any]
    boundary_depth_HW: NDArray[np.float64] | None = None


class MetricValues(NamedTuple):
    """values: metric -> number. notes: counters for the table (planes, pairs)."""

    values: dict[str, float]
    notes: dict[str, float]


class SigmaPixels(NamedTuple):
    """Scored pixels that have a standard deviation: depth, truth and sigma in metres."""

    depth_P: NDArray[np.float64]
    truth_P: NDArray[np.float64]
    sigma_P: NDArray[np.float64]


class _Group(NamedTuple):
    names: tuple[str, ...]
    measure: Callable[[ScoredFrame, Sequence[str]], MetricValues]


def measure(scored: ScoredFrame, names: Sequence[str]) -> MetricValues:
    """All the named metrics of one image, in that order; those of whole clips are left out."""
    values: dict[str, float] = {}
    notes: dict[str, float] = {}
    for group in _GROUPS:
        wanted = [name for name in names if name in group.names]
        if wanted:
            found = group.measure(scored, wanted)
            values |= {name: found.values[name] for name in wanted}
            notes |= found.notes
    return MetricValues({name: values[name] for name in names if name not in CLIP_METRICS}, notes)


def require_known(names: Sequence[str], *, where: str, scope: str = "image") -> None:
    """ConfigError if a metric exists nowhere, or is of whole clips where `scope` is not clip."""
    known = {name for group in _GROUPS for name in group.names}
    if scope == "clip":
        known |= set(CLIP_METRICS)
    for name in names:
        if name not in known:
            what = "is of whole clips; alignment.scope must be clip"
            finding = what if name in CLIP_METRICS else "is no metric"
            raise ConfigError(where, f"{name} {finding}", f"Known: {', '.join(sorted(known))}")


def counters(names: Sequence[str]) -> list[str]:
    """The counter columns that these metrics fill."""
    return [note for metric, note in _COUNTERS.items() if metric in names]


def pixels_with_sigma(scored: ScoredFrame) -> SigmaPixels | None:
    """What uncertainty is judged on; None if the model gives none. Sky has no sigma, only depth."""
    if scored.sigma_HW is None:
        return None
    used_HW = scored.sample.scored_HW & np.isfinite(scored.sigma_HW)
    truth_P = scored.sample.truth_HW[used_HW].astype(np.float64)
    return SigmaPixels(scored.depth_HW[used_HW], truth_P, scored.sigma_HW[used_HW])


def _image(scored: ScoredFrame, names: Sequence[str]) -> MetricValues:
    sample = scored.sample
    strict = bool(scored.options.get("strict", False))
    return MetricValues(
        image_metrics(
            scored.depth_HW, sample.truth_HW, sample.scored_HW, names=names, strict=strict
        ),
        {},
    )


def _boundary(scored: ScoredFrame, names: Sequence[str]) -> MetricValues:
    from .metrics.edges import boundary_f1

    # no mask at all: unknown truth is 0, as in the published score
    scores = boundary_f1(scored.depth_HW, scored.sample.truth_HW)
    return _boundary_values(scores, "")


def _boundary_masked(scored: ScoredFrame, names: Sequence[str]) -> MetricValues:
    from .metrics.edges import boundary_f1

    sample = scored.sample
    return _boundary_values(
        boundary_f1(scored.depth_HW, sample.truth_HW, valid_HW=sample.scored_HW), "_masked"
    )


def _boundary_values(scores: Any, suffix: str) -> MetricValues:
    parts = {"f1": scores.f1, "precision": scores.precision, "recall": scores.recall}
    return MetricValues({f"boundary_{name}{suffix}": value for name, value in parts.items()}, {})


def _matting(scored: ScoredFrame, names: Sequence[str]) -> MetricValues:
    from .metrics.edges import boundary_recall

    alpha_HW = scored.sample.record.masks.get("alpha")
    if alpha_HW is None:
        raise DataError(scored.sample.record.sample_id, "has no mask named alpha")
    recall = boundary_recall(scored.depth_HW, alpha_HW.astype(np.float64)).recall
    return MetricValues({"boundary_recall_matting": recall}, {})


def _windowed(scored: ScoredFrame, names: Sequence[str]) -> MetricValues:
    from .metrics.edges import windowed_boundary_f1

    sample, values, depth_HW = scored.sample, {}, scored.boundary_depth_HW
    if depth_HW is None:
        depth_HW = scored.depth_HW
    for name in names:
        radius = int(name.rpartition("_r")[2])
        values[name] = windowed_boundary_f1(
            depth_HW, sample.truth_HW, sample.scored_HW, radius=radius
        ).f1
    return MetricValues(values, {})


def _edges(scored: ScoredFrame, names: Sequence[str]) -> MetricValues:
    from .metrics.edges import EdgeChamfer, edge_chamfer, flying_pixel_rate

    sample = scored.sample
    given = {k: scored.options[k] for k in ("low", "high", "far", "ratio") if k in scored.options}
    parameters = EdgeChamfer(**given)
    maps = (scored.depth_HW, sample.truth_HW, sample.scored_HW)
    if list(names) == ["flying_rate"]:
        return MetricValues(
            {"flying_rate": flying_pixel_rate(*maps, parameters=parameters).rate}, {}
        )
    if sample.intrinsics_33 is None:
        raise DataError(sample.record.sample_id, "has no camera; edge points need one")
    scores = edge_chamfer(*maps, sample.intrinsics_33, parameters=parameters)
    return MetricValues(
        {
            "edge_chamfer_m": scores.chamfer_m,
            "edge_to_truth_m": scores.to_truth_m,
            "edge_to_prediction_m": scores.to_prediction_m,
            "edge_chamfer_log": scores.chamfer_log,
            "edge_fly3d": scores.fly3d,
            "flying_rate": scores.flywin,
        },
        {},
    )


def _pairs(scored: ScoredFrame, names: Sequence[str]) -> MetricValues:
    pairs = scored.sample.record.pairs
    if not pairs:
        return MetricValues({"pair_accuracy": math.nan}, {"pairs": 0})
    # larger is farther, except for disparities; a tie is wrong
    sign = -1.0 if scored.value_space == "affine_disparity" else 1.0
    far_HW = sign * scored.raw_HW
    right = [far_HW[pair.closer] < far_HW[pair.farther] for pair in pairs]
    return MetricValues({"pair_accuracy": float(np.mean(right))}, {"pairs": len(pairs)})


def _uncertainty(scored: ScoredFrame, names: Sequence[str]) -> MetricValues:
    from .metrics import uncertainty as u

    pixels = pixels_with_sigma(scored)
    if pixels is None:
        return MetricValues(dict.fromkeys(UNCERTAINTY, math.nan), {})
    scored_count = int(np.count_nonzero(scored.sample.scored_HW))
    notes = {"no_sigma_share": 1 - pixels.sigma_P.size / scored_count}
    if not pixels.sigma_P.size:
        return MetricValues(dict.fromkeys(UNCERTAINTY, math.nan), notes)
    values: dict[str, float] = {}
    for metric in ("abs_rel", "rmse"):
        areas = u.ause_aurg(*pixels, metric=metric)
        values[f"ause_{metric}"], values[f"aurg_{metric}"] = areas.ause, areas.aurg
    covered = u.coverage(*pixels)
    for level, share in zip(covered.levels, covered.shares, strict=True):
        values[f"coverage_{round(100 * level)}"] = share
    values["sharpness"] = covered.sharpness
    values["calibration_error"] = u.expected_calibration_error(*pixels).ece
    values["spearman"] = u.spearman(pixels.sigma_P, np.abs(pixels.depth_P - pixels.truth_P))
    return MetricValues(values, notes)


def _ibims(scored: ScoredFrame, names: Sequence[str]) -> MetricValues:
    from .metrics.ibims import ibims_directed, ibims_edges, ibims_planes

    sample, depth_HW = scored.sample, scored.depth_HW
    record, truth_HW = sample.record, sample.truth_HW.astype(np.float64)
    if record.edges_HW is None or sample.intrinsics_33 is None:
        raise DataError(record.sample_id, "has no edges or no camera, as iBims-1 has")
    edges = ibims_edges(depth_HW, record.edges_HW)
    sides = ibims_directed(depth_HW, truth_HW, sample.scored_HW)
    planes = ibims_planes(depth_HW, truth_HW, sample.scored_HW, record.planes, sample.intrinsics_33)
    kept = np.isfinite(planes.flatness_cm_K)
    flatness, orientation = planes.flatness_cm_K[kept], planes.orientation_deg_K[kept]
    values = {
        "dbe_acc": edges.accuracy_px,
        "dbe_com": edges.completeness_px,
        "dbe_com_capped": edges.truncated_px,
        "dde_equal": sides.equal,
        "dde_nearer": sides.nearer,
        "dde_farther": sides.farther,
        "pe_fla_cm": float(flatness.mean()) if kept.any() else math.nan,
        "pe_ori_deg": float(orientation.mean()) if kept.any() else math.nan,
    }
    return MetricValues(values, {"planes": float(kept.sum())})


def _points(scored: ScoredFrame, names: Sequence[str]) -> MetricValues:
    """Points back-projected with the model's own field of view, fitted as the protocol says."""
    from nearfar.geometry.camera import intrinsics_from_fov
    from nearfar.geometry.clouds import backproject

    from .metrics.points import align_points, fov_error_deg, point_scores

    sample = scored.sample
    size_hw = (sample.truth_HW.shape[0], sample.truth_HW.shape[1])
    if sample.intrinsics_33 is None or scored.fov_x_deg is None:
        whose = "truth" if sample.intrinsics_33 is None else "prediction"
        raise DataError(sample.record.sample_id, f"the {whose} has no camera; points need one")
    own_33 = intrinsics_from_fov(scored.fov_x_deg, size_hw)
    truth_HW3 = backproject(sample.truth_HW, sample.intrinsics_33)
    found_HW3 = backproject(scored.depth_HW.astype(np.float32), own_33)
    aligned = align_points(
        found_HW3, truth_HW3, sample.scored_HW, mode=str(scored.options["points_mode"])
    )
    scores = point_scores(aligned.points_HW3, truth_HW3, sample.scored_HW)
    error = fov_error_deg(own_33, sample.intrinsics_33, size_hw)
    values = {"rel_points": scores.rel, "delta1_points": scores.delta1, "fov_error_deg": error}
    return MetricValues(values, {})


UNCERTAINTY = (
    "ause_abs_rel",
    "aurg_abs_rel",
    "ause_rmse",
    "aurg_rmse",
    "coverage_50",
    "coverage_80",
    "coverage_90",
    "coverage_95",
    "sharpness",
    "calibration_error",
    "spearman",
)
CLIP_METRICS = ("tae", "tae_v2", "tae_v2_checked", "opw", "flicker", "scale_drift")
_COUNTERS = {
    "pair_accuracy": "pairs",
    "pe_fla_cm": "planes",
    "ause_abs_rel": "no_sigma_share",
    "tae_v2_checked": "occluded_share",
    "flicker": "static_share",
}
_GROUPS = (
    _Group(tuple(METRICS), _image),
    _Group(("boundary_f1", "boundary_precision", "boundary_recall"), _boundary),
    _Group(
        ("boundary_f1_masked", "boundary_precision_masked", "boundary_recall_masked"),
        _boundary_masked,
    ),
    _Group(("boundary_recall_matting",), _matting),
    _Group(tuple(f"windowed_boundary_f1_r{r}" for r in (1, 2, 3)), _windowed),
    _Group(
        (
            "edge_chamfer_m",
            "edge_to_truth_m",
            "edge_to_prediction_m",
            "edge_chamfer_log",
            "edge_fly3d",
            "flying_rate",
        ),
        _edges,
    ),
    _Group(("pair_accuracy",), _pairs),
    _Group(
        (
            "dbe_acc",
            "dbe_com",
            "dbe_com_capped",
            "dde_equal",
            "dde_nearer",
            "dde_farther",
            "pe_fla_cm",
            "pe_ori_deg",
        ),
        _ibims,
    ),
    _Group(("rel_points", "delta1_points", "fov_error_deg"), _points),
    _Group(UNCERTAINTY, _uncertainty),
)


FLOWS = ("truth",)  # metric_options.flow: whose optical flow `opw` follows


class ScoredClip(NamedTuple):
    """The scored frames of a clip and their aligned depth in metres, positive everywhere."""

    samples: Sequence[PreparedSample]
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


def measure_clip(clip: ScoredClip, names: Sequence[str]) -> MetricValues:
    """The named metrics of a clip; NaN where it has fewer than two scored frames.

    DataError names the frame without the camera or pose that a metric needs.
    """
    wanted = clip_metrics(names)
    if len(clip.samples) < 2 or not wanted:
        return MetricValues(dict.fromkeys(wanted, math.nan), {})
    values: dict[str, float] = {}
    notes: dict[str, float] = {}
    if "scale_drift" in wanted:
        truth_THW = np.stack([sample.truth_HW for sample in clip.samples])
        scored_THW = np.stack([sample.scored_HW for sample in clip.samples])
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
    return MetricValues({name: values[name] for name in wanted}, notes)


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
    photos_T3HW = np.stack([sample.rgb_HW3.transpose(2, 0, 1) for sample in clip.samples])
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
        np.divide(depth, sample.truth_HW, out=np.ones_like(depth), where=sample.known_HW)
        for depth, sample in zip(clip.depth_THW, clip.samples, strict=True)
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
            np.where(clip.samples[i].known_HW, clip.samples[i].truth_HW, 0),
            np.where(clip.samples[i - 1].known_HW, clip.samples[i - 1].truth_HW, 0),
            camera_33,
            np.linalg.inv(poses_T44[i - 1]) @ poses_T44[i],
        )
        for i in range(1, len(clip.samples))
    ]


def _poses(clip: ScoredClip) -> NDArray[np.float64]:
    """Camera to world of every frame, [T,4,4]."""
    poses = []
    for sample in clip.samples:
        if sample.record.pose_44 is None:
            raise DataError(sample.record.sample_id, "has no pose; metrics of clips need one")
        poses.append(np.asarray(sample.record.pose_44, np.float64))
    return np.stack(poses)


def _camera(clip: ScoredClip, *, is_cropped: bool) -> NDArray[np.float64]:
    """The one camera of the clip, of the truth's grid or of the frame as stored."""
    cameras = []
    for sample in clip.samples:
        found = sample.intrinsics_33 if is_cropped else sample.record.intrinsics_33
        if found is None:
            raise DataError(sample.record.sample_id, "has no camera; metrics of clips need one")
        cameras.append(np.asarray(found, np.float64))
    for sample, camera_33 in zip(clip.samples, cameras, strict=True):
        if not np.allclose(camera_33, cameras[0], rtol=1e-6):
            raise DataError(
                sample.record.sample_id, "has a different camera than the frames before it"
            )
    return cameras[0]
