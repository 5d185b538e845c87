"""The one judge: a clip from prediction to scores; an image is a clip of one frame.

Predict, convert, align, cap and measure as a locked protocol says (docs/evaluation.md, "What a
protocol fixes"). Images, clips and the validation of a training go this way. Nothing here depends
on other clips, on their order, or on the process: a random alignment draws from [its seed, the
place of the first sample in the list].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.data.record import DepthRecord
from nearfar.errors import ConfigError, DataError

from .align import ALIGNMENTS, Aligned, AlignOptions, converted
from .measures import (
    UNCERTAINTY,
    MetricValues,
    ScoredClip,
    ScoredFrame,
    clip_metrics,
    counters,
    measure,
    measure_clip,
    pixels_with_sigma,
)
from .predictions import ClipEstimator, Estimate, Estimator
from .prepare import PreparedSample, data_hash, interpolate, nearest, prepare
from .protocol import ELSE_CAPS, Protocol
from .results import OK, PREVIEW_SIDE, SKIPPED, Preview, SampleRow
from .value_space import conversion_for

_NOTES = (
    "median_m",
    "negative_scale",
    "degenerate",
    "fallback",
    "nonpositive_share",
    "clipped_share",
    "sky_share",
    "nonfinite_share",
)
_LARGEST_HALF = 65504.0


_UNFITTED = (
    "none",
    "l1_points",
)  # metres as predicted; metrics of points fit the points themselves


class FrameResult(NamedTuple):
    """The row of the table, and what its numbers are of; `scored` is None for a skipped frame."""

    row: SampleRow
    scored: ScoredFrame | None

    @property
    def preview(self) -> Preview | None:
        """The pictures of the frame; None if it was skipped."""
        return None if self.scored is None else make_preview(self.scored)


class FrameFit(NamedTuple):
    """Aligned metres of one frame within the caps, under the scale and shift of its clip.

    boundary_depth_HW: as in `Aligned`.
    """

    depth_HW: NDArray[np.float64]
    scale: float
    shift: float
    notes: dict[str, float]
    boundary_depth_HW: NDArray[np.float64] | None = None


class _Prediction(NamedTuple):
    """What was predicted for one photo; on the truth's grid it is finite everywhere.

    sky_share: how much was filled as sky. nonfinite_share: how much was put to the caps.
    """

    values_HW: NDArray[np.float64]
    sigma_HW: NDArray[np.float64] | None
    value_space: str
    sky_share: float
    nonfinite_share: float
    fov_x_deg: float | None
    seconds: float


def table_columns(protocol: Protocol, *, uncertainty: bool) -> tuple[list[str], list[str]]:
    """Metric and counter columns of the table of this protocol."""
    metrics = [*protocol.metrics, *(UNCERTAINTY if uncertainty else ())]
    return metrics, [*_NOTES, *counters(metrics)]


def judge(
    records: Sequence[DepthRecord],
    places: Sequence[int],
    protocol: Protocol,
    estimator: Estimator,
) -> list[FrameResult]:
    """The results of the frames of one clip, in order; errors name the sample, or the clip.

    Every frame has a row, with the clip's scale and shift; metrics of the whole clip stand in the
    row of its first scored frame. Frames with too few pixels are shown to the model, but neither
    fitted nor scored. Memory grows with the frames: photos, truths and maps at the truth's size.
    """
    # 1. photo [H,W,3], truth [H,W] and scored pixels [H,W] of every frame
    samples = [prepare(record, protocol) for record in records]
    facts = [_facts(sample, place) for sample, place in zip(samples, places, strict=True)]
    used = [i for i, known in enumerate(facts) if known["n_valid"] >= protocol.mask.least_pixels]
    results = {
        i: FrameResult(_skipped_row(known, protocol), None)
        for i, known in enumerate(facts)
        if i not in used
    }
    with _named(records):
        # 2. maps [H,W] in the model's value space, on the grid of the truth
        maps = _predicted(samples, protocol, estimator) if used else []
        # 3. one scale and shift for the scored frames [T,H,W], then the caps
        scored = _fitted([samples[i] for i in used], [maps[i] for i in used], protocol, places[0])
        # 4. numbers of every frame; those of the clip join the first
        names, _ = table_columns(protocol, uncertainty=estimator.gives_uncertainty)
        measured = [measure(frame, names) for frame, _ in scored]
        if measured and clip_metrics(protocol.metrics):
            measured[0] = _joined(measured[0], _of_clip([frame for frame, _ in scored], protocol))
    # 5. rows
    for i, (frame, fit), numbers in zip(used, scored, measured, strict=True):
        results[i] = FrameResult(_row(facts[i], maps[i], frame, fit, numbers), frame)
    return [results[i] for i in range(len(samples))]


def fit_clip(
    values: Sequence[NDArray],
    truths: Sequence[NDArray],
    masks: Sequence[NDArray[np.bool_]],
    protocol: Protocol,
    *,
    value_space: str,
    place: int,
) -> list[FrameFit]:
    """Every frame in metres: converted, under one fit for all scored pixels, within the caps.

    Arrays are [H,W] of one size for each frame; `place` decides what a random alignment draws.
    ConfigError if the protocol does not accept the value space.
    """
    part = protocol.alignment
    if len({truth_HW.shape for truth_HW in truths}) > 1:
        sizes = sorted({truth_HW.shape for truth_HW in truths})
        raise DataError("truth", f"has several sizes in one clip: {sizes}")
    conversion = conversion_for(protocol.prediction.accepts, value_space, protocol=protocol.id)
    maps = [converted(values_HW, conversion) for values_HW in values]
    if part.id in _UNFITTED:
        aligned = [Aligned(values_HW, 1.0, 0.0, {}) for values_HW in maps]
    else:
        options: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in part.options.items()
        }
        whole = ALIGNMENTS[part.id].align(
            _as_one(maps),
            _as_one(truths),
            _as_one(masks),
            options=AlignOptions(**options),
            generator=np.random.default_rng([part.seed, place]),
        )
        aligned = [whole]
        if len(maps) > 1:
            aligned = [
                whole._replace(depth_HW=depth_HW, boundary_depth_HW=None)
                for depth_HW in whole.depth_HW
            ]
    return [
        _capped(one, truth_HW, mask_HW, protocol)
        for one, truth_HW, mask_HW in zip(aligned, truths, masks, strict=True)
    ]


def _as_one(frames: Sequence[NDArray]) -> NDArray:
    """[T,H,W]; the [H,W] of a single frame, whose grid some alignments sample."""
    return frames[0] if len(frames) == 1 else np.stack(frames)


@contextmanager
def _named(records: Sequence[DepthRecord]) -> Iterator[None]:
    """DataErrors from inside name the sample, or the clip of several frames."""
    name = records[0].sample_id
    name = name.rpartition("/")[0] if len(records) > 1 else name
    try:
        yield
    except DataError as error:
        if name in str(error):
            raise
        raise DataError(name, f"{error.where}: {error.finding}", error.remedy) from error


def _facts(sample: PreparedSample, place: int) -> dict[str, Any]:
    """What a row says about its sample, scored or not."""
    record = sample.record
    return {
        "index": place,
        "sample_id": record.sample_id,
        "scene": record.scene,
        "place": str(record.notes.get("place", record.notes.get("scene_type", ""))),
        "data_sha256": data_hash(record),
        "n_valid": int(np.count_nonzero(sample.scored_HW)),
    }


def _skipped_row(facts: dict[str, Any], protocol: Protocol) -> SampleRow:
    """The row of a frame with too few pixels to score; DataError where that ends the run."""
    reason = f"{facts['n_valid']} scored pixels, {protocol.mask.least_pixels} needed"
    if protocol.mask.empty == "fail" and facts["sample_id"] not in protocol.expected_skips:
        raise DataError(facts["sample_id"], reason, f"{protocol.id} expects no such image")
    return SampleRow(**facts, status=SKIPPED, reason=reason)


def _row(
    facts: dict[str, Any],
    found: _Prediction,
    frame: ScoredFrame,
    fit: FrameFit,
    measured: MetricValues,
) -> SampleRow:
    """The row of a scored frame; median_m is the median true depth of its scored pixels."""
    sample = frame.sample
    truth_P = sample.truth_HW[sample.scored_HW & sample.known_HW]
    notes = {"median_m": float(np.median(truth_P))} if truth_P.size else {}
    notes |= fit.notes
    notes |= {"sky_share": found.sky_share, "nonfinite_share": found.nonfinite_share}
    return SampleRow(
        **facts,
        scale=fit.scale,
        shift=fit.shift,
        status=OK,
        values=measured.values,
        notes=notes | measured.notes,
        seconds=found.seconds,
    )


def _of_clip(frames: Sequence[ScoredFrame], protocol: Protocol) -> MetricValues:
    """The metrics of the whole clip."""
    depth_THW = np.stack([frame.depth_HW for frame in frames])
    clip = ScoredClip([frame.sample for frame in frames], depth_THW, protocol.metric_options)
    return measure_clip(clip, protocol.metrics)


def _joined(one: MetricValues, other: MetricValues) -> MetricValues:
    return MetricValues({**one.values, **other.values}, {**one.notes, **other.notes})


def _predicted(
    samples: Sequence[PreparedSample], protocol: Protocol, estimator: Estimator
) -> list[_Prediction]:
    """The map of every frame, with the protocol's test-time averaging, on the truth's grid."""
    tta, sky = protocol.inference.tta, protocol.prediction.sky
    if tta not in ("none", *_AVERAGES):
        raise ConfigError(f"protocol {protocol.id}", f"unknown tta {tta!r}")
    if tta != "none" and protocol.alignment.scope == "clip":
        raise ConfigError(f"protocol {protocol.id}", "clips have no test-time averaging")
    photos = [np.ascontiguousarray(sample.rgb_HW3) for sample in samples]
    found: Iterator[_Prediction]
    if tta != "none":
        found = (_averaged(photo_HW3, tta, sky, estimator) for photo_HW3 in photos)
    else:
        estimates = (
            estimator.estimate_clip(photos)
            if isinstance(estimator, ClipEstimator)
            else map(estimator.estimate, photos)
        )
        found = (
            _map_of(estimate, photo_HW3.shape[:2], sky)._replace(sigma_HW=_known_sigma(estimate))
            for estimate, photo_HW3 in zip(estimates, photos, strict=True)
        )
    maps = [_on_grid(one, sample, protocol) for one, sample in zip(found, samples, strict=True)]
    return _with_shared_seconds(maps) if isinstance(estimator, ClipEstimator) else maps


def _with_shared_seconds(maps: Sequence[_Prediction]) -> list[_Prediction]:
    """The maps with the clip's seconds in equal parts.

    A model of clips works by windows: which of a window's frames had to wait for it is chance, and
    the median over frames as they came would be the time of those that did not.
    """
    seconds = sum(found.seconds for found in maps) / len(maps)
    return [found._replace(seconds=seconds) for found in maps]


def _averaged(
    photo_HW3: NDArray[np.uint8], tta: str, sky: str, estimator: Estimator
) -> _Prediction:
    """The average of several estimates of parts or mirror images; it has no uncertainty."""
    asked: list[_Prediction] = []

    def ask(rgb_HW3: NDArray[np.uint8]) -> NDArray[np.float64]:
        estimate = estimator.estimate(np.ascontiguousarray(rgb_HW3))
        asked.append(_map_of(estimate, rgb_HW3.shape[:2], sky))
        return asked[-1].values_HW

    values_HW = _AVERAGES[tta](ask, photo_HW3)
    return asked[0]._replace(
        values_HW=values_HW,
        sky_share=float(np.mean([one.sky_share for one in asked])),
        seconds=sum(one.seconds for one in asked),
    )


def _map_of(found: Estimate, size_hw: tuple[int, ...], sky: str) -> _Prediction:
    """The estimate of a photo of this size with its sky filled as `prediction.sky` says."""
    values_HW, share = _without_sky(found, size_hw, sky)
    return _Prediction(
        values_HW, None, found.value_space, share, 0.0, found.fov_x_deg, found.seconds
    )


def _on_grid(found: _Prediction, sample: PreparedSample, protocol: Protocol) -> _Prediction:
    """The map at the truth's size, with what is still not finite put to the caps."""
    part = protocol.prediction
    values_HW, sigma_HW = found.values_HW, found.sigma_HW
    size_hw = (sample.truth_HW.shape[0], sample.truth_HW.shape[1])
    if values_HW.shape != size_hw:
        if part.resize == "none":
            raise DataError(
                sample.record.sample_id,
                f"the prediction is {values_HW.shape}, the truth {size_hw}; nothing is resized",
            )
        values_HW = interpolate(
            values_HW,
            size_hw,
            part.resize.removesuffix("_antialias"),
            antialias=part.resize.endswith("_antialias"),
            align_corners=part.align_corners,
        )
        sigma_HW = None if sigma_HW is None else nearest(sigma_HW, size_hw)
    bad_HW = ~np.isfinite(values_HW)
    if bad_HW.any():  # only where the policy lets it through
        low, high = float(protocol.caps.min), float(protocol.caps.max)
        values_HW = np.nan_to_num(values_HW, nan=low, posinf=high, neginf=low)
    return found._replace(
        values_HW=values_HW, sigma_HW=sigma_HW, nonfinite_share=float(bad_HW.mean())
    )


