"""The command line: verbs are found by name in a table and loaded when asked for.

options.py  options as dataclasses, shared option types, defaults shown in --help
predict.py  nearfar predict: the verb and its checks before any work
batch.py    nearfar predict: the run over many inputs, manifest, resume
progress.py lines and a progress bar on standard error
video.py    nearfar video: clips one after the other
video_options.py  its options
models.py   nearfar models: list, info, get, convert
data.py     nearfar data: render
datasets.py  nearfar data: list, check
sheets.py   contact sheets of photos and depth
train.py    nearfar train
prune.py    nearfar prune
eval.py     nearfar eval: list, show, run, compare, recompute
eval_text.py  nearfar eval: protocols, results and comparisons as text

Nothing torch is imported before a verb needs it. Errors are one line on stderr. Exit codes:
0 all done, 1 an input or the machine failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import typer

from nearfar.errors import ConfigError, NearfarError

if TYPE_CHECKING:
    from nearfar.pipeline.predict import Model

DONE, FAILED, USAGE, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 130, 141

# verb -> (module, its typer app or its function, one line for `nearfar --help`)
VERBS = {
    "predict": ("nearfar.cli.predict", "predict", "Depth of photos: files, folders, globs, lists."),
    "video": ("nearfar.cli.video", "video", "Depth of videos and folders of frames."),
    "models": ("nearfar.cli.models", "app", "Models by name: list, info, get, convert."),
    "data": ("nearfar.cli.data", "app", "Datasets: list, check; render scenes."),
    "train": ("nearfar.cli.train", "train", "Train from a TOML recipe, exactly resumable."),
    "prune": ("nearfar.cli.prune", "prune", "Make a model smaller without training it."),
    "eval": ("nearfar.cli.eval", "app", "Evaluate by locked protocols; compare results."),
}

# UsageError, wherever this typer keeps it (its own copy of click since 0.26)
_USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """What verbs take from outside; tests hand in models of their own."""

    load: Callable[..., Model]


def main() -> None:
    """Run the command line of this process and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str], *, services: Services | None = None) -> int:
    """Run one command line in this process; returns its exit code, never a traceback for misuse."""
    arguments = list(arguments) or ["--help"]
    try:
        os.getcwd()
    except OSError:
        return _complain("working folder: does not exist any more. Change into another", FAILED)
    command = typer.main.get_command(_build(_verb_of(arguments)))
    try:
        with (
            _terminated_like_interrupted(),
            command.make_context("nearfar", arguments, obj=services) as context,
        ):
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as done:
        return done.exit_code
    except _USAGE_ERROR as error:
        return _complain(_usage_message(error), USAGE)
    except (typer.Abort, KeyboardInterrupt):
        return _complain("interrupted", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except NearfarError as error:
        return _complain(str(error), USAGE if isinstance(error, ConfigError) else FAILED)
    return DONE


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """A plain `kill` ends the run as Ctrl-C does: what is finished is kept, and said."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _verb_of(arguments: Sequence[str]) -> str:
    """The first word that is not an option: the verb asked for, '' if none."""
    return next((word for word in arguments if not word.startswith("-")), "")


def _build(verb: str) -> typer.Typer:
    """The root command with `verb` loaded and the others as names with their help line."""
    app = typer.Typer(name="nearfar", add_completion=False, pretty_exceptions_enable=False)

    @app.callback(invoke_without_command=True)
    def root(
        context: typer.Context,
        version: bool = typer.Option(False, "--version", help="Print the version and exit."),
    ) -> None:
        """Generative depth estimation: from a photo to depth, point cloud and uncertainty."""
        if version:
            from nearfar import __version__

            typer.echo(__version__)
            raise typer.Exit
        if context.invoked_subcommand is None:
            raise ConfigError("nearfar", "no command given", f"Use one of {', '.join(VERBS)}")

    for name, (module, attribute, line) in VERBS.items():
        target = getattr(import_module(module), attribute) if name == verb else _placeholder
        if isinstance(target, typer.Typer):
            app.add_typer(target, name=name, help=line)
        else:
            app.command(name, help=line if name != verb else None)(target)
    return app


def _placeholder() -> None:
    """Stands in `nearfar --help` for a verb that was not asked for."""


def _usage_message(error: Exception) -> str:
    """The message of a usage error with the place to look, in one line."""
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "nearfar"
    text = " ".join(error.format_message().split())  # type: ignore[attr-defined]
    prefix = "" if where == "nearfar" else f"{where}: "
    return f"{prefix}{text.rstrip('.')}; see {where} --help"


def _complain(message: str, code: int) -> int:
    """Print one line to stderr; returns the exit code."""
    print(f"nearfar: error: {message}", file=sys.stderr)
    return code
