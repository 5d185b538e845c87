"""nearfar eval: list and show protocols, run one, compare two results, compute one again."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nearfar.errors import ConfigError
from nearfar.pipeline.config import DEFAULT_MODEL, FAMILY_OPTIONS, PredictConfig

from .eval_text import print_comparison, print_protocol, print_result, protocol_facts
from .options import as_command, set_verbosity
from .progress import RunProgress

if TYPE_CHECKING:
    from nearfar.data.record import Dataset
    from nearfar.eval.predictions import Estimator
    from nearfar.eval.protocol import Protocol

app = typer.Typer(help="Evaluation by locked protocols.")
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_PREDICT = PredictConfig()


@app.command("list")
def list_protocols(as_json: JsonOption = False) -> None:
    """Show every protocol: status, data set, alignment, number of images."""
    from nearfar.eval.protocol import load_protocol, protocol_ids

    protocols = [load_protocol(name) for name in protocol_ids()]
    if as_json:
        typer.echo(json.dumps([protocol_facts(p) for p in protocols], indent=2))
        return
    line = "{:26} {:10} {:11} {:17} {:5} {:>5}"
    typer.echo(line.format("protocol", "status", "data set", "alignment", "scope", "count"))
    for p in protocols:
        scope = "" if p.alignment.scope == "none" else p.alignment.scope
        has_sets = bool(p.table.get("sets"))
        count = "sets" if has_sets else str(p.dataset.count or "all")
        data = "by set" if has_sets else p.dataset.name
        typer.echo(line.format(p.id, p.status, data, p.alignment.id, scope, count).rstrip())
    typer.echo("Details: nearfar eval show ID. Protocols with sets are run as ID-SET.")


@app.command("show")
def show(
    protocol: Annotated[str, typer.Argument(help="An id of `nearfar eval list`.")],
    as_json: JsonOption = False,
) -> None:
    """Show every field of a protocol, its hash, and what a correct run gives."""
    from nearfar.eval.protocol import load_protocol

    chosen = load_protocol(protocol)
    if as_json:
        typer.echo(json.dumps(protocol_facts(chosen) | {"text": chosen.table}, indent=2))
        return
    print_protocol(chosen)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalOptions:
    """Everything `nearfar eval run` can be told."""

    model: Annotated[
        str, typer.Option("-m", "--model", help="Name, folder or file; or flat, row-ramp.")
    ] = DEFAULT_MODEL
    protocol: Annotated[
        str, typer.Option("-p", "--protocol", help="An id of `nearfar eval list`.")
    ] = "synthetic"
    root: Annotated[
        Path | None, typer.Option("--root", help="Folder, tar or zip of the data set.")
    ] = None
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of the run; default eval/...")
    ] = None
    list_file: Annotated[
        Path | None, typer.Option("--list", help="The published list of the data set.")
    ] = None
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only the first N samples (a subset).")
    ] = None
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Network calls; default: the model's own.")
    ] = _PREDICT.steps
    ensemble_size: Annotated[
        int, typer.Option("--ensemble-size", min=1, help="Maps per photo; from 2: uncertainty.")
    ] = _PREDICT.ensemble_size
    resolution: Annotated[
        int | None, typer.Option("--resolution", help="Long side in the network, 0 = native.")
    ] = _PREDICT.resolution
    guidance_scale: Annotated[
        float | None, typer.Option("--guidance-scale", min=0, help="Guidance (var_depth).")
    ] = _PREDICT.guidance_scale
    stop_at: Annotated[
        int | None, typer.Option("--stop-at", min=1, help="Only the first K steps (dar).")
    ] = _PREDICT.stop_at
    ensemble_start: Annotated[
        str | None, typer.Option("--ensemble-start", help="Later maps: noise or first (ppd).")
    ] = _PREDICT.ensemble_start
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Default: the protocol's seed.")
    ] = None
    changes: Annotated[
        list[str],
        typer.Option("--set", help="KEY=VALUE in the protocol; gives a custom-* id."),
    ] = field(default_factory=list)
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps, xpu.")] = "auto"
    dtype: Annotated[str, typer.Option("--dtype", help="auto, fp32, bf16, fp16.")] = "auto"
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Accept a non-commercial licence.")
    ] = False
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was ended early.")
    ] = False
    share: Annotated[
        str | None,
        typer.Option("--share", help="Only share I/N; env: torchrun's RANK and WORLD_SIZE."),
    ] = None
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write report.html as well.")
    ] = True
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only errors.")] = False
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Tell more.")] = False


def _run(context: typer.Context, options: EvalOptions) -> None:
    """Run a model through a protocol: table of samples, JSON, pictures, report.

    Every finished sample is on the disk; --resume goes on after a kill. With --share each process
    takes its part (env: started by torchrun or accelerate); the last puts the result together.
    """
    from nearfar.eval.protocol import load_protocol, override
    from nearfar.eval.results import load_result
    from nearfar.eval.run import require_measurable, run_protocol, select
    from nearfar.settings import rank_and_world

    from . import INTERRUPTED

    set_verbosity(quiet=options.quiet, verbose=options.verbose)
    protocol = override(load_protocol(options.protocol), options.changes)
    require_measurable(protocol)
    baseline = _baseline(protocol, options)
    dataset, facts = _dataset(protocol, options)
    share = rank_and_world(options.share)
    chosen = select(protocol, dataset.sample_ids, options.limit)
    started = time.perf_counter()
    estimator = baseline or _estimator(context, protocol, options, share)
    plan = _plan(protocol, options, facts, share, time.perf_counter() - started)
    folder = options.output or Path("eval") / f"{Path(options.model).name}_{protocol.id}"
    total = len(range(share[0], len(chosen), share[1]))
    try:
        with RunProgress(total, what="images", quiet=options.quiet) as progress:
            done = run_protocol(
                protocol, dataset, estimator, folder=folder, plan=plan, progress=progress
            )
    except KeyboardInterrupt:
        print(f"nearfar: interrupted; go on with --resume -o {folder}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    if done is None:
        _log(options, f"share {share[0]} of {share[1]} is done; others still work")
        return
    result = load_result(done)
    if options.json:
        typer.echo(result.to_json().rstrip())
    elif not options.quiet:
        print_result(result)
    written = str(done)
    if options.report:
        from nearfar.eval.report import write_report

        written = str(write_report(folder))
    _log(options, f"written: {written}")


app.command("run")(as_command(EvalOptions, _run))


@app.command("compare")
def compare_results(
    a: Annotated[Path, typer.Argument(help="Folder or result.json.")],
    b: Annotated[Path, typer.Argument(help="Folder or result.json.")],
    as_json: JsonOption = False,
) -> None:
    """Say of each metric whether two results differ by more than the paired 95 % interval."""
    from nearfar.eval.compare import compare

    found = compare(a, b)
    if as_json:
        rows = [one._asdict() for one in found.differences]
        typer.echo(json.dumps({"protocol": found.a.title, "differences": rows}, indent=2))
        return
    print_comparison(found, a, b)


@app.command("recompute")
def recompute_result(
    folder: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    report: Annotated[bool, typer.Option(help="Write report.html as well.")] = True,
) -> None:
    """Compute the result again from samples.csv, without the model, and write it."""
    from nearfar.eval.summaries import recompute

    print_result(recompute(folder))
    if report:
        from nearfar.eval.report import write_report

        write_report(folder)


def _dataset(protocol: Protocol, options: EvalOptions) -> tuple[Dataset, dict[str, Any]]:
    """The protocol's data set below the root, and what the result says about it."""
    from nearfar.data.catalog import find_dataset, list_identity, open_dataset
    from nearfar.settings import cache_folder

    part = protocol.dataset
    card = find_dataset(part.name)
    if not card.needs_files and (options.root or options.list_file):
        name = "--root" if options.root else "--list"
        raise ConfigError(name, f"{protocol.id} reads no files: {card.title}", f"Drop {name}")
    given = {key: str(value) for key, value in part.options.items()}
    if "cache" in card.options and "cache" not in given:  # decides no number
        given["cache"] = str(cache_folder() / "rendered")
    dataset = open_dataset(
        part.name,
        options.root,
        split=part.split,
        list_file=options.list_file,
        options=given,
    )
    identity = list_identity(card, dataset)
    facts = {
        "root": "" if options.root is None else options.root.name,
        "fingerprint": identity.sha256,
        "official": identity.official or "",
        "licence": card.licence,
        "commercial": card.commercial,
    }
    return dataset, facts