def _without_sky(
    found: Estimate, size_hw: tuple[int, ...], policy: str
) -> tuple[NDArray[np.float64], float]:
    """The map with its sky at the farthest finite value, and how much that was.

    DataError for other pixels that are not finite, unless they shall take the caps later.
    """
    values_HW = found.map_HW
    if values_HW.shape != tuple(size_hw):
        raise DataError(
            "prediction", f"has shape {values_HW.shape} for a photo of {tuple(size_hw)}"
        )
    bad_HW = ~np.isfinite(values_HW)
    if not bad_HW.any():
        return values_HW, 0.0
    is_sky = found.sky_HW is not None and policy != "fail" and not bad_HW.all()
    sky_HW = bad_HW & found.sky_HW if is_sky else np.zeros_like(bad_HW)  # type: ignore[operator]
    others = np.count_nonzero(bad_HW & ~sky_HW)
    if others and policy != ELSE_CAPS:
        raise DataError("prediction", f"is not finite in {others} pixels")
    if not sky_HW.any():
        return values_HW, 0.0
    known = values_HW[~bad_HW]
    far = known.min() if found.value_space == "affine_disparity" else known.max()
    return np.where(sky_HW, far, values_HW), float(sky_HW.mean())


def _known_sigma(found: Estimate) -> NDArray[np.float64] | None:
    """The standard deviation, NaN in the sky; DataError if it is not finite elsewhere."""
    if found.uncertainty_HW is None:
        return None
    sigma_HW = np.where(np.isfinite(found.map_HW), found.uncertainty_HW, np.nan)
    bad = np.count_nonzero(np.isfinite(found.map_HW) & ~np.isfinite(sigma_HW))
    if bad:
        raise DataError("uncertainty", f"is not finite in {bad} pixels that have depth")
    return sigma_HW


