"""An image or a clip from prediction to scores: convert, align, cap, measure, as protocols say.

Nothing here depends on other images, on their order, or on the process: a random alignment draws
from [its seed, the sample's place in the list].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.data.record import DepthRecord
from nearfar.errors import ConfigError, DataError

from .align import ALIGNMENTS, Aligned, AlignOptions, converted
from .measures import (
    UNCERTAINTY,
    Measured,
    Scored,
    ScoredClip,
    clip_metrics,
    counters,
    measure,
    measure_clip,
    pixels_with_sigma,
)
from .predictions import ClipEstimator, Estimate, Estimator
from .prepare import Case, data_hash, interpolate, nearest, prepare
from .protocol import ELSE_CAPS, Protocol
from .results import OK, PREVIEW_SIDE, SKIPPED, Preview, SampleRow
from .value_space import conversion_for

WINDOW_WIDTH = 640  # of the 1216 columns of the KITTI benchmark crop


class Windows(NamedTuple):
    """The first and the last 640 columns of an image [H,W,...]."""

    left: NDArray
    right: NDArray


def flip_average(depth_HW: NDArray, depth_of_flipped_HW: NDArray) -> NDArray[np.float64]:
    """Mean of f(x) and the mirrored f(mirrored x), both [H,W] (or [T,H,W])."""
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
            "windows", f"{left_HW.shape} and {right_HW.shape} do not make {width} columns"
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


class Verdict(NamedTuple):
    """The row of the table and the pictures of one image; no pictures for a skipped one."""

    row: SampleRow
    preview: Preview | None


class _Map(NamedTuple):
    """A prediction on the truth's grid, finite everywhere.

    sky_share: how much was filled as sky. nonfinite_share: how much was put to the caps.
    """

    values_HW: NDArray[np.float64]
    sigma_HW: NDArray[np.float64] | None
    value_space: str
    sky_share: float
    nonfinite_share: float
    fov_x_deg: float | None
    seconds: float


class _Fitted(NamedTuple):
    depth_HW: NDArray[np.float64]
    sigma_HW: NDArray[np.float64] | None
    scale: float
    shift: float
    notes: dict[str, float]


def table_columns(protocol: Protocol, *, uncertainty: bool) -> tuple[list[str], list[str]]:
    """Metric and counter columns of the table of this protocol."""
    metrics = [*protocol.metrics, *(UNCERTAINTY if uncertainty else ())]
    return metrics, [*_NOTES, *counters(metrics)]


def judge(record: DepthRecord, index: int, protocol: Protocol, estimator: Estimator) -> Verdict:
    """Predict, align and measure sample `index`; errors name the sample."""
    case = prepare(record, protocol)
    known: dict[str, Any] = {
        "index": index,
        "sample_id": record.sample_id,
        "scene": record.scene,
        "place": str(record.notes.get("place", record.notes.get("scene_type", ""))),
        "data_sha256": data_hash(record),
        "n_valid": int(np.count_nonzero(case.scored_HW)),
    }
    if known["n_valid"] < protocol.mask.least_pixels:
        return Verdict(skipped_row(known, protocol), None)
    try:
        found = predicted(case, protocol, estimator)
        fitted = _fit(found, case, protocol, index)
        scored = Scored(
            case,
            fitted.depth_HW,
            found.values_HW,
            found.value_space,
            fitted.sigma_HW,
            found.fov_x_deg,
            protocol.metric_options,
        )
        names, _ = table_columns(protocol, uncertainty=estimator.gives_uncertainty)
        measured = measure(scored, names)
    except DataError as error:
        if record.sample_id in str(error):
            raise
        raise DataError(
            record.sample_id, f"{error.where}: {error.finding}", error.remedy
        ) from error
    row = SampleRow(
        **known,
        scale=fitted.scale,
        shift=fitted.shift,
        status=OK,
        values=measured.values,
        notes=median_note(case)
        | fitted.notes
        | {"sky_share": found.sky_share, "nonfinite_share": found.nonfinite_share}
        | measured.notes,
        seconds=found.seconds,
    )
    return Verdict(row, make_preview(scored))


def skipped_row(known: dict[str, Any], protocol: Protocol) -> SampleRow:
    """The row of an image with too few pixels to score; DataError where that ends the run."""
    reason = f"{known['n_valid']} scored pixels, {protocol.mask.least_pixels} needed"
    if protocol.mask.empty == "fail" and known["sample_id"] not in protocol.expected_skips:
        raise DataError(known["sample_id"], reason, f"{protocol.id} expects no such image")
    return SampleRow(**known, status=SKIPPED, reason=reason)


def median_note(case: Case) -> dict[str, float]:
    """The median true depth of the scored pixels, metres, where there is one."""
    truth_P = case.truth_HW[case.scored_HW & case.known_HW]
    return {"median_m": float(np.median(truth_P))} if truth_P.size else {}


def predicted(case: Case, protocol: Protocol, estimator: Estimator) -> _Map:
    """The estimate with the protocol's test-time averaging, on the truth's grid."""
    part = protocol.prediction
    estimates: list[Estimate] = []
    filled: list[float] = []

    def ask(rgb_HW3: NDArray[np.uint8]) -> NDArray[np.float64]:
        found = estimator.estimate(np.ascontiguousarray(rgb_HW3))
        values_HW, share = _without_sky(found, rgb_HW3.shape[:2], part.sky)
        estimates.append(found)
        filled.append(share)
        return values_HW

    values_HW = _AVERAGES[_known_tta(protocol)](ask, case.rgb_HW3)
    first = estimates[0]
    size_hw = (case.truth_HW.shape[0], case.truth_HW.shape[1])
    sigma_HW = _known_sigma(first) if len(estimates) == 1 else None
    if values_HW.shape != size_hw:
        if part.resize == "none":
            raise DataError(
                case.record.sample_id,
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
    return _Map(
        values_HW,
        sigma_HW,
        first.value_space,
        float(np.mean(filled)),
        float(bad_HW.mean()),
        first.fov_x_deg,
        sum(found.seconds for found in estimates),
    )


def _known_tta(protocol: Protocol) -> str:
    tta = protocol.inference.tta
    if tta not in _AVERAGES:
        raise ConfigError(f"protocol {protocol.id}", f"unknown tta {tta!r}")
    return tta


def _without_sky(
    found: Estimate, size_hw: tuple[int, ...], policy: str
) -> tuple[NDArray[np.float64], float]:
    """The map with its sky at the farthest finite value, and how much that was.

    DataError for other pixels that are not finite, unless they shall take the caps later.
    """
    values_HW = found.map_HW
    if values_HW.shape != tuple(size_hw):
        raise DataError("prediction", f"is {values_HW.shape} for a photo of {tuple(size_hw)}")
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
    "none": lambda ask, rgb_HW3: ask(rgb_HW3),
    "flip": _flipped,
    "flip+windows": _windows,
}


def _fit(found: _Map, case: Case, protocol: Protocol, index: int) -> _Fitted:
    """Aligned and capped metres with the standard deviation carried along, and what went wrong."""
    part = protocol.alignment
    conversion = conversion_for(
        protocol.prediction.accepts, found.value_space, protocol=protocol.id
    )
    values_HW = converted(found.values_HW, conversion)
    if part.id in ("none", "l1_points"):  # point metrics fit the points themselves
        aligned = Aligned(values_HW, 1.0, 0.0, {})
        return capped_fit(aligned, found, case, protocol, conversion, "depth")
    alignment = ALIGNMENTS[part.id]
    options: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in part.options.items()
    }
    aligned = alignment.align(
        values_HW,
        case.truth_HW,
        case.scored_HW,
        options=AlignOptions(**options),
        generator=np.random.default_rng([part.seed, index]),
    )
    return capped_fit(aligned, found, case, protocol, conversion, alignment.space)


def capped_fit(
    aligned: Aligned, found: _Map, case: Case, protocol: Protocol, conversion: str, space: str
) -> _Fitted:
    """The aligned depth within its caps, its standard deviation, and counters of special cases."""
    depth_HW = _capped(aligned.depth_HW, case, protocol)
    before, after = aligned.depth_HW[case.scored_HW], depth_HW[case.scored_HW]
    if not np.isfinite(after).all():
        raise DataError(case.record.sample_id, "the aligned prediction is not finite")
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
    sigma_HW = None
    if found.sigma_HW is not None:
        sigma_HW = _metres_of_sigma(found, conversion, space, aligned.scale, depth_HW)
    return _Fitted(depth_HW, sigma_HW, aligned.scale, aligned.shift, notes)


def _metres_of_sigma(
    found: _Map, conversion: str, space: str, scale: float, depth_HW: NDArray[np.float64]
) -> NDArray[np.float64]:
    """First-order standard deviation in metres: through the conversion, then the alignment."""
    from .metrics.uncertainty import propagate_sigma

    assert found.sigma_HW is not None
    sigma_HW, raw_HW = found.sigma_HW, found.values_HW
    if conversion == "disparity":
        sigma_HW = sigma_HW / raw_HW**2
    elif conversion in ("log1p", "log"):
        sigma_HW = sigma_HW / (raw_HW + (conversion == "log1p"))
    return propagate_sigma(sigma_HW, space=space, scale=scale, depth=depth_HW)


def _capped(depth_HW: NDArray[np.float64], case: Case, protocol: Protocol) -> NDArray[np.float64]:
    """Depth within the protocol's caps; the floor comes last."""
    caps = protocol.caps
    if isinstance(caps.min, float):
        depth_HW = np.maximum(depth_HW, caps.min)
    if caps.max == "max_truth":
        depth_HW = np.minimum(depth_HW, float(case.truth_HW[case.scored_HW].max()))
    elif isinstance(caps.max, float):
        depth_HW = np.minimum(depth_HW, caps.max)
    return np.maximum(depth_HW, caps.floor) if isinstance(caps.floor, float) else depth_HW