def _baseline(protocol: Protocol, options: EvalOptions) -> Estimator | None:
    """The baseline of this name; ConfigError where the protocol refuses its value space."""
    from nearfar.eval.predictions import BASELINES, BaselineEstimator

    if options.model not in BASELINES:
        return None
    given = {
        "--ensemble-size": options.ensemble_size != _PREDICT.ensemble_size,
        "--steps": options.steps is not None,
        "--resolution": options.resolution is not None,
        "--guidance-scale": options.guidance_scale is not None,
        "--stop-at": options.stop_at is not None,
        "--ensemble-start": options.ensemble_start is not None,
        "--seed": options.seed is not None,
    }
    for name in (name for name, is_given in given.items() if is_given):
        raise ConfigError(name, f"means nothing to {options.model}, which sees no photo", "Drop it")
    accepts = protocol.prediction.accepts
    return BaselineEstimator(options.model, accepts=accepts, protocol=protocol.id)


def _estimator(
    context: typer.Context, protocol: Protocol, options: EvalOptions, share: tuple[int, int]
) -> Estimator:
    """The model, asked for values that the protocol takes."""
    from nearfar.eval.predictions import EstimateSettings, ModelEstimator, VideoEstimator
    from nearfar.pipeline.video.windows import Windowed

    load: Callable[..., Any]
    if context.obj is not None:
        load = context.obj.load
    else:
        from nearfar.pipeline.video.load import load_either as load
    from nearfar.settings import keep_freed_memory, set_threads

    keep_freed_memory()
    set_threads()
    model = load(
        options.model,
        device=_device(options.device, share),
        dtype=options.dtype,
        accept_license=options.accept_license,
    )
    settings = EstimateSettings(
        steps=options.steps,
        ensemble_size=options.ensemble_size,
        seed=protocol.inference.seed if options.seed is None else options.seed,
        resolution=options.resolution,
        guidance_scale=options.guidance_scale,
        stop_at=options.stop_at,
        ensemble_start=options.ensemble_start,
    )
    accepts = protocol.prediction.accepts
    if isinstance(model, Windowed):
        return VideoEstimator(model, accepts=accepts, protocol=protocol.id, settings=settings)
    return ModelEstimator(model, accepts=accepts, protocol=protocol.id, settings=settings)