_Ask = Callable[[NDArray[np.uint8]], NDArray[np.float64]]


def _flipped(ask: _Ask, rgb_HW3: NDArray[np.uint8]) -> NDArray[np.float64]:
    return flip_average(ask(rgb_HW3), ask(rgb_HW3[:, ::-1]))


def _windows(ask: _Ask, rgb_HW3: NDArray[np.uint8]) -> NDArray[np.float64]:
    parts = split_windows(rgb_HW3)
    left_HW, right_HW = (_flipped(ask, part) for part in parts)
    return blend_windows(left_HW, right_HW, width=rgb_HW3.shape[1])


_AVERAGES: dict[str, Callable[[_Ask, NDArray[np.uint8]], NDArray[np.float64]]] = {
    "flip": _flipped,
    "flip+windows": _windows,
}


def _fitted(
    samples: Sequence[PreparedSample], maps: Sequence[_Prediction], protocol: Protocol, place: int
) -> list[tuple[ScoredFrame, FrameFit]]:
    """The frames of a clip in metres, the standard deviation carried along."""
    if not samples:
        return []
    fits = fit_clip(
        [found.values_HW for found in maps],
        [sample.truth_HW for sample in samples],
        [sample.scored_HW for sample in samples],
        protocol,
        value_space=maps[0].value_space,
        place=place,
    )
    return [
        (
            ScoredFrame(
                sample=sample,
                depth_HW=fit.depth_HW,
                raw_HW=found.values_HW,
                value_space=found.value_space,
                sigma_HW=_metres_of_sigma(found, fit, protocol),
                fov_x_deg=found.fov_x_deg,
                options=protocol.metric_options,
                boundary_depth_HW=fit.boundary_depth_HW,
            ),
            fit,
        )
        for sample, found, fit in zip(samples, maps, fits, strict=True)
    ]


