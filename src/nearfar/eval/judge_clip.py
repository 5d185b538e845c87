"""A clip from prediction to scores: as for one image, but one fit for all its frames.

Every frame has a row of its own, with the clip's scale and shift. Frames with too few pixels to
score are predicted, and neither fitted nor scored. Metrics of the whole clip stand in the row of
its first scored frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nearfar.data.record import DepthRecord
from nearfar.errors import ConfigError, DataError

from .align import ALIGNMENTS, Aligned, AlignOptions, converted
from .judge import (
    Verdict,
    capped_fit,
    make_preview,
    median_note,
    predicted,
    skipped_row,
    table_columns,
)
from .measures import Measured, Scored, ScoredClip, clip_metrics, measure, measure_clip
from .predictions import Estimate, Estimator
from .prepare import Case, data_hash, prepare
from .protocol import Protocol as LockedProtocol
from .results import OK, SampleRow
from .value_space import conversion_for


@runtime_checkable
class ClipEstimator(Protocol):
    """An estimator that looks at all frames of a clip together."""

    def estimate_clip(self, frames: Iterable[NDArray[np.uint8]]) -> Iterator[Estimate]:
        """The depth of every frame, in order."""
        ...


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
    protocol: LockedProtocol,
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
        fit = _fit([cases[i] for i in used], [maps[i] for i in used], protocol, places[0])
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


def _fit(
    cases: Sequence[Case], maps: Sequence[Any], protocol: LockedProtocol, place: int
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


def _fitted(case: Case, found: Any, aligned: Aligned, protocol: LockedProtocol) -> _Frame:
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
    protocol: LockedProtocol,
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
