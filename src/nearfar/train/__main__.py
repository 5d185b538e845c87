"""`python -m nearfar.train RECIPE [key=value ...]`: for launchers, without typer and rich.

    accelerate launch -m nearfar.train recipes/ppd_tiny.toml train.steps=1000 --resume

The same loop as `nearfar train`, with plain lines instead of a progress bar and pictures as arrays
(pictures/*.npz) instead of PNG.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.errors import ConfigError, NearfarError
from nearfar.settings import keep_freed_memory

from .export import export_run
from .loop import train
from .plan import plan_run, plan_text
from .recipe import load_recipe
from .validation import Compared
from .watch import Watcher

_log = logging.getLogger("nearfar.train")


class PlainWatcher(Watcher):
    """Log lines for records, arrays for pictures."""

    def on_data(self, ready: int, wanted: int) -> None:
        """A line for every shard or so."""
        _log.info("images %d of %d", ready, wanted)

    def on_record(self, record: dict[str, Any]) -> None:
        """One line a record."""
        texts = (f"{k} {v:.5g}" if isinstance(v, float) else f"{k} {v}" for k, v in record.items())
        _log.info("%s", "  ".join(texts))

    def on_pictures(self, step: int, pictures: list[Compared], folder: Path) -> None:
        """folder/<step>.npz with image, depth, aligned and valid, each [S, ...]."""
        folder.mkdir(parents=True, exist_ok=True)
        names = ("image", "depth", "aligned", "valid")
        arrays = zip(names, zip(*pictures, strict=True), strict=True)
        stacks: dict[str, Any] = {name: np.stack(array) for name, array in arrays}
        np.savez_compressed(folder / f"{step:08d}.npz", **stacks)


def main(arguments: list[str]) -> int:
    """Run one training; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m nearfar.train")
    parser.add_argument("recipe", type=Path, help="TOML recipe, or run folder with --export")
    parser.add_argument("overrides", nargs="*", help="section.key=value")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint")
    parser.add_argument("--overwrite", action="store_true", help="start again in a used folder")
    parser.add_argument("--export", action="store_true", help="write weights of a run folder")
    parser.add_argument("--dry-run", action="store_true", help="only print memory per GPU")
    parser.add_argument("--gpus", type=int, default=8, help="that --dry-run plans for")
    options = parser.parse_intermixed_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        if options.export:
            _log.info("%s", export_run(options.recipe))
            return 0
        recipe = load_recipe(options.recipe, options.overrides)
        if options.dry_run:
            _log.info("%s", plan_text(plan_run(recipe), recipe, gpus=max(1, options.gpus)))
            return 0
        keep_freed_memory()
        end = train(
            recipe, watcher=PlainWatcher(), resume=options.resume, overwrite=options.overwrite
        )
        _log.info("%s: %d steps", end.folder, end.step)
    except NearfarError as error:
        _log.error("nearfar train: error: %s", error)
        return 2 if isinstance(error, ConfigError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
