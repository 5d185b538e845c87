"""The run of `nearfar predict` over its inputs: one after the other, each finished or untouched.

All files of a photo are made in a hidden folder beside their place, which only one process has at
a time. Then the manifest gets its line and they move. So whatever ends the run, what is there is
complete and listed, and two runs over the same photos share them.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nearfar.errors import ConfigError, NearfarError, OutputError
from nearfar.geometry.clouds import CloudOptions
from nearfar.io.atomic import ensure_folder, remove_leftovers, staging, told_of_place
from nearfar.io.fetch import fetch_bytes
from nearfar.io.images import decode_photo
from nearfar.io.inputs import InputItem
from nearfar.io.manifest import Manifest, ManifestRecord, Origin, settings_hash
from nearfar.io.writers import WRITERS, possible_names, save_result
from nearfar.pipeline.config import FAMILY_OPTIONS, PredictConfig
from nearfar.result import DepthResult
from nearfar.settings import max_pixels

from .options import speaking_of
from .progress import RunProgress, one_line

if TYPE_CHECKING:
    from nearfar.pipeline.predict import Model


_PATIENCE_S = 0.2  # between two looks at photos that another run works on


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What to do: the photos of this process, how to predict, what to write and to report.

    by_hand: (scale, shift) that turn the map into metres, None = as the model gives it. optional:
    formats that are written where the map has what they show, and not missed where it has not.
    """

    items: list[InputItem]
    config: PredictConfig
    formats: list[str]
    output: Path
    optional: frozenset[str] = frozenset()
    cloud: CloudOptions = field(default_factory=CloudOptions)
    by_hand: tuple[float, float] | None = None
    extra_settings: Mapping[str, Any] = field(default_factory=dict)
    overwrite: bool = False
    skip_errors: bool = False
    json_lines: bool = False
    quiet: bool = False
    rank: int = 0

    def settings(self, model: Model) -> dict[str, Any]:
        """Everything that decides what is in the outputs, for the manifest and --resume."""
        asked = asdict(self.config).items()
        config = {k: v for k, v in asked if v is not None or k not in FAMILY_OPTIONS}
        config["steps"] = self.config.steps or model.default_steps
        return {
            "model": model.name,
            "weights_sha256": model.weights_sha256,
            **config,
            "by_hand": self.by_hand,
            "edge_filter": self.cloud.edge_filter,
            "outlier_filter": self.cloud.outlier_filter,
            **self.extra_settings,
        }

    def folder(self, item: InputItem) -> Path:
        """Where the outputs of an input go."""
        return self.output / item.relative.parent

    def places(self, item: InputItem, *formats: str) -> list[Path]:
        """Every file that saving these formats, or all, could write, of any kind of map."""
        names = possible_names(formats or self.formats, stem=item.relative.name)
        return sorted(self.folder(item) / name for name in names)


@dataclass(kw_only=True, slots=True)
class Outcome:
    """How the run ended. failures: one line for each input of which something is missing."""

    done: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)
    interrupted: bool = False


class _Ending(NamedTuple):
    """What became of one photo. error: why it, or one of its formats, is not there."""

    record: ManifestRecord
    result: DepthResult | None = None
    error: NearfarError | None = None
    skipped: bool = False


def run_job(job: Job, model: Model) -> Outcome:
    """Predict and write every photo of the job; Ctrl-C and errors leave finished photos whole.

    Photos that another run works on come last. A photo that cannot be read or predicted ends the
    run unless `skip_errors`; an output that cannot be written always does; a format that this map
    cannot have, or a file of somebody else at its place, is told and leaves the rest as it is.
    ConfigError, before any work, for options that the model does not have.
    """
    model.require(job.config)
    manifest = Manifest(job.output, rank=job.rank)
    for folder in {job.output, *map(job.folder, job.items)}:
        remove_leftovers(folder)
    run = _Run(job, model, manifest)
    outcome = Outcome()
    waiting, busy = deque(job.items), 0
    with RunProgress(len(job.items), what="images", quiet=job.quiet) as progress:
        try:
            while waiting:
                item = waiting.popleft()
                ending = run.one(item)
                if ending is None:
                    waiting.append(item)
                    busy += 1
                    if busy >= len(waiting):
                        time.sleep(_PATIENCE_S)
                    continue
                busy = 0
                _report(job, ending)
                if not _count(outcome, ending, progress, skip_errors=job.skip_errors):
                    break
        except KeyboardInterrupt:
            outcome.interrupted = True
    return outcome


