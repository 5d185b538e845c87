"""nearfar prune: the verb, its refusals, its progress, and the report beside the file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nearfar.errors import ConfigError

from .options import (
    NETWORK,
    OUTPUT,
    RUN,
    AcceptLicense,
    Device,
    as_command,
    option,
    refuse_existing,
)
from .progress import RunProgress

if TYPE_CHECKING:
    from torch import Tensor

    from nearfar.prune.config import PruneConfig
    from nearfar.prune.model import PruneState
    from nearfar.prune.report import PruneReport
    from nearfar.weights.load import LoadedModel

_SYNTHETIC = "synthetic:"
_MOST_SCENES = 4096
_PANEL = "Pruning"


@dataclass(frozen=True, kw_only=True, slots=True)
class PruneOptions:
    """The options of `nearfar prune`."""

    model: Annotated[
        str, option("-m", "--model", help="Name, folder or file of weights.", panel=NETWORK)
    ]
    output: Annotated[
        Path, option("-o", "--output", help="File to write (.safetensors).", panel=OUTPUT)
    ]
    calibration: Annotated[
        str,
        option(
            "--calibration",
            help="Photos, no depth needed: folder, glob or list, or synthetic:N scenes.",
            panel=_PANEL,
        ),
    ]
    mode: Annotated[
        str,
        option(
            "--mode",
            help="Single weights (unstructured), n of every m (nm), or whole heads and neurons, "
            "which makes the network faster (structured).",
            panel=_PANEL,
        ),
    ] = "structured"
    sparsity: Annotated[
        float, option("--sparsity", help="Share to be gone; not used by nm.", panel=_PANEL)
    ] = 0.5
    nm: Annotated[
        str | None, option("--nm", help="Zeros:inputs; 2:4 by default.", panel=_PANEL)
    ] = None
    method: Annotated[
        str,
        option("--method", help="obs; to compare: magnitude, wanda, l1.", panel=_PANEL),
    ] = "obs"
    packages: Annotated[
        int,
        option(
            "--packages", help="Parts of the network, pruned one after the other.", panel=_PANEL
        ),
    ] = 4
    steps: Annotated[
        int | None,
        option("--steps", help="Network calls per photo; default: the model's own.", panel=_PANEL),
    ] = None
    weights: Annotated[
        str,
        option(
            "--weights",
            help="How much steps count: uniform, or linear_ or log_ with decrease or increase.",
            panel=_PANEL,
        ),
    ] = "log_decrease"
    seed: Annotated[int, option("--seed", min=0, help="Of the noise.", panel=_PANEL)] = 0
    encoder: Annotated[
        str | None,
        option("--encoder", help="Encoder the model was trained with, if moved.", panel=NETWORK),
    ] = None
    device: Device = "auto"
    accept_license: AcceptLicense = False
    report: Annotated[
        Path | None,
        option("--report", help="JSON report; default: beside the output.", panel=OUTPUT),
    ] = None
    resume: Annotated[
        bool, option("--resume", help="Go on after the last finished package.", panel=RUN)
    ] = False
    overwrite: Annotated[
        bool, option("--overwrite", help="Replace existing files; start over.", panel=RUN)
    ] = False
    quiet: Annotated[bool, option("-q", "--quiet", help="Show errors only.", panel=RUN)] = False

    def config(self) -> PruneConfig:
        """What is asked for; ConfigError for impossible values."""
        from nearfar.prune.config import PruneConfig

        if self.nm is not None and self.mode != "nm":
            raise ConfigError("--nm", f"has no use with --mode {self.mode}", "Use --mode nm")
        values: dict[str, Any] = {"mode": self.mode, "method": self.method}
        return PruneConfig(
            **values,
            sparsity=self.sparsity,
            nm=_pattern(self.nm or "2:4"),
            packages=self.packages,
            steps=self.steps,
            weighting=self.weights,  # type: ignore[arg-type]  # the config checks it
            seed=self.seed,
        )

    @property
    def part(self) -> Path:
        """Where an unfinished pruning is kept."""
        return self.output.with_suffix(".part.safetensors")


def _prune(context: typer.Context, options: PruneOptions) -> None:
    """Make a model smaller without training: photos go in, a file of weights comes out.

    Layers are judged by what they are given while the photos are predicted, and what stays makes
    up for what goes. After Ctrl-C, --resume goes on after the last finished package.
    """
    config = options.config()
    _require_place(options)
    from nearfar.prune.files import identity_of, read_state, write_pruned, write_state
    from nearfar.prune.model import prune_model, remember
    from nearfar.settings import keep_freed_memory, set_threads

    keep_freed_memory()
    set_threads()
    model = _load(options, options.model)
    photos = _photos(options, model)
    whole = remember(model, photos, config)
    identity, state = identity_of(model, photos, config), None
    if options.resume and options.part.exists():
        state = read_state(options.part, identity)
        if state is None:
            raise ConfigError(options.part, "of another pruning", "Use --overwrite to start over")
        # what is left of the network, under the name and hash of what it was
        left = _load(options, str(options.part))
        model = left._replace(entry=model.entry, sha256=model.sha256)
    total = len(photos) * config.packages
    with RunProgress(total, what="photos", quiet=options.quiet) as progress:
        for _ in range(0 if state is None else state.done * len(photos)):
            progress.advance(worked=False)

        def keep(now: PruneState) -> None:
            write_state(options.part, model, now, identity)
            progress.say(f"package {now.done} finished, {len(now.layers)} layers in all")

        report, plan = prune_model(
            model,
            photos,
            config,
            whole=whole,
            state=state,
            on_photo=progress.advance,
            on_package=keep,
        )
    write_pruned(options.output, model, plan)
    _write_report(options, report)
    options.part.unlink(missing_ok=True)
    if not options.quiet:
        typer.echo(_summary(options.output, report))


prune = as_command(PruneOptions, _prune)


def _pattern(text: str) -> tuple[int, int]:
    """The two numbers of n:m."""
    first, colon, second = text.partition(":")
    if not (colon and first.isdecimal() and second.isdecimal()):
        raise ConfigError("--nm", f"{text!r} is not like 2:4")
    return int(first), int(second)


def _report_path(options: PruneOptions) -> Path:
    return options.report or options.output.with_suffix(".json")


def _require_place(options: PruneOptions) -> None:
    """Pass if the results can be written where they are asked for; nothing is replaced unasked."""
    if options.output.suffix != ".safetensors":
        raise ConfigError("--output", f"{options.output.name} does not end in .safetensors")
    if options.resume and options.overwrite:
        raise ConfigError("--resume, --overwrite", "they exclude each other")
    source = Path(options.model).expanduser()
    if source.exists() and options.output.exists() and source.samefile(options.output):
        raise ConfigError("--output", "the same file as the model", "Write to another one")
    folder = source if source.is_dir() else source.parent
    is_beside = folder.resolve() == options.output.parent.resolve()
    if source.exists() and (folder / "encoder.safetensors").is_file() and not is_beside:
        raise ConfigError(
            "--output",
            f"{folder} holds the model's own encoder, which is looked for beside the weights",
            f"Write into {folder}",
        )
    if options.overwrite:
        return
    for path in (options.output, _report_path(options)):
        refuse_existing(path, overwrite=False)
    if options.part.exists() and not options.resume:
        raise ConfigError(
            options.part,
            "an unfinished pruning",
            "Use --resume to go on, --overwrite to start over",
        )


def _load(options: PruneOptions, name: str) -> LoadedModel:
    """The model in float32, as pruning needs it."""
    from nearfar.settings import pick_device
    from nearfar.weights.load import load_predictor

    return load_predictor(
        name,
        device=pick_device(options.device),
        accept_license=options.accept_license,
        encoder=options.encoder,
    )


def _photos(options: PruneOptions, model: LoadedModel) -> list[Tensor]:
    """The calibration photos as tensors."""
    text = options.calibration
    if text.startswith(_SYNTHETIC):
        count = text.removeprefix(_SYNTHETIC)
        if not count.isdecimal() or not 1 <= int(count) <= _MOST_SCENES:
            finding = f"{text!r}: 1 to {_MOST_SCENES} scenes"
            raise ConfigError("--calibration", finding, "For example synthetic:16")
        from nearfar.prune.calibration import synthetic_photos

        with RunProgress(int(count), what="scenes", quiet=options.quiet) as progress:
            return synthetic_photos(int(count), on_photo=progress.advance)
    from nearfar.io.images import to_photo
    from nearfar.io.inputs import find_inputs
    from nearfar.pipeline.predict import network_image
    from nearfar.settings import max_pixels

    area = model.predictor.default_area
    paths = [item.path for item in find_inputs(text)]
    limit = max_pixels()
    return [network_image(to_photo(p, max_pixels=limit).rgb_HW3, area=area) for p in paths]


def _write_report(options: PruneOptions, report: PruneReport) -> None:
    from nearfar.io.atomic import atomic_path

    with atomic_path(_report_path(options)) as temporary:
        temporary.write_text(json.dumps(report.as_table(), indent=2) + "\n", encoding="utf-8")


def _summary(path: Path, report: PruneReport) -> str:
    """What was done, in a few lines."""
    share = report.parameters_after / report.parameters_before
    lines = [
        f"{path}: {report.parameters_after / 1e6:.2f} M parameters, {share:.0%} of before; "
        f"{report.zeros:.0%} zeros in what can be pruned",
        f"deviation {report.deviation:.5f} from the model before, whose maps spread "
        f"{report.spread:.3f}; on {report.compared} calibration photos with the same noise",
        f"fastest photo {report.seconds_after:.2f} s, before {report.seconds_before:.2f} s",
        str(report.as_table()["note"]),
    ]
    return "\n".join(lines)
