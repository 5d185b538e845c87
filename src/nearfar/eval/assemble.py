"""The result of a run from what is on disk: settings, tables, previews; no model, no data set."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.errors import DataError

from .parts import AveragePart
from .protocol import protocol_from_table
from .results import SAMPLES_FILE, EvalResult, load_preview, preview_path
from .run_files import RUN_FILE, RunFiles, read_json
from .samples import OK, SampleRow, SampleTable, read_table, write_table
from .summaries import subsets, summaries

_WARM_UP = 10  # predictions that do not count for the speed, or a fifth of a short run
_GO_ON = "Go on with nearfar eval run ... --resume"
_LEVELS = ("50", "80", "90", "95")


def recompute(folder: str | Path) -> EvalResult:
    """Compute and write `result.json` again from `samples.csv` and `run.json` of a folder."""
    return assemble(folder)


def assemble(folder: str | Path) -> EvalResult:
    """Merge the tables of all processes, compute every number, and write `result.json`."""
    folder = Path(folder)
    run = _run_of(folder)
    files = RunFiles(folder, share=(0, int(run["processes"])))
    marks = files.marks()
    wanted = int(run["dataset"]["selected"])
    if len(marks) < files.world:
        done = sum(len(read_table(path).rows) for path in files.tables())
        raise DataError(folder, f"is not finished: {done} of {wanted} samples", _GO_ON)
    table = _merged(files)
    if len(table.rows) != wanted:
        finding = f"{SAMPLES_FILE} has {len(table.rows)} rows of {wanted} samples"
        raise DataError(folder, finding, _GO_ON)
    protocol = protocol_from_table(run["protocol"]["text"])
    rows = table.rows
    result = EvalResult(
        protocol=run["protocol"],
        model=run["model"],
        dataset=run["dataset"] | _counts(rows),
        settings=run["settings"],
        tool=run["tool"] | {"command": run.get("command", "")} | _resumed(run, marks),
        machine=run["machine"],
        metrics=summaries(table, protocol.average),
        comparable=not run["remarks"],
        remarks=tuple(run["remarks"]),
        subsets=subsets(table, protocol.average),
        degenerate=_degenerate(table),
        timing=_timing(rows, marks),
        curves=_curves(folder, table, protocol.average),
        started=run.get("started", ""),
        finished=max((str(m.get("finished", "")) for m in marks), default=""),
        csv_sha256=hashlib.sha256((folder / SAMPLES_FILE).read_bytes()).hexdigest(),
    )
    result.save(folder)
    return result


def _run_of(folder: Path) -> dict[str, Any]:
    """The table in `run.json`; DataError if it lacks what a run writes."""
    run = read_json(folder / RUN_FILE)
    wanted = {"protocol", "model", "dataset", "settings", "tool", "machine", "processes", "remarks"}
    if missing := wanted - set(run):
        raise DataError(folder / RUN_FILE, f"lacks {', '.join(sorted(missing))}", "Run again")
    return run


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _resumed(run: Mapping[str, Any], marks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a resumed part was made with, where that is not what the run was begun with."""
    others = [
        {name: mark[name] for name in ("tool", "machine")}
        for mark in marks
        if any(mark.get(name, run[name]) != run[name] for name in ("tool", "machine"))
    ]
    return {"resumed_with": others} if others else {}


def _merged(files: RunFiles) -> SampleTable:
    """All rows in list order, each sample once; `samples.csv` holds them afterwards."""
    tables = [read_table(path) for path in files.tables()]
    if not tables:
        raise DataError(files.folder, "has no table of samples", _GO_ON)
    if any((t.metrics, t.notes) != (tables[0].metrics, tables[0].notes) for t in tables):
        raise DataError(files.folder, "the tables of the processes have different columns")
    rows = sorted((row for t in tables for row in t.rows), key=lambda row: row.index)
    if len({row.index for row in rows}) != len(rows):
        raise DataError(files.folder, "a sample is there twice", "Run again in another folder")
    path = files.folder / SAMPLES_FILE
    write_table(path, rows, tables[0].metrics, tables[0].notes)
    return read_table(path)


def _counts(rows: Sequence[SampleRow]) -> dict[str, Any]:
    skipped = [row for row in rows if row.status != OK]
    return {
        "evaluated": len(rows) - len(skipped),
        "skipped": len(skipped),
        "skipped_samples": [{"id": row.sample_id, "reason": row.reason} for row in skipped],
    }


def _degenerate(table: SampleTable) -> dict[str, float]:
    """How many images had a special fit, mean shares of special pixels, undefined values."""
    rows = [row for row in table.rows if row.status == OK]
    out: dict[str, float] = {"images_skipped": float(len(table.rows) - len(rows))}
    for name in ("negative_scale", "degenerate", "fallback"):
        out[f"images_{name}"] = float(sum(row.notes.get(name, 0.0) for row in rows))
    for name in (name for name in table.notes if name.endswith("_share")):
        values = [row.notes[name] for row in rows if name in row.notes]
        out[f"mean_{name}"] = float(np.mean(values)) if values else 0.0
    for name in table.metrics:
        undefined = sum(name in r.values and not np.isfinite(r.values[name]) for r in rows)
        if undefined:
            out[f"undefined_{name}"] = float(undefined)
    return out


def _timing(
    rows: Sequence[SampleRow], marks: Sequence[Mapping[str, Any]]
) -> dict[str, float | None]:
    """Seconds of a prediction (end to end, without disk) and memory; warm-up left out."""
    seconds = [row.seconds for row in rows if row.seconds is not None]
    warm_up = min(_WARM_UP, len(seconds) // 5)
    timed = np.array(seconds[warm_up:], np.float64)
    peaks = [float(m["peak_rss_mb"]) for m in marks if m.get("peak_rss_mb") is not None]
    device = [float(m["peak_device_mb"]) for m in marks if m.get("peak_device_mb") is not None]
    quantile = {"seconds_median": 0.5, "seconds_p10": 0.1, "seconds_p90": 0.9}
    return {
        **{k: float(np.quantile(timed, q)) if timed.size else None for k, q in quantile.items()},
        "predictions_timed": float(timed.size),
        "warm_up": float(warm_up),
        "peak_rss_mb": max(peaks, default=None),
        "peak_device_mb": max(device, default=None),
        "load_seconds": max((float(m.get("load_seconds", 0.0)) for m in marks), default=None),
    }


def _curves(folder: Path, table: SampleTable, average: AveragePart) -> dict[str, Any]:
    """Risk of the most certain pixels (mean over images) and coverage, where there is sigma."""
    curves: list[np.ndarray] = []
    if "ause_abs_rel" not in table.metrics:
        return {}
    for row in table.rows:
        preview = load_preview(preview_path(folder, row.index)) if row.status == OK else None
        if preview is not None and preview.risk_101 is not None:
            curves.append(preview.risk_101)
    if not curves:
        return {}
    shares = []
    for level in _LEVELS:
        values = [row.values.get(f"coverage_{level}", np.nan) for row in table.rows]
        shares.append(float(np.nanmean(values)))
    risk = np.mean(np.stack(curves), axis=0)
    return {
        "risk_coverage": {
            "kept": [float(v) for v in np.linspace(0, 1, risk.size)],
            "abs_rel": [float(v) for v in risk],
        },
        "calibration": {"levels": [int(v) / 100 for v in _LEVELS], "share_inside": shares},
    }