def _count(outcome: Outcome, ending: _Ending, progress: RunProgress, *, skip_errors: bool) -> bool:
    """Take an ending into the outcome and say it; whether the run goes on."""
    if ending.skipped:
        outcome.skipped += 1
    elif ending.error is None:
        outcome.done += 1
    if ending.record.outputs and not ending.skipped:
        progress.say(_line(ending))
    if ending.error is not None:
        outcome.failures.append(str(ending.error))
        progress.say(f"nearfar: error: {ending.error}", is_error=True)
    progress.advance(worked=not ending.skipped)
    if isinstance(ending.error, OutputError):
        return False
    return ending.error is None or skip_errors or isinstance(ending.error, _LeftOutError)


class _LeftOutError(NearfarError):
    """Some files of a photo are not written, for a reason of this photo alone."""


class _Run:
    """What stays the same for all photos of a run."""

    def __init__(self, job: Job, model: Model, manifest: Manifest) -> None:
        self._job, self._model, self._manifest = job, model, manifest
        self._settings = job.settings(model)
        self._hash = settings_hash(self._settings)

    def one(self, item: InputItem) -> _Ending | None:
        """Predict and write one photo; None, and nothing done, while another run has it.

        ConfigError for an option that fits no photo.
        """
        with staging(ensure_folder(self._job.folder(item)), item.relative.name) as stage:
            if stage is None:
                return None
            self._manifest.refresh()
            with speaking_of(item.path):
                return self._locked(item, stage)

    def _locked(self, item: InputItem, stage: Path) -> _Ending:
        started = time.perf_counter()
        record = ManifestRecord(
            input=item.path, sha256="", settings=self._settings, settings_hash=self._hash
        )
        result: DepthResult | None = None
        try:
            content = fetch_bytes(item.path)
            record = replace(record, sha256=hashlib.sha256(content).hexdigest())
            if (before := self._finished(item, record)) is not None:
                return _Ending(before, skipped=True)
            photo = decode_photo(content, item.path, max_pixels=max_pixels())
            if not self._job.overwrite:
                self._require_free(item, record)
            result = self._model.predict(photo, **asdict(self._job.config))
            if self._job.by_hand is not None:
                scale, shift = self._job.by_hand
                result = result.to_metric(scale=scale, shift=shift)
            staged, error = self._made(item, result, stage)
        except ConfigError:
            raise
        except NearfarError as fault:
            staged, result, error = {}, None, fault
        if error is not None and item.path != "-" and one_line(item.path) not in str(error):
            error = _at(item.path, error)
        record = replace(
            record,
            seconds=round(time.perf_counter() - started, 3),
            peak_memory_mb=peak_memory_mb(),
            error=None if error is None else str(error),
        )
        try:
            if staged:
                record = self._manifest.publish(record, staged, overwrite=self._job.overwrite)
            elif not isinstance(error, OutputError):
                self._manifest.append(record)
        except OutputError as fault:
            error, result = fault, None
            record = replace(record, error=str(fault))
        return _Ending(record, result, error)

    def _made(
        self, item: InputItem, result: DepthResult, stage: Path
    ) -> tuple[dict[Path, Path], NearfarError | None]:
        """The formats in the staging folder, final -> staged; what this map cannot have."""
        staged: dict[Path, Path] = {}
        faults: list[NearfarError] = []
        for name in self._job.formats:
            needed = WRITERS[name].needs
            if name in self._job.optional and needed is not None and result[needed] is None:
                continue
            try:
                (path,) = save_result(
                    result, stage, [name], stem=item.relative.name, cloud=self._job.cloud
                )
                staged[self._job.folder(item) / path.name] = path
            except NearfarError as fault:
                told = told_of_place(fault, stage, self._job.folder(item))
                if isinstance(fault, OutputError):
                    raise told from fault
                faults.append(_LeftOutError(f"{name}: {told.where}", told.finding, told.remedy))
        if len(faults) < 2:
            return staged, faults[0] if faults else None
        text = "; ".join(f"{fault.where}: {fault.finding}" for fault in faults)
        return staged, _LeftOutError(f"{len(faults)} formats", text, faults[0].remedy)

    def _finished(self, item: InputItem, record: ManifestRecord) -> ManifestRecord | None:
        """The record of a photo all of whose formats are there, made with these settings."""
        if self._job.overwrite:
            return None
        origin, found = self._origin(record), []
        for name in self._job.formats:
            places = self._job.places(item, name)
            standing = [path for path in places if self._manifest.is_result(path, origin)]
            if not standing and name not in self._job.optional:
                return None
            found += standing
        latest = self._manifest.latest(origin) or record
        outputs = tuple(self._manifest.relative(path) for path in found)
        return replace(latest, input=item.path, outputs=outputs, outputs_sha256=(), error=None)

    def _require_free(self, item: InputItem, record: ManifestRecord) -> None:
        """Pass if nothing of anybody else stands where the outputs go."""
        try:
            self._manifest.require_free(self._job.places(item), self._origin(record))
        except OutputError as fault:
            raise _LeftOutError(fault.where, fault.finding, fault.remedy) from fault

    def _origin(self, record: ManifestRecord) -> Origin:
        return self._manifest.origin(record.input, record.sha256, record.settings_hash)


