"""The run of `nearfar predict` over its inputs: one after the other, each finished or untouched.

All files of a photo are written into a hidden folder beside their place and moved together, then
the manifest gets its line. So whatever ends the run, finished photos are complete and listed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nearfar.errors import NearfarError, OutputError
from nearfar.geometry.clouds import CloudOptions
from nearfar.io.atomic import ensure_folder
from nearfar.io.fetch import fetch_bytes
from nearfar.io.images import read_image
from nearfar.io.inputs import InputItem, is_url
from nearfar.io.manifest import Manifest, ManifestRecord, settings_hash
from nearfar.io.writers import save_result
from nearfar.pipeline.config import FAMILY_OPTIONS, PredictConfig
from nearfar.result import DepthResult
from nearfar.settings import max_pixels

from .progress import RunProgress, one_line

if TYPE_CHECKING:
    from nearfar.pipeline.predict import Model


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What to do: the photos of this process, how to predict, what to write and to report.

    by_hand: (scale, shift) that turn the map into metres, None = as the model gives it.
    """

    items: list[InputItem]
    config: PredictConfig
    formats: list[str]
    output: Path
    cloud: CloudOptions = field(default_factory=CloudOptions)
    by_hand: tuple[float, float] | None = None
    extra_settings: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False
    skip_errors: bool = False
    json_lines: bool = False
    quiet: bool = False
    rank: int = 0

    def settings(self, model: Model) -> dict[str, Any]:
        """Everything that decides what the outputs are, for the manifest and --resume."""
        asked = asdict(self.config).items()
        config = {k: v for k, v in asked if v is not None or k not in FAMILY_OPTIONS}
        config["steps"] = self.config.steps or model.default_steps
        return {
            "model": model.name,
            "weights_sha256": model.weights_sha256,
            **config,
            "by_hand": self.by_hand,
            "save": sorted(self.formats),
            "edge_filter": self.cloud.edge_filter,
            "outlier_filter": self.cloud.outlier_filter,
            **self.extra_settings,
        }


@dataclass(kw_only=True, slots=True)
class Outcome:
    """How the run ended. failures: one line each."""

    done: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)
    interrupted: bool = False


def run_job(job: Job, model: Model) -> Outcome:
    """Predict and write every photo of the job; Ctrl-C and errors leave finished photos whole.

    A failed photo ends the run unless `skip_errors`; an output that cannot be written always does.
    ConfigError, before any work, for options that the model does not have.
    """
    model.require(job.config)
    manifest = Manifest(job.output, rank=job.rank)
    settings = job.settings(model)
    outcome = Outcome()
    with RunProgress(len(job.items), what="images", quiet=job.quiet) as progress:
        try:
            for item in job.items:
                if job.resume and (record := _finished(item, manifest, settings)) is not None:
                    outcome.skipped += 1
                    _report(job, record, None, skipped=True)
                    progress.advance(worked=False)
                    continue
                record, result, error = _one(job, item, model, manifest, settings)
                _report(job, record, result)
                if error is None:
                    outcome.done += 1
                    progress.say(_line(record, result))
                else:
                    outcome.failures.append(str(error))
                    progress.say(f"nearfar: error: {error}", is_error=True)
                    if isinstance(error, OutputError) or not job.skip_errors:
                        break
                progress.advance()
        except KeyboardInterrupt:
            outcome.interrupted = True
    return outcome


def _finished(
    item: InputItem, manifest: Manifest, settings: Mapping[str, Any]
) -> ManifestRecord | None:
    """The manifest's record of a local file done with these settings, None if there is none."""
    if item.path == "-" or is_url(item.path):
        return None
    try:
        sha256 = hashlib.sha256(fetch_bytes(item.path)).hexdigest()
    except NearfarError:
        return None  # it fails again below, where failures are reported
    return manifest.done(sha256, settings_hash(settings), relative=item.relative)


def _one(
    job: Job, item: InputItem, model: Model, manifest: Manifest, settings: Mapping[str, Any]
) -> tuple[ManifestRecord, DepthResult | None, NearfarError | None]:
    """Predict and write one photo, and write its line into the manifest."""
    started = time.perf_counter()
    sha256, outputs = "", tuple[str, ...]()
    result: DepthResult | None = None
    error: NearfarError | None = None
    try:
        photo = read_image(item.path, max_pixels=max_pixels())
        sha256 = photo.sha256
        result = model.predict(photo, **asdict(job.config))
        if job.by_hand is not None:
            result = result.to_metric(scale=job.by_hand[0], shift=job.by_hand[1])
        outputs = manifest.relative(save_together(job, item, result))
    except NearfarError as fault:
        error, result = fault, None
        if item.path != "-" and one_line(item.path) not in str(fault):
            error = _at(item.path, fault)
    record = ManifestRecord(
        input=item.path,
        sha256=sha256,
        settings=settings,
        settings_hash=settings_hash(settings),
        seconds=round(time.perf_counter() - started, 3),
        peak_memory_mb=peak_memory_mb(),
        outputs=outputs,
        error=None if error is None else str(error),
    )
    if not isinstance(error, OutputError):
        manifest.append(record)
    return record, result, error


def save_together(job: Job, item: InputItem, result: DepthResult) -> list[Path]:
    """Write all formats of one photo, or none: into a hidden folder, then moved into place."""
    folder = ensure_folder(job.output / item.relative.parent)
    try:
        stage = Path(tempfile.mkdtemp(prefix=".nearfar-", dir=folder))
    except OSError as error:
        raise OutputError(folder, f"cannot be written to ({error.strerror})") from error
    try:
        written = save_result(result, stage, job.formats, stem=item.relative.name, cloud=job.cloud)
        for path in written:
            os.replace(path, folder / path.name)
    except OSError as error:
        if isinstance(error, NearfarError):
            raise
        raise OutputError(folder, f"cannot be written to ({error.strerror})") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return [folder / path.name for path in written]


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


def _report(
    job: Job, record: ManifestRecord, result: DepthResult | None, *, skipped: bool = False
) -> None:
    """Print the record, and what the map is like, as one JSON line."""
    if not job.json_lines:
        return
    line: dict[str, Any] = {**asdict(record), "skipped": skipped}
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


def _line(record: ManifestRecord, result: DepthResult | None) -> str:
    """photo.jpg: 1.2 s, metric (tiny), 0.8 .. 2.1 .. 9.5 m -> photo_depth.png, photo_vis.png."""
    kind = ""
    if result is not None:
        reference = f" ({result.metric_reference})" if result.metric_reference else ""
        kind = f", {result.kind}{reference}"
        if result.is_metric and (known := _range_of(result)) is not None:
            kind += f", {known[0]:.1f} .. {known[1]:.1f} .. {known[2]:.1f} m"
    files = ", ".join(record.outputs)
    return one_line(f"{record.input}: {record.seconds:.1f} s{kind} -> {files}")


def failure_list(outcome: Outcome, total: int) -> str:
    """One line about what failed and what was left, for the end of a run."""
    left = total - outcome.done - outcome.skipped - len(outcome.failures)
    rest = f", {left} not tried (continue with --resume --skip-errors)" if left else ""
    return f"{len(outcome.failures)} of {total} inputs failed{rest}"


def require_folder(output: Path) -> None:
    """OutputError unless the output folder, or what it would be made in, can be written to."""
    place = output.absolute()
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise OutputError(output, f"{place} is not a folder", "Choose another -o")
    if not os.access(place, os.W_OK | os.X_OK):
        raise OutputError(output, f"{place} may not be written to", "Choose another -o")
