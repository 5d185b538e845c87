"""nearfar data: render; list and check are in datasets.py."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nearfar.errors import ConfigError

from .datasets import CheckOptions, check, list_datasets, parse_size
from .options import as_command, refuse_existing
from .progress import counting_bar
from .sheets import Tiles, depth_tiles, write_sheet

if TYPE_CHECKING:
    import torch
    from rich.progress import Progress

    from nearfar.data.sample import DepthBatch
    from nearfar.data.scenes.options import SceneOptions

app = typer.Typer(help="Datasets: list, check; render scenes.")

_CHUNK = 16  # scenes between two steps of the progress bar


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderOptions:
    """The options of `nearfar data render`."""

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
        Path | None, typer.Option(help="Folder of your own photos, used as pictures on walls.")
    ] = None
    overwrite: Annotated[bool, typer.Option(help="Replace sheet and files that exist.")] = False
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile first: a minute, then 4 times faster.")
    ] = False
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto"


def render(context: typer.Context, chosen: RenderOptions) -> None:
    """Render synthetic scenes with exact depth: a contact sheet, files, or training shards."""
    if chosen.sheet is None and chosen.out is None and chosen.shards is None:
        raise ConfigError(
            "nearfar data render", "nothing to write", "Give --sheet, --out or --shards"
        )
    size_hw = parse_size(chosen.size)
    refuse_existing(chosen.sheet, overwrite=chosen.overwrite)
    if chosen.out is not None:
        stems = [f"{number:06d}" for number in range(chosen.count)]
        for name in ("list.jsonl", *(s + end for s in stems for end in (".png", ".npy"))):
            refuse_existing(chosen.out / name, overwrite=chosen.overwrite)
    from nearfar.data.scenes.options import SceneOptions
    from nearfar.settings import keep_freed_memory, pick_device

    keep_freed_memory()
    folder = "" if chosen.textures is None else str(chosen.textures)
    options = SceneOptions(compile=chosen.compiled, texture_folder=folder)
    device = pick_device(chosen.device)
    with counting_bar() as bar:
        if chosen.shards is not None:
            from nearfar.data.scenes.shards import SceneShards

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

    from nearfar.data.scenes.renderer import render_scenes

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


app.command("list")(list_datasets)
app.command("check")(as_command(CheckOptions, check))


def _write_files(batch: DepthBatch, out: Path, numbers: range) -> list[str]:
    """Writes photos as PNG and depth as NPY in metres; returns their lines for a list."""
    import numpy as np

    from nearfar.io.atomic import atomic_path, ensure_folder
    from nearfar.io.images import write_picture

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
    from nearfar.io.atomic import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