def peak_memory_mb() -> float | None:
    """The most memory this process has held so far, in MiB; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)


def _at(path: str, error: NearfarError) -> NearfarError:
    """The same error with the photo named in front."""
    named = f"{path}: {error.where}"
    return type(error)(named, error.finding, error.remedy)


def _report(job: Job, ending: _Ending) -> None:
    """Print the record, and what the map is like, as one JSON line."""
    if not job.json_lines:
        return
    record, result = ending.record, ending.result
    line: dict[str, Any] = {**asdict(record), "skipped": ending.skipped}
    line["outputs"] = [str(job.output / output) for output in record.outputs]
    if result is not None:
        line |= {
            "size_hw": list(result.size_hw),
            "kind": str(result.kind),
            "metric_reference": result.metric_reference,
            "fov_x_deg": result.fov_x_deg,
            "valid_share": round(float(result.valid.mean()), 4),
            "depth_near_middle_far": _range_of(result),
            "licence": result.licence,
        }
    print(json.dumps(line, default=str), flush=True)


def _range_of(result: DepthResult) -> list[float] | None:
    """Quantiles 2, 50 and 98 % of the valid depth, None if nothing is valid."""
    known = result.depth[result.valid]
    if not known.size:
        return None
    return [round(float(value), 4) for value in np.quantile(known, (0.02, 0.5, 0.98))]


def _line(ending: _Ending) -> str:
    """photo.jpg: 1.2 s, metric (tiny), 0.8 .. 2.1 .. 9.5 m -> photo_depth.png, photo_vis.png."""
    kind, record, result = "", ending.record, ending.result
    if result is not None:
        reference = f" ({result.metric_reference})" if result.metric_reference else ""
        kind = f", {result.kind}{reference}"
        if result.is_metric and (known := _range_of(result)) is not None:
            kind += f", {known[0]:.1f} .. {known[1]:.1f} .. {known[2]:.1f} m"
    files = ", ".join(record.outputs)
    return one_line(f"{record.input}: {record.seconds:.1f} s{kind} -> {files}")


def failure_list(outcome: Outcome, total: int) -> list[str]:
    """What failed and what was left, for the end of a run: a sum, then each input in one line."""
    left = total - outcome.done - outcome.skipped - len(outcome.failures)
    rest = f", {left} not tried (continue with --resume --skip-errors)" if left else ""
    lines = [f"{len(outcome.failures)} of {total} inputs failed{rest}"]
    is_told = len(outcome.failures) == 1 and left  # it ended the run, the line above
    return lines if is_told else lines + outcome.failures


def require_folder(output: Path) -> None:
    """OutputError unless the output folder, or what it would be made in, can be written to."""
    place = output.absolute()
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise OutputError(output, f"{place} is not a folder", "Choose another -o")
    if not os.access(place, os.W_OK | os.X_OK):
        raise OutputError(output, f"{place} may not be written to", "Choose another -o")
