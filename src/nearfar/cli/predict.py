"""nearfar predict: wrong usage is reported before any work starts."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from nearfar.errors import ConfigError, InputError
from nearfar.predict_config import MAX_BY_HAND

from .options import DEFAULT_SAVE, PredictOptions, as_command, named_formats, set_verbosity

if TYPE_CHECKING:
    from nearfar.io.inputs import InputItem
    from nearfar.pipeline.predict import Model

    from .batch import Job


def _predict(context: typer.Context, options: PredictOptions) -> None:
    """Predict depth of photos and write it as files.

    A folder's tree is mirrored below the output folder, where manifest.jsonl says what was done.
    Exit code 0: all done; 1: some inputs failed; 2: wrong usage; 130: interrupted.
    """
    from . import FAILED, INTERRUPTED
    from .batch import Outcome, failure_list, require_folder, run_job

    set_verbosity(quiet=options.quiet, verbose=options.verbose)
    job, lost = plan(options)
    require_folder(job.output)
    for line in lost if options.json else ():
        print(json.dumps({"input": None, "outputs": [], "error": line}), flush=True)
    outcome = run_job(job, _load(context, options, job.rank)) if job.items else Outcome()
    if outcome.interrupted:
        _log(f"interrupted, {outcome.done} of {len(job.items)} done; continue with --resume")
        raise typer.Exit(INTERRUPTED)
    outcome.failures = lost + outcome.failures
    if outcome.failures:
        if len(job.items) + len(lost) > 1:
            for line in failure_list(outcome, len(job.items) + len(lost)):
                _log(line)
        raise typer.Exit(FAILED)
    if not options.quiet and len(job.items) > 1:
        print(f"nearfar: {outcome.done} done, {outcome.skipped} skipped", file=sys.stderr)


predict = as_command(PredictOptions, _predict)


def plan(options: PredictOptions) -> tuple[Job, list[str]]:
    """The job of this process, and the inputs (one line each) that do not exist, if skipped.

    ConfigError for anything that could not work: formats, values, contradictions, 3-D without
    metres, results that exist already.
    """
    from nearfar.geometry.clouds import CloudOptions
    from nearfar.io.writers import check_formats
    from nearfar.settings import rank_and_world

    from .batch import Job

    config = options.config()
    formats = check_formats(named_formats(options.save, exr_rgb=options.exr_rgb))
    _refuse_contradictions(options, formats)
    items, lost = _inputs(options)
    rank, world = rank_and_world(options.share)
    _refuse_photos_as_results(items, options.output, formats)
    items = items[rank::world]
    if not (options.resume or options.overwrite):
        _refuse_existing(items, options.output, formats)
    job = Job(
        items=items,
        config=config,
        formats=formats,
        optional=frozenset({"uncertainty"} if options.save == list(DEFAULT_SAVE) else ()),
        output=options.output,
        cloud=CloudOptions(
            edge_filter=not options.no_edge_filter, outlier_filter=not options.no_outlier_filter
        ),
        by_hand=None if options.scale is None else (options.scale, options.shift),
        extra_settings={"dtype": options.dtype}
        | ({} if options.metric_from is None else {"metric_from": options.metric_from}),
        overwrite=options.overwrite,
        skip_errors=options.skip_errors,
        json_lines=options.json,
        quiet=options.quiet,
        rank=rank,
    )
    return job, lost


def _refuse_contradictions(options: PredictOptions, formats: list[str]) -> None:
    """ConfigError for options that exclude or miss each other."""
    from nearfar.io.writers import WRITERS

    if not formats:
        raise ConfigError("--save", "no format given", f"Formats: {', '.join(WRITERS)}")
    if options.resume and options.overwrite:
        raise ConfigError("--resume, --overwrite", "they exclude each other")
    if options.scale is None and options.shift:
        raise ConfigError("--shift", "needs --scale", "Give both")
    if options.resolution == 0 and not options.quiet:
        _log("--resolution 0: the network works at each photo's own size, however large")
    if options.metric_from is not None and options.no_metric:
        raise ConfigError("--metric-from, --no-metric", "one asks for metres, the other for none")
    if options.scale is not None and not options.no_metric:
        raise ConfigError(
            "--scale", "needs --no-metric", "Without it the map is in the model's own metres"
        )
    if options.scale is not None and not 0 < options.scale <= MAX_BY_HAND:
        finding = f"{options.scale:g} is not above 0 and at most {MAX_BY_HAND:g}"
        raise ConfigError("--scale", finding)
    if not -MAX_BY_HAND <= options.shift <= MAX_BY_HAND:  # also false for NaN
        finding = f"{options.shift:g} is not within -{MAX_BY_HAND:g}..{MAX_BY_HAND:g}"
        raise ConfigError("--shift", finding)
    scenes = [name for name in formats if WRITERS[name].is_scene]
    if scenes and options.no_metric and options.scale is None:
        raise ConfigError(
            "--save", f"{', '.join(scenes)} needs metres", "Leave out --no-metric or give --scale"
        )


def _inputs(options: PredictOptions) -> tuple[list[InputItem], list[str]]:
    """All photos, and one line for each wrong line of a list or, with --skip-errors, wrong source.

    The wrong lines of a list never keep the others from being worked on.
    """
    from nearfar.io.inputs import find_inputs

    sources, faults = list(options.inputs), list[InputError]()
    if options.skip_errors:
        for source in options.inputs:
            try:
                find_inputs(source, exclude=options.output, faults=[])
            except InputError as error:
                sources.remove(source)
                faults.append(error)
    items = find_inputs(sources, exclude=options.output, faults=faults) if sources else []
    for fault in faults:
        _log(str(fault))
    return items, [str(fault) for fault in faults]


def _refuse_existing(items: list[InputItem], output: Path, formats: list[str]) -> None:
    """ConfigError that counts the results which would be replaced."""
    from nearfar.io.writers import existing_outputs

    found = [
        existing_outputs(output / item.relative.parent, formats, stem=item.relative.name)
        for item in items
    ]
    hit = [files for files in found if files]
    if hit:
        raise ConfigError(
            hit[0][0],
            f"already exists, as do results of {len(hit)} of {len(items)} inputs",
            "Use --resume to keep them, --overwrite to replace them, or another -o",
        )


def _refuse_photos_as_results(items: list[InputItem], output: Path, formats: list[str]) -> None:
    """ConfigError if a result would stand where one of the photos lies, whatever --overwrite says.

    A photo beside the results is no result: `a.png` and `a_depth.png` of a camera, for example.
    """
    from nearfar.io.writers import possible_names

    photos = {os.path.realpath(item.path) for item in items}
    for item in items:
        folder = Path(os.path.realpath(output / item.relative.parent))
        for name in sorted(possible_names(formats, stem=item.relative.name)):
            if str(folder / name) in photos:
                raise ConfigError(
                    folder / name,
                    f"is an input, and the place of {item.path}'s result",
                    "Use another -o",
                )


def _load(context: typer.Context, options: PredictOptions, rank: int) -> Model:
    """The model, on the rank's own GPU if several processes share a machine."""
    from nearfar.settings import hint_at_cpu_build, set_threads

    if context.obj is not None:
        load = context.obj.load
    else:
        from nearfar.pipeline.load import load
    set_threads()
    hint_at_cpu_build()
    device = options.device
    if options.share is not None and device in ("auto", "cuda"):
        import torch

        if torch.cuda.is_available():
            device = f"cuda:{rank % torch.cuda.device_count()}"
    source = {} if options.metric_from is None else {"metric_from": options.metric_from}
    model: Model = load(
        options.model,
        device=device,
        dtype=options.dtype,
        accept_license=options.accept_license,
        **source,
    )
    return model


def _log(message: str) -> None:
    """One line on standard error."""
    print(f"nearfar: error: {message}", file=sys.stderr)