def _capped(
    aligned: Aligned, truth_HW: NDArray, scored_HW: NDArray[np.bool_], protocol: Protocol
) -> FrameFit:
    """Depth within the protocol's caps, the floor last, and counters of special cases."""
    caps, depth_HW = protocol.caps, aligned.depth_HW
    if isinstance(caps.min, float):
        depth_HW = np.maximum(depth_HW, caps.min)
    if caps.max == "max_truth":
        depth_HW = np.minimum(depth_HW, float(truth_HW[scored_HW].max()))
    elif isinstance(caps.max, float):
        depth_HW = np.minimum(depth_HW, caps.max)
    if isinstance(caps.floor, float):
        depth_HW = np.maximum(depth_HW, caps.floor)
    before, after = aligned.depth_HW[scored_HW], depth_HW[scored_HW]
    if not np.isfinite(after).all():
        raise DataError("prediction", "is not finite after the alignment")
    notes = {
        "negative_scale": float(aligned.scale < 0),
        "degenerate": aligned.notes.get("degenerate", 0.0),
        "fallback": aligned.notes.get("fallback", 0.0),
        "nonpositive_share": float(np.mean(before <= 0)) if before.size else 0.0,
        "clipped_share": max(
            float(np.mean(before != after)) if before.size else 0.0,
            aligned.notes.get("clipped_share", 0.0),
        ),
    }
    return FrameFit(depth_HW, aligned.scale, aligned.shift, notes, aligned.boundary_depth_HW)


