"""nearfar train: the verb, its progress bar, its pictures, Ctrl-C that keeps what was learned."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from nearfar.errors import ConfigError

from .options import as_command, set_verbosity

if TYPE_CHECKING:
    from rich.progress import Progress

    from nearfar.train.validation import Compared
    from nearfar.train.watch import StepReport, Watcher

_INTERRUPTED = 130
_COLUMNS = 2  # held-out images side by side on a sheet; each is photo, truth, prediction


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainOptions:
    """The options of `nearfar train`, besides the recipe itself."""

    recipe: Annotated[
        Path | None, typer.Argument(help="TOML recipe, e.g. recipes/ppd_tiny.toml.")
    ] = None
    overrides: Annotated[
        list[str], typer.Argument(metavar="[KEY=VALUE]...", help="e.g. train.steps=20 data.seed=7.")
    ] = field(default_factory=list)
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the run folder's newest checkpoint.")
    ] = False
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start over in a used run folder.")
    ] = False
    export: Annotated[
        Path | None,
        typer.Option("--export", help="Only write weights and card of this run folder, and exit."),
    ] = None
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print sizes and memory per GPU, and exit.")
    ] = False
    gpus: Annotated[int, typer.Option("--gpus", min=1, help="GPUs that --dry-run plans for.")] = 8
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress bar.")] = False
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show more messages.")] = False


def _train(context: typer.Context, options: TrainOptions) -> None:
    """Train from a TOML recipe: log, checkpoints, pictures, and at the end weights with a card.

    Ctrl-C ends the run after the current step with a checkpoint; --resume continues exactly there.
    """
    set_verbosity(quiet=options.quiet, verbose=options.verbose)
    if options.export is not None:
        from nearfar.train.export import export_run

        typer.echo(export_run(options.export))
        return
    if options.recipe is None:
        raise ConfigError("nearfar train", "no recipe given", "Give a TOML file, see recipes/")
    if options.resume and options.overwrite:
        raise ConfigError("--resume, --overwrite", "both given", "Choose one")
    from nearfar.settings import keep_freed_memory
    from nearfar.train.loop import train
    from nearfar.train.recipe import load_recipe

    recipe = load_recipe(options.recipe, options.overrides)
    if options.dry_run:
        from nearfar.train.plan import plan_run, plan_text

        typer.echo(plan_text(plan_run(recipe), recipe, gpus=options.gpus))
        return
    keep_freed_memory()
    with stop_signals() as stop, _watcher(options.quiet, stop) as watcher:
        end = train(recipe, watcher=watcher, resume=options.resume, overwrite=options.overwrite)
    values = "  ".join(f"{name} {value:.4f}" for name, value in end.metrics.items())
    typer.echo(f"{end.folder}: {end.step} of {recipe.train.steps} steps  {values}".rstrip())
    if stop.is_set():
        typer.echo("stopped; --resume continues from here", err=True)
        raise typer.Exit(_INTERRUPTED)


train = as_command(TrainOptions, _train)


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; the second one interrupts at once."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def sheet(pictures: Sequence[Compared]) -> np.ndarray:
    """RGB sheet: photo, true depth, aligned prediction of each image, in the truth's colors."""
    from nearfar.result import DepthKind, DepthResult
    from nearfar.viz.colormap import color_depth, color_range
    from nearfar.viz.panel import contact_sheet, side_by_side

    tiles = []
    for picture in pictures:
        photo = (picture.image_HW3.clip(0, 1) * 255).round().astype(np.uint8)
        truth = DepthResult(depth=picture.depth_HW, kind=DepthKind.METRIC, valid=picture.valid_HW)
        guess = DepthResult(
            depth=picture.aligned_HW,
            kind=DepthKind.METRIC,
            valid=np.ones_like(picture.valid_HW),
        )
        limits = color_range(truth)
        maps = [color_depth(result, limits=limits) for result in (truth, guess)]
        tiles.append(side_by_side(photo, *maps, gap=2))
    return contact_sheet(tiles, columns=_COLUMNS)


@contextmanager
def _watcher(is_quiet: bool, stop: threading.Event) -> Iterator[Watcher]:
    """Progress bar and pictures for the loop."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True, quiet=is_quiet),
        disable=is_quiet,
    )
    try:
        yield _make_watcher(bar, stop)
    finally:
        if bar.live.is_started:
            bar.stop()


def _make_watcher(bar: Progress, stop: threading.Event) -> Watcher:
    from nearfar.io.images import write_picture
    from nearfar.train.watch import Watcher

    images = bar.add_task("images", total=None, note="", visible=False)
    steps = bar.add_task("training", total=None, note="")

    class BarWatcher(Watcher):
        """Renders reports; the loop calls it on the first process only."""

        def on_data(self, ready: int, wanted: int) -> None:
            bar.start()
            bar.update(images, completed=ready, total=wanted, visible=True)

        def on_step(self, report: StepReport) -> None:
            bar.start()  # only now, so that a refused recipe prints nothing but its error
            bar.update(images, visible=False)
            bar.update(steps, completed=report.step, total=report.steps, note=note(report))

        def on_record(self, record: dict[str, Any]) -> None:
            if record["group"] == "val":
                values = {k: v for k, v in record.items() if k not in ("step", "group")}
                shown = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
                bar.console.print(f"step {record['step']}: {shown}", highlight=False)

        def on_pictures(self, step: int, pictures: list[Compared], folder: Path) -> None:
            folder.mkdir(parents=True, exist_ok=True)
            write_picture(sheet(pictures), folder / f"{step:08d}.png")

        def should_stop(self) -> bool:
            return stop.is_set()

    return BarWatcher()


def note(report: StepReport) -> str:
    """What stands behind the bar: loss, speed, time left."""
    minutes, seconds = divmod(round(report.seconds_left), 60)
    hours, minutes = divmod(minutes, 60)
    left = f"{hours}:{minutes:02d}:{seconds:02d}"
    return f"loss {report.loss:.4f}  {report.samples_per_s:.1f} samples/s  {left} left"