def make_preview(scored: Scored) -> Preview:
    """Photo, truth and aligned prediction by nearest pixel, long side at most 192."""
    case = scored.case
    height, width = case.truth_HW.shape
    shrink = min(1.0, PREVIEW_SIDE / max(height, width))
    size_hw = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    rgb_hw3 = nearest(case.rgb_HW3.transpose(2, 0, 1), size_hw).transpose(1, 2, 0)
    truth = np.where(case.known_HW, case.truth_HW, np.nan)
    sigma_HW = scored.sigma_HW
    return Preview(
        rgb=np.ascontiguousarray(rgb_hw3),
        truth=_half(nearest(truth, size_hw)),
        prediction=_half(nearest(scored.depth_HW, size_hw)),
        valid=nearest(case.scored_HW, size_hw),
        uncertainty=None if sigma_HW is None else _half(nearest(sigma_HW, size_hw)),
        risk_101=_risk(scored),
    )


def _risk(scored: Scored) -> NDArray[np.float64] | None:
    """AbsRel of the most certain pixels; None where no scored pixel has a standard deviation."""
    from .metrics.uncertainty import risk_coverage_curve

    pixels = pixels_with_sigma(scored)
    if pixels is None or not pixels.depth_P.size:
        return None
    return risk_coverage_curve(*pixels).risk_P


