"""nearfar models: list, info, get, convert."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nearfar.errors import ConfigError

if TYPE_CHECKING:
    from nearfar.family import WeightsEntry

app = typer.Typer(help="Models by name: list, info, get, convert.")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
NOT_PINNED = "not pinned"
LICENCES = "not stated: the authors name no licence. CC BY-NC: not for commercial use."


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """Show every known model and encoder: licence, encoder, size, and whether it is here."""
    from nearfar.weights.registry import ENTRIES, with_card

    entries = [with_card(entry) for entry in ENTRIES.values()]
    if as_json:
        typer.echo(json.dumps([_facts(entry) for entry in entries], indent=2))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for column in ("name", "kind", "encoder", "licence", "MB", "here"):
        table.add_column(column, no_wrap=True, justify="right" if column == "MB" else "left")
    for entry in entries:
        kind = "encoder" if entry.is_encoder else entry.family.removeprefix("depth_")
        size = "" if entry.size_mb is None else f"{entry.size_mb:.0f}"
        table.add_row(entry.name, kind, entry.encoder, entry.licence, size, _place(entry))
    Console().print(table)
    typer.echo(LICENCES)
    typer.echo("Details: nearfar models info NAME. Download: nearfar models get NAME.")


@app.command("info")
def info(
    name: Annotated[str, typer.Argument(help="A name of `nearfar models list`, or a file.")],
    as_json: JsonOption = False,
) -> None:
    """Show everything known about one model, or what a safetensors file says about itself."""
    from nearfar.weights.registry import ENTRIES, find

    if name not in ENTRIES and Path(name).is_file():
        from nearfar.weights.safe import read_metadata, sha256_of

        facts: dict[str, Any] = {"file": name, **read_metadata(Path(name))}
        facts["sha256"] = sha256_of(Path(name))
    else:
        facts = _facts(find(name))
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        if value not in (None, "", {}):
            shown = json.dumps(value) if isinstance(value, dict) else value
            typer.echo(f"{key.replace('_', ' '):{width}}  {shown}")


@app.command("get")
def get(
    name: Annotated[str, typer.Argument(help="A name of `nearfar models list`.")],
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Accept a non-commercial licence, once.")
    ] = False,
) -> None:
    """Download a model with the encoder it runs with, check and convert them, and say where."""
    from nearfar.weights.licences import parts_of, require_licences
    from nearfar.weights.registry import find

    parts = parts_of(find(name))
    require_licences(parts, accept=accept_license)
    for entry in parts:
        typer.echo(f"{entry.name}  {_obtained(entry)}")


@app.command("convert")
def convert(
    source: Annotated[Path, typer.Argument(help="A released checkpoint: .pth, .pt, .safetensors.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The .safetensors to write.")],
    encoder: Annotated[
        str | None,
        typer.Option(help="PPD's encoder where the file name does not tell: dav2 or moge2."),
    ] = None,
    dtype: Annotated[str, typer.Option(help="keep, fp32, bf16 or fp16.")] = "keep",
    overwrite: Annotated[bool, typer.Option(help="Replace the output if it exists.")] = False,
) -> None:
    """Turn a released checkpoint into checked safetensors that say what they are."""
    if output.exists() and not overwrite:
        raise ConfigError(output, "already exists", "Use --overwrite or another name")
    from nearfar.weights.convert import convert_file

    done = convert_file(source, output, encoder=encoder, dtype=dtype)
    typer.echo(
        f"{done.path}: {done.family} {done.preset}, encoder {done.encoder}, "
        f"{done.tensors} tensors, {done.parameters / 1e6:.1f} M parameters, licence {done.licence}"
    )
    for part, count in sorted(done.ignored.items()):
        typer.echo(f"left out: {part}, {count} tensors")


def _obtained(entry: WeightsEntry) -> Path:
    """Where the entry is, after getting it if it was not there; a bar on stderr shows progress."""
    from nearfar.weights.registry import converted_path

    if converted_path(entry).is_file():
        return converted_path(entry)
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    from nearfar.weights.load import obtain

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    own_bar = entry.url is not None  # the hub's client draws its own
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not own_bar) as bar:
        task = bar.add_task(entry.name, total=None)
        return obtain(
            entry, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )


def _facts(entry: WeightsEntry) -> dict[str, Any]:
    """The fields of an entry with what is only known here: place, pinning."""
    from nearfar.weights.registry import local_path

    path = local_path(entry)
    return {
        **{field.name: getattr(entry, field.name) for field in fields(entry)},
        "metrics": dict(entry.metrics),
        "uncertainty": dict(entry.uncertainty),
        "sha256": entry.sha256 or NOT_PINNED,
        "path": None if path is None else str(path),
    }


def _place(entry: WeightsEntry) -> str:
    """Embedded, on this machine, or not here."""
    from nearfar.weights.registry import local_path

    if local_path(entry) is None:
        return "missing" if entry.embedded else "-"
    return "embedded" if entry.embedded else "yes"
