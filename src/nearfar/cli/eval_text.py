"""What nearfar eval prints: protocols, results and comparisons as text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from nearfar.eval.compare import Comparison, Difference
    from nearfar.eval.protocol import Protocol
    from nearfar.eval.results import EvalResult


def print_protocol(chosen: Protocol) -> None:
    """Every field of a protocol, its hash, and what a correct run gives."""
    typer.echo(f"{chosen.name}  {chosen.status}\n{chosen.title}\n{chosen.reference}")
    for name, value in chosen.table.items():
        if name in ("id", "version", "status", "title", "reference", "sets"):
            continue
        if isinstance(value, dict):
            typer.echo(f"\n{name.replace('_', ' ')}")
            for key, item in value.items():
                typer.echo(f"  {key.replace('_', ' '):18} {_shown(item)}")
        elif name != "expected":
            typer.echo(f"{name.replace('_', ' '):20} {_shown(value)}")
    for one in chosen.expected:
        typer.echo(f"expected: {one.model}: {one.metric} {one.value:g} ({one.source})")
    if sets := chosen.table.get("sets"):
        typer.echo(f"\nsets: {', '.join(f'{chosen.id}-{name}' for name in sets)}")


def print_result(result: EvalResult) -> None:
    """The metrics as a small table on standard output."""
    data = result.dataset
    typer.echo(
        f"{result.model.get('name')} on {result.title}: {data.get('evaluated')} of "
        f"{data.get('listed')} images, {data.get('skipped')} skipped, "
        f"scope {result.protocol.get('scope')}"
    )
    for remark in result.remarks:
        typer.echo(f"not comparable: {remark}")
    for name, one in result.metrics.items():
        low, high = one.ci95
        interval = "" if low is None or high is None else f"[{_number(low)}, {_number(high)}]"
        typer.echo(
            f"  {name:28} {_number(one.mean):>10} {interval:24} "
            f"median {_number(one.median)}  n {one.n}"
        )
    median = result.timing.get("seconds_median")
    memory = result.timing.get("peak_rss_mb")
    typer.echo(f"  seconds per image {_number(median)} (median), memory {_number(memory)} MiB")


def print_comparison(found: Comparison, a: Path, b: Path) -> None:
    """A line for each metric: both means, the difference with its interval, and the verdict."""
    names = [str(result.model.get("name")) for result in (found.a, found.b)]
    if names[0] == names[1]:
        names = [f"{name} ({mark})" for name, mark in zip(names, "ab", strict=True)]
    typer.echo(f"{found.a.title}: a = {a} ({names[0]}), b = {b} ({names[1]})")
    for remark in dict.fromkeys((*found.a.remarks, *found.b.remarks)):
        typer.echo(f"note: {remark}")
    for one in found.differences:
        what = "b - a" if one.goal is None else f"|b - {one.goal:g}| - |a - {one.goal:g}|"
        typer.echo(
            f"{one.metric:24} a {_number(one.a)}  b {_number(one.b)}  {what} {one.mean:+.4g} "
            f"[{one.low:+.4g}, {one.high:+.4g}]  {_verdict(one)}"
        )


def _verdict(one: Difference) -> str:
    """Who is better, in words."""
    if not one.is_clear:
        return "within its interval: no winner"
    return f"{one.better} is better" if one.better else "they differ; neither is better by it"


def protocol_facts(protocol: Protocol) -> dict[str, Any]:
    """The short facts of a protocol, for JSON."""
    return {
        "id": protocol.id,
        "version": protocol.version,
        "hash": protocol.hash,
        "status": protocol.status,
        "title": protocol.title,
        "kind": protocol.kind,
        "dataset": protocol.dataset.name,
        "images": protocol.dataset.count,
        "alignment": protocol.alignment.id,
        "scope": protocol.alignment.scope,
        "accepts": protocol.prediction.accepts,
        "metrics": list(protocol.metrics),
        "sets": sorted(protocol.table.get("sets", {})),
    }


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{k}: {v}" for k, v in value.items()) or "-"
    return str(value) if value != "" else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
