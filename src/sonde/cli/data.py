"""sonde data: render, check."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sonde.errors import ConfigError, DataError

from .options import as_command

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from rich.progress import Progress

    from sonde.data.sample import DepthBatch
    from sonde.data.scenes.options import SceneOptions

    Tiles = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # photo, depth in colour

app = typer.Typer(help="Training data: render scenes, check own folders.")

_SHEET_COLUMNS = 8
_CHUNK = 16  # scenes between two steps of the progress bar


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of "WIDTHxHEIGHT"."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        raise ConfigError("--size", f"{text!r} is not WIDTHxHEIGHT", "Write for example 256x192")
    width, height = (int(part) for part in parts)
    if min(width, height) < 8 or max(width, height) > 4096:
        raise ConfigError("--size", f"{text} is out of range", "Use 8 to 4096 pixels a side")
    return height, width


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderOptions:
    """Everything `sonde data render` can be told."""

    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Number of scenes.")] = 16
    sheet: Annotated[Path | None, typer.Option(help="Contact sheet to write (PNG).")] = None
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels.")] = "256x192"
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same pixels.")] = 0
    out: Annotated[
        Path | None, typer.Option(help="Folder for photos, depth in metres (NPY) and a list.")
    ] = None
    shards: Annotated[Path | None, typer.Option(help="Folder for training shards.")] = None
    shard_size: Annotated[int, typer.Option(min=1, help="Scenes in a shard.")] = 256
    textures: Annotated[
        Path | None, typer.Option(help="Folder of own photos to use as pictures on walls.")
    ] = None
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile first: a minute, then 4 times faster.")
    ] = False
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto"


def render(context: typer.Context, chosen: RenderOptions) -> None:
    """Render synthetic scenes with exact depth: a contact sheet, files, or training shards."""
    if chosen.sheet is None and chosen.out is None and chosen.shards is None:
        raise ConfigError(
            "sonde data render", "nothing to write", "Give --sheet, --out or --shards"
        )
    size_hw = parse_size(chosen.size)
    from sonde.data.scenes.options import SceneOptions
    from sonde.settings import keep_freed_memory, pick_device

    keep_freed_memory()
    folder = "" if chosen.textures is None else str(chosen.textures)
    options = SceneOptions(compile=chosen.compiled, texture_folder=folder)
    device = pick_device(chosen.device)
    with _progress() as bar:
        if chosen.shards is not None:
            from sonde.data.scenes.shards import SceneShards

            store = SceneShards(
                chosen.shards,
                seed=chosen.seed,
                size_hw=size_hw,
                options=options,
                device=device,
                shard_size=chosen.shard_size,
            )
            task = bar.add_task("shards", total=None)
            store.ensure(
                chosen.count, lambda done, total: bar.update(task, completed=done, total=total)
            )
            typer.echo(f"{store.folder}: {chosen.count} scenes")
        if chosen.sheet is not None or chosen.out is not None:
            _render_files(chosen, size_hw, options, device, bar)


def _render_files(
    chosen: RenderOptions,
    size_hw: tuple[int, int],
    options: SceneOptions,
    device: torch.device,
    bar: Progress,
) -> None:
    """The contact sheet and the folder of photos and depth."""
    import torch

    from sonde.data.scenes.renderer import render_scenes

    task = bar.add_task("scenes", total=chosen.count)
    tiles: list[Tiles] = []
    lines: list[str] = []
    for start in range(0, chosen.count, _CHUNK):
        numbers = range(start, min(start + _CHUNK, chosen.count))
        drawn = render_scenes(
            numbers, seed=chosen.seed, size_hw=size_hw, device=device, options=options
        )
        batch = drawn.as_depth_batch().to(torch.device("cpu"))
        tiles += depth_tiles(batch) if chosen.sheet is not None else []
        lines += _write_files(batch, chosen.out, numbers) if chosen.out is not None else []
        bar.update(task, completed=numbers.stop)
    if chosen.sheet is not None:
        write_sheet(tiles, chosen.sheet)
        typer.echo(f"{chosen.sheet}: {chosen.count} scenes")
    if chosen.out is not None:
        _write_list(lines, chosen.out / "list.jsonl")
        typer.echo(f"{chosen.out / 'list.jsonl'}: {chosen.count} scenes")


app.command("render")(as_command(RenderOptions, render))


@app.command("check")
def check(
    list_path: Annotated[Path, typer.Argument(metavar="LIST", help="CSV or JSONL list.")],
    sheet: Annotated[Path | None, typer.Option(help="Contact sheet to write (PNG).")] = None,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of the training images.")] = "256x192",
) -> None:
    """Read every line of an own list: counts, depth range, broken lines, contact sheet."""
    from sonde.data.folder import FolderDataset
    from sonde.data.sample import stack_samples

    data = FolderDataset(list_path, parse_size(size))
    tiles: list[Tiles] = []
    broken, with_camera, known = 0, 0, 0.0
    low, high = math.inf, 0.0
    with _progress() as bar:
        for index in bar.track(range(len(data)), description="lines"):
            try:
                sample = data.sample(index)
            except DataError as error:
                broken += 1
                typer.echo(f"sonde: {error}", err=True)
                continue
            depth = sample.depth_HW[sample.valid_HW]
            low, high = min(low, float(depth.min())), max(high, float(depth.max()))
            known += float(sample.valid_HW.float().mean())
            with_camera += sample.fov_x_deg == sample.fov_x_deg
            if sheet is not None and len(tiles) < 4 * _SHEET_COLUMNS:
                tiles += depth_tiles(stack_samples([sample]))
    good = len(data) - broken
    typer.echo(f"{good} of {len(data)} lines are good, {with_camera} with a camera")
    if good:
        typer.echo(
            f"depth {low:.3f} to {high:.3f} m, known in {100 * known / good:.1f} % of pixels"
        )
    if sheet is not None and tiles:
        write_sheet(tiles, sheet)
        typer.echo(f"{sheet}: contact sheet")
    if broken:
        raise typer.Exit(1)


def depth_tiles(batch: DepthBatch) -> list[Tiles]:
    """(photo, depth in colour) of each sample: log depth, near = warm, sky and unknown black."""
    import numpy as np

    from sonde.viz.colormap import apply_colormap

    tiles = []
    for image, depth, valid, _, _ in zip(*batch):
        photo = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        usable = valid.numpy()
        log_depth = np.log(np.maximum(depth.numpy(), 1e-3))
        low, high = np.quantile(log_depth[usable], (0.01, 0.99)) if usable.any() else (0.0, 1.0)
        x = np.clip((log_depth - low) / max(high - low, 1e-6), 0, 1)
        colour = apply_colormap(x, "spectral").copy()
        colour[~usable] = 0
        tiles.append((photo, colour))
    return tiles


def write_sheet(tiles: list[Tiles], sheet: Path) -> None:
    """A PNG with rows of photos and, below each, its depth."""
    from sonde.io.atomic import ensure_folder
    from sonde.io.images import write_picture
    from sonde.viz.panel import contact_sheet

    columns = min(_SHEET_COLUMNS, len(tiles))
    rows: list[NDArray[np.uint8]] = []
    for start in range(0, len(tiles), columns):
        row = tiles[start : start + columns]
        row += [(row[-1][0] * 0, row[-1][1] * 0)] * (columns - len(row))
        rows += [photo for photo, _ in row] + [depth for _, depth in row]
    ensure_folder(sheet.parent)
    write_picture(contact_sheet(rows, columns=columns, gap=2), sheet)


def _write_files(batch: DepthBatch, out: Path, numbers: range) -> list[str]:
    """Writes photos as PNG and depth as NPY in metres; returns their lines for a list."""
    import numpy as np

    from sonde.io.atomic import atomic_path, ensure_folder
    from sonde.io.images import write_picture

    ensure_folder(out)
    height, width = batch.depth_BHW.shape[-2:]
    lines = []
    for number, image, depth, _, _, fov in zip(numbers, *batch):
        photo = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        write_picture(photo, out / f"{number:06d}.png")
        with atomic_path(out / f"{number:06d}.npy") as temporary, open(temporary, "wb") as file:
            np.save(file, depth.numpy())
        focal = width / 2 / math.tan(math.radians(float(fov)) / 2)
        line = {
            "rgb": f"{number:06d}.png",
            "depth": f"{number:06d}.npy",
            "unit": "m",
            "intrinsics": f"{focal:.4f},{focal:.4f},{width / 2},{height / 2}",
        }
        lines.append(json.dumps(line))
    return lines


def _write_list(lines: list[str], path: Path) -> None:
    """A list that `check` and training read."""
    from sonde.io.atomic import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _progress() -> Progress:
    """A bar on standard error with counts and time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