def _metres_of_sigma(
    found: _Prediction, fit: FrameFit, protocol: Protocol
) -> NDArray[np.float64] | None:
    """First-order standard deviation in metres: through the conversion, then the alignment."""
    from .metrics.uncertainty import propagate_sigma

    if found.sigma_HW is None:
        return None
    sigma_HW, raw_HW = found.sigma_HW, found.values_HW
    conversion = protocol.prediction.accepts[found.value_space]
    if conversion == "disparity":
        sigma_HW = sigma_HW / raw_HW**2
    elif conversion in ("log1p", "log"):
        sigma_HW = sigma_HW / (raw_HW + (conversion == "log1p"))
    name = protocol.alignment.id
    space = "depth" if name in _UNFITTED else ALIGNMENTS[name].space
    return propagate_sigma(sigma_HW, space=space, scale=fit.scale, depth=fit.depth_HW)


def make_preview(scored: ScoredFrame) -> Preview:
    """Photo, truth and aligned prediction by nearest pixel, long side at most 192."""
    sample = scored.sample
    height, width = sample.truth_HW.shape
    shrink = min(1.0, PREVIEW_SIDE / max(height, width))
    size_hw = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    rgb_hw3 = nearest(sample.rgb_HW3.transpose(2, 0, 1), size_hw).transpose(1, 2, 0)
    truth = np.where(sample.known_HW, sample.truth_HW, np.nan)
    sigma_HW = scored.sigma_HW
    return Preview(
        rgb=np.ascontiguousarray(rgb_hw3),
        truth=_half(nearest(truth, size_hw)),
        prediction=_half(nearest(scored.depth_HW, size_hw)),
        valid=nearest(sample.scored_HW, size_hw),
        uncertainty=None if sigma_HW is None else _half(nearest(sigma_HW, size_hw)),
        risk_101=_risk(scored),
    )