def _half(values: NDArray) -> NDArray[np.float16]:
    half: NDArray[np.float16] = np.clip(values, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16)
    return half


@dataclass(frozen=True, slots=True)
class _Known:
    """The estimate of a frame, made before, as an estimator."""

    known: Estimate

    @property
    def facts(self) -> Mapping[str, Any]:
        return {}

    @property
    def gives_uncertainty(self) -> bool:
        return self.known.uncertainty_HW is not None

    def estimate(self, rgb_HW3: NDArray[np.uint8]) -> Estimate:
        return self.known


def judge_clip(
    records: Sequence[DepthRecord],
    places: Sequence[int],
    protocol: Protocol,
    estimator: Estimator,
) -> list[Verdict]:
    """The verdicts of a clip's frames; image models are asked frame by frame. Errors name it.

    The memory it takes grows with the frames of the clip (photos, truths and maps at the truth's
    size).
    """
    if protocol.inference.tta != "none":
        raise ConfigError(f"protocol {protocol.id}", "clips have no test-time averaging")
    cases = [prepare(record, protocol) for record in records]
    photos = [np.ascontiguousarray(case.rgb_HW3) for case in cases]
    if isinstance(estimator, ClipEstimator):
        estimates = estimator.estimate_clip(photos)
    else:
        estimates = (estimator.estimate(photo) for photo in photos)
    name = records[0].sample_id.rpartition("/")[0]
    try:
        maps = [
            predicted(case, protocol, _Known(estimate))
            for case, estimate in zip(cases, estimates, strict=True)
        ]
        if isinstance(estimator, ClipEstimator):
            maps = _with_shared_seconds(maps)
        counts = [int(np.count_nonzero(case.scored_HW)) for case in cases]
        used = [i for i, n in enumerate(counts) if n >= protocol.mask.least_pixels]
        fit = _judge_clip_fit(
            [cases[i] for i in used], [maps[i] for i in used], protocol, places[0]
        )
        verdicts: list[Verdict] = []
        fitted: list[NDArray[np.float64]] = []
        for i, case in enumerate(cases):
            known = _known_fields(case, places[i], counts[i])
            if i not in used or fit is None:
                verdicts.append(Verdict(skipped_row(known, protocol), None))
                continue
            frame = Aligned(fit.depth_HW[used.index(i)], fit.scale, fit.shift, fit.notes)
            scored = _fitted(case, maps[i], frame, protocol)
            fitted.append(scored.scored.depth_HW)
            verdicts.append(_verdict(known, maps[i], scored, protocol, estimator))
        if used and clip_metrics(protocol.metrics):
            clip = ScoredClip([cases[i] for i in used], np.stack(fitted), protocol.metric_options)
            measured = measure_clip(clip, protocol.metrics)
            verdicts[used[0]] = _with_clip(verdicts[used[0]], measured)
    except DataError as error:
        if name in str(error):
            raise
        raise DataError(name, f"{error.where}: {error.finding}", error.remedy) from error
    return verdicts