def _plan(
    protocol: Protocol,
    options: EvalOptions,
    facts: dict[str, Any],
    share: tuple[int, int],
    load_seconds: float,
) -> Any:
    from nearfar.eval.predictions import BASELINES
    from nearfar.eval.run import RunPlan
    from nearfar.settings import pick_device, pick_dtype

    is_baseline = options.model in BASELINES  # numpy, whatever the machine has
    device = pick_device("cpu" if is_baseline else _device(options.device, share))
    dtype = "float64" if is_baseline else str(pick_dtype(options.dtype, device))
    settings = {
        "steps": options.steps or "model",
        "ensemble_size": options.ensemble_size,
        "seed": protocol.inference.seed if options.seed is None else options.seed,
        "resolution": "model" if options.resolution is None else options.resolution,
    }
    asked = {name: getattr(options, name) for name in FAMILY_OPTIONS}
    settings |= {name: value for name, value in asked.items() if value is not None}
    return RunPlan(
        limit=options.limit,
        share=share,
        resume=options.resume,
        settings=settings,
        dataset=facts,
        device=str(device).partition(":")[0],
        dtype=dtype.removeprefix("torch."),
        command=shlex.join(["nearfar", *sys.argv[1:]]),
        load_seconds=round(load_seconds, 3),
    )


def _device(name: str, share: tuple[int, int]) -> str:
    """The device of this process: one GPU each where several processes share a machine."""
    if share[1] > 1 and name in ("auto", "cuda"):
        import torch

        if torch.cuda.is_available():
            return f"cuda:{share[0] % torch.cuda.device_count()}"
    return name


def _log(options: EvalOptions, text: str) -> None:
    if not options.quiet:
        print(f"nearfar: {text}", file=sys.stderr)
