"""An evaluation from the first sample to the result: checks, loop, resume, shares of processes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from nearfar.data.record import Dataset
from nearfar.errors import ConfigError, DataError

from .circumstances import machine_facts, peak_rss_mb, tool_facts
from .judge import judge, table_columns
from .measures import require_flow, require_known
from .predictions import Estimator
from .prepare import data_hash
from .protocol import Protocol as LockedProtocol
from .protocol import list_hash, require_runnable
from .results import (
    RESULT_FILE,
    RunFiles,
    SampleRow,
    SampleWriter,
    preview_path,
    read_table,
    save_preview,
)
from .summaries import assemble, now

_LOG = logging.getLogger(__name__)
SETTLED_STATUSES = ("parity", "ours")


class Progress(Protocol):
    """Told about every sample."""

    def say(self, text: str) -> None:
        """One line."""
        ...

    def advance(self, *, worked: bool = True) -> None:
        """One more sample is through."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPlan:
    """How much of a protocol to run, and what to write down about it.

    limit: only the first N samples (the result is a subset). share: (rank, world). settings: how
    the model is asked. dataset: facts for the result (root, list, official name). device, dtype:
    of the model. peak_device_mb: asked at the end.
    """

    limit: int | None = None
    share: tuple[int, int] = (0, 1)
    resume: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    dataset: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    dtype: str = ""
    command: str = ""
    load_seconds: float = 0.0


def run_protocol(
    protocol: LockedProtocol,
    dataset: Dataset,
    estimator: Estimator,
    *,
    folder: str | Path,
    plan: RunPlan,
    progress: Progress | None = None,
) -> Path | None:
    """The path of `result.json`, or None if other processes still work on their shares.

    Every row is on the disk before the next sample begins, so that a killed run goes on with
    resume=True. Errors: ConfigError (protocol, plan, folder), DataError (a sample, the list).
    """
    # 1. what will be run, and the folder that says so
    require_measurable(protocol)
    ids = list(dataset.sample_ids)
    chosen = select(protocol, ids, plan.limit)
    files = RunFiles(folder, share=plan.share)
    run = _run_facts(protocol, estimator, plan, ids, chosen)
    files.begin(run, resume=plan.resume)
    with files.alone():
        worked = _work(protocol, dataset, estimator, chosen, files, progress)
        # 2. the mark of this share; the last process puts the result together
        is_last = files.finish(
            {
                "finished": now(),
                "peak_rss_mb": peak_rss_mb(),
                "peak_device_mb": _peak_device_mb(plan.device),
                "load_seconds": plan.load_seconds,
                "tool": run["tool"],
                "machine": run["machine"],
            },
            has_worked=worked > 0,
        )
    if not is_last:
        return None
    assemble(folder)
    return Path(folder) / RESULT_FILE


def _work(
    protocol: LockedProtocol,
    dataset: Dataset,
    estimator: Estimator,
    chosen: Sequence[int],
    files: RunFiles,
    progress: Progress | None,
) -> int:
    """Judge this process' share of the clips (or images); how many samples that were.

    Finished rows are checked, not made again.
    """
    metrics, notes = table_columns(protocol, uncertainty=estimator.gives_uncertainty)
    writer = SampleWriter(files.table, metrics, notes)
    finished = {row.index: row for row in read_table(files.table).rows}
    worked = 0
    ids = list(dataset.sample_ids)
    for places in _groups(protocol, ids, chosen)[files.rank :: files.world]:
        records = [dataset.record(chosen[place]) for place in places]
        for place, record in zip(places, records):
            if (before := finished.get(place)) is not None:
                _require_same_data(before, record.sample_id, data_hash(record))
        missing = [place for place in places if place not in finished]
        for result in judge(records, places, protocol, estimator) if missing else ():
            place = result.row.index
            if place in missing:
                if result.preview is not None:
                    save_preview(preview_path(files.folder, place), result.preview)
                writer.append(result.row)
                worked += 1
        for place in places if progress is not None else ():
            progress.advance(worked=place in missing)  # type: ignore[union-attr]
    return worked


def require_measurable(protocol: LockedProtocol) -> None:
    """ConfigError unless the code there is can measure what the protocol asks."""
    require_runnable(protocol)
    where = f"protocol {protocol.id}"
    require_flow(protocol.metrics, protocol.metric_options, where=where)
    require_known(protocol.metrics, where=where, scope=protocol.alignment.scope)