def _with_shared_seconds(maps: Sequence[Any]) -> list[Any]:
    """The maps with the clip's seconds in equal parts.

    A model of clips works by windows: which of a window's frames had to wait for it is chance, and
    the median over frames as they came would be the time of those that did not.
    """
    seconds = sum(found.seconds for found in maps) / len(maps)
    return [found._replace(seconds=seconds) for found in maps]


def _known_fields(case: Case, place: int, count: int) -> dict[str, Any]:
    record = case.record
    return {
        "index": place,
        "sample_id": record.sample_id,
        "scene": record.scene,
        "place": str(record.notes.get("place", record.notes.get("scene_type", ""))),
        "data_sha256": data_hash(record),
        "n_valid": count,
    }


def _judge_clip_fit(
    cases: Sequence[Case], maps: Sequence[Any], protocol: Protocol, place: int
) -> Aligned | None:
    """One scale and shift for all frames, and their metres [T,H,W]; None without any frame."""
    if not cases:
        return None
    part = protocol.alignment
    sizes = {case.truth_HW.shape for case in cases}
    if len(sizes) > 1:
        raise DataError(cases[0].record.sample_id, f"frames of sizes {sorted(sizes)} in one clip")
    value_space = maps[0].value_space
    conversion = conversion_for(protocol.prediction.accepts, value_space, protocol=protocol.id)
    options: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in part.options.items()
    }
    return ALIGNMENTS[part.id].align(
        np.stack([converted(found.values_HW, conversion) for found in maps]),
        np.stack([case.truth_HW for case in cases]),
        np.stack([case.scored_HW for case in cases]),
        options=AlignOptions(**options),
        generator=np.random.default_rng([part.seed, place]),
    )


class _Frame(NamedTuple):
    """A frame with the clip's fit, and what its fit says about it."""

    scored: Scored
    scale: float
    shift: float
    notes: dict[str, float]


def _fitted(case: Case, found: Any, aligned: Aligned, protocol: Protocol) -> _Frame:
    """One frame under the clip's fit, within the protocol's caps."""
    accepts = protocol.prediction.accepts
    conversion = conversion_for(accepts, found.value_space, protocol=protocol.id)
    space = ALIGNMENTS[protocol.alignment.id].space
    fitted = capped_fit(aligned, found, case, protocol, conversion, space)
    scored = Scored(
        case,
        fitted.depth_HW,
        found.values_HW,
        found.value_space,
        fitted.sigma_HW,
        found.fov_x_deg,
        protocol.metric_options,
    )
    return _Frame(scored, fitted.scale, fitted.shift, fitted.notes)


def _verdict(
    known: dict[str, Any],
    found: Any,
    frame: _Frame,
    protocol: Protocol,
    estimator: Estimator,
) -> Verdict:
    """The row and pictures of one frame."""
    names, _ = table_columns(protocol, uncertainty=estimator.gives_uncertainty)
    measured = measure(frame.scored, names)
    notes = {"sky_share": found.sky_share, "nonfinite_share": found.nonfinite_share}
    row = SampleRow(
        **known,
        scale=frame.scale,
        shift=frame.shift,
        status=OK,
        values=measured.values,
        notes=median_note(frame.scored.case) | frame.notes | notes | measured.notes,
        seconds=found.seconds,
    )
    return Verdict(row, make_preview(frame.scored))


def _with_clip(verdict: Verdict, measured: Measured) -> Verdict:
    """The verdict of a frame with the values of its clip."""
    row = verdict.row
    values, notes = {**row.values, **measured.values}, {**row.notes, **measured.notes}
    return verdict._replace(row=replace(row, values=values, notes=notes))