def _risk(scored: ScoredFrame) -> NDArray[np.float64] | None:
    """AbsRel of the most certain pixels; None where no scored pixel has a standard deviation."""
    from .metrics.uncertainty import risk_coverage_curve

    pixels = pixels_with_sigma(scored)
    if pixels is None or not pixels.depth_P.size:
        return None
    return risk_coverage_curve(*pixels).risk_P


def _half(values: NDArray) -> NDArray[np.float16]:
    half: NDArray[np.float16] = np.clip(values, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16)
    return half


WINDOW_WIDTH = 640  # of the 1216 columns of the KITTI benchmark crop


class Windows(NamedTuple):
    """The first and the last 640 columns of an image [H,W,...]."""

    left: NDArray
    right: NDArray


def flip_average(depth_HW: NDArray, depth_of_flipped_HW: NDArray) -> NDArray[np.float64]:
    """Mean of f(x) and the mirrored f(mirrored x), both [H,W] (or [T,H,W]); DAR's flip test.

    docs/evaluation.md, "Test-time averages".
    """
    if depth_HW.shape != depth_of_flipped_HW.shape:
        raise ConfigError("flip", f"sizes {depth_HW.shape} and {depth_of_flipped_HW.shape} differ")
    mirrored = depth_of_flipped_HW[..., ::-1].astype(np.float64)
    average: NDArray[np.float64] = (depth_HW.astype(np.float64) + mirrored) / 2
    return average


def split_windows(image_HW: NDArray, *, window: int = WINDOW_WIDTH) -> Windows:
    """The two windows that together cover the columns, 640 wide each (views)."""
    width = image_HW.shape[1]
    if not window <= width <= 2 * window:
        raise ConfigError("windows", f"two windows of {window} columns do not cover {width}")
    return Windows(image_HW[:, :window], image_HW[:, width - window :])


def blend_windows(left_HW: NDArray, right_HW: NDArray, *, width: int = 1216) -> NDArray[np.float64]:
    """One map of `width` columns; where the windows overlap, linspace(1, 0) and linspace(0, 1)."""
    window = left_HW.shape[1]
    overlap = 2 * window - width
    if left_HW.shape != right_HW.shape or not 0 <= overlap <= window:
        raise ConfigError(
            "windows",
            f"{left_HW.shape} and {right_HW.shape} cannot be blended into {width} columns",
        )
    rising_W = np.linspace(0, 1, overlap)
    blended_HW = np.empty((left_HW.shape[0], width))
    start = width - window
    blended_HW[:, :start] = left_HW[:, :start]
    blended_HW[:, window:] = right_HW[:, overlap:]
    blended_HW[:, start:window] = (
        left_HW[:, start:] * np.linspace(1, 0, overlap) + right_HW[:, :overlap] * rising_W
    )
    return blended_HW