def _groups(protocol: LockedProtocol, ids: Sequence[str], chosen: Sequence[int]) -> list[list[int]]:
    """Places in the table that are judged together: each alone, or all frames of a clip."""
    if protocol.alignment.scope != "clip":
        return [[place] for place in range(len(chosen))]
    clips: dict[str, list[int]] = {}
    for place, index in enumerate(chosen):
        clips.setdefault(ids[index].rpartition("/")[0], []).append(place)
    return list(clips.values())


def select(protocol: LockedProtocol, ids: Sequence[str], limit: int | None) -> list[int]:
    """Places of the samples to run, in list order; DataError if the list is not what it must be.

    For clips: of each (ids without their last part), frames first, first + stride, ...
    """
    if len(set(ids)) != len(ids):
        raise DataError(protocol.dataset.name, "two samples have the same id")
    if protocol.dataset.count and len(ids) != protocol.dataset.count:
        raise DataError(
            protocol.dataset.name,
            f"{len(ids)} samples, {protocol.id} expects {protocol.dataset.count}",
            f"Complete the data{_or_list(protocol)}; to run a part of them (not comparable), add "
            "--set dataset.count=0 --set dataset.fingerprint=",
        )
    chosen = list(range(len(ids)))
    if protocol.video is not None:
        clips: dict[str, list[int]] = {}
        for place, name in enumerate(ids):
            clips.setdefault(name.rpartition("/")[0], []).append(place)
        part = protocol.video
        chosen = [p for c in clips.values() for p in c[part.first :: part.stride][: part.frames]]
    if limit is not None:
        if limit < 1:
            raise ConfigError("limit", f"{limit} is not at least 1")
        chosen = chosen[:limit]
    if not chosen:
        raise DataError(protocol.dataset.name, "has no samples")
    return chosen


def _or_list(protocol: LockedProtocol) -> str:
    """Where a published list decides the samples: its name, if it has one."""
    if not protocol.list.name and not protocol.dataset.fingerprint:
        return ""
    return f", or give the list {protocol.list.name or 'of the paper'} with --list"


def _run_facts(
    protocol: LockedProtocol,
    estimator: Estimator,
    plan: RunPlan,
    ids: Sequence[str],
    chosen: Sequence[int],
) -> dict[str, Any]:
    """Everything `run.json` holds."""
    remarks = []
    if protocol.status == "custom":
        remarks.append("custom protocol: not comparable to any released one")
    if len(chosen) < len(select(protocol, ids, None)):
        remarks.append(f"subset: the first {len(chosen)} of {len(ids)} samples")
    fingerprint, found = protocol.dataset.fingerprint, plan.dataset.get("fingerprint")
    if fingerprint and found and fingerprint != found and not plan.dataset.get("official"):
        raise DataError(
            protocol.dataset.name,
            f"has fingerprint {str(found)[:8]}; {protocol.id} expects {fingerprint[:8]}",
            "Use the official split, or --set dataset.fingerprint=",
        )
    return {
        "protocol": {
            "id": protocol.id,
            "version": protocol.version,
            "hash": protocol.hash,
            "status": protocol.status,
            "scope": protocol.alignment.scope,
            "text": protocol.table,
        },
        "model": dict(estimator.facts),
        "dataset": {
            "name": protocol.dataset.name,
            "split": protocol.dataset.split,
            "listed": len(ids),
            "selected": len(chosen),
            "list_sha256": list_hash([ids[place] for place in chosen]),
            **plan.dataset,
        },
        "settings": {
            **plan.settings,
            "tta": protocol.inference.tta,
            "published_steps": protocol.inference.steps,
            "published_ensemble_size": protocol.inference.ensemble_size,
            "seed_of_sample": "the same seed for every photo; alignments draw from [seed, place]",
        },
        "tool": tool_facts(),
        "machine": machine_facts(device=plan.device, dtype=plan.dtype),
        "processes": plan.share[1],
        "remarks": remarks,
        "command": plan.command,
        "started": now(),
    }


def _require_same_data(row: SampleRow, sample_id: str, found: str) -> None:
    """A resumed run trusts a row only if the sample still is what it was."""
    if row.sample_id != sample_id or row.data_sha256 != found:
        raise DataError(
            sample_id,
            f"has changed since its row was written ({row.sample_id} {row.data_sha256})",
            "Run again in another folder",
        )


def _peak_device_mb(device: str) -> float | None:
    if not device.startswith("cuda"):
        return None
    import torch

    return round(torch.cuda.max_memory_allocated() / (1 << 20), 1)
