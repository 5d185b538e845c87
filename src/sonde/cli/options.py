"""Options as dataclasses: the verb's function receives one object, --help shows its defaults.

`as_command` turns a frozen dataclass whose fields are annotated with typer options into the
signature typer reads, so no default is typed twice and no function has twenty parameters.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from sonde.pipeline.config import DEFAULT_MODEL, LARGEST_SIDE, SMALLEST_SIDE, PredictConfig
from sonde.settings import DEVICES, DTYPES

_PREDICT = PredictConfig()
_OUTPUT, _NETWORK, _RUN, _METRES = "Output", "Network", "Run", "Metres and 3-D"

Options = TypeVar("Options")


def _option(*names: str, help: str, panel: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictOptions:
    """Everything `sonde predict` can be told."""

    inputs: Annotated[
        list[str],
        typer.Argument(help="Photos, folders, globs, .txt lists, URLs, or - for standard input."),
    ]
    model: Annotated[
        str, _option("-m", "--model", help="Name, folder or file of weights.", panel=_NETWORK)
    ] = DEFAULT_MODEL
    output: Annotated[
        Path, _option("-o", "--output", help="Folder for the results.", panel=_OUTPUT)
    ] = Path("out")
    save: Annotated[
        list[str],
        _option(
            "--save",
            help="Formats, comma-separated: png16, npz, exr, pfm, vis, side, ply, glb.",
            panel=_OUTPUT,
        ),
    ] = field(default_factory=lambda: ["png16,vis"])
    steps: Annotated[
        int | None,
        _option("--steps", help="Network calls per map; default: the model's own.", panel=_NETWORK),
    ] = _PREDICT.steps
    ensemble_size: Annotated[
        int,
        _option(
            "--ensemble-size",
            help="Maps per photo; from 2 on, their median and uncertainty.",
            panel=_NETWORK,
        ),
    ] = _PREDICT.ensemble_size
    seed: Annotated[
        int, _option("--seed", help="Same seed, same result, for every photo.", panel=_NETWORK)
    ] = _PREDICT.seed
    resolution: Annotated[
        int | None,
        _option(
            "--resolution",
            help=f"Long side in the network ({SMALLEST_SIDE}..{LARGEST_SIDE} px), 0 = native; "
            "default: the model's own.",
            panel=_NETWORK,
        ),
    ] = _PREDICT.resolution
    guidance_scale: Annotated[
        float | None,
        _option(
            "--guidance-scale",
            help="Away from what the model says without the photo (var_depth); default: its own.",
            panel=_NETWORK,
        ),
    ] = _PREDICT.guidance_scale
    stop_at: Annotated[
        int | None,
        _option(
            "--stop-at",
            help="Run only the first K steps, coarser and sooner (dar).",
            panel=_NETWORK,
        ),
    ] = _PREDICT.stop_at
    device: Annotated[str, _option("--device", help=", ".join(DEVICES) + ".", panel=_NETWORK)] = (
        "auto"
    )
    dtype: Annotated[str, _option("--dtype", help=", ".join(DTYPES) + ".", panel=_NETWORK)] = "auto"
    accept_license: Annotated[
        bool,
        _option(
            "--accept-license", help="Accept the model's non-commercial licence.", panel=_NETWORK
        ),
    ] = False
    fov_x: Annotated[
        float | None,
        _option(
            "--fov-x",
            help="Horizontal field of view in degrees; default: EXIF, else the model's guess.",
            panel=_METRES,
        ),
    ] = _PREDICT.fov_x_deg
    no_metric: Annotated[
        bool,
        _option("--no-metric", help="Keep the map as drawn, without metres.", panel=_METRES),
    ] = not _PREDICT.metric
    scale: Annotated[
        float | None,
        _option(
            "--scale",
            help="Metres by hand, with --no-metric: ln(metres + 1) = scale * map + shift.",
            panel=_METRES,
        ),
    ] = None
    shift: Annotated[
        float, _option("--shift", help="Shift that goes with --scale.", panel=_METRES)
    ] = 0.0
    no_edge_filter: Annotated[
        bool,
        _option(
            "--no-edge-filter", help="Keep points and faces at depth edges in 3-D.", panel=_METRES
        ),
    ] = False
    no_outlier_filter: Annotated[
        bool,
        _option("--no-outlier-filter", help="Keep stray points in point clouds.", panel=_METRES),
    ] = False
    resume: Annotated[
        bool,
        _option(
            "--resume", help="Skip photos finished with these settings; do the rest.", panel=_RUN
        ),
    ] = False
    overwrite: Annotated[
        bool, _option("--overwrite", help="Replace existing results.", panel=_RUN)
    ] = False
    skip_errors: Annotated[
        bool,
        _option(
            "--skip-errors", help="Go on after a failed input, list it at the end.", panel=_RUN
        ),
    ] = False
    json: Annotated[
        bool, _option("--json", help="One JSON line per input on standard output.", panel=_RUN)
    ] = False
    quiet: Annotated[bool, _option("-q", "--quiet", help="Only errors.", panel=_RUN)] = False
    verbose: Annotated[bool, _option("-v", "--verbose", help="Tell more.", panel=_RUN)] = False

    def config(self) -> PredictConfig:
        """The settings of each prediction; ConfigError for impossible values."""
        return PredictConfig(
            steps=self.steps,
            ensemble_size=self.ensemble_size,
            seed=self.seed,
            resolution=self.resolution,
            fov_x_deg=self.fov_x,
            metric=not self.no_metric,
            guidance_scale=self.guidance_scale,
            stop_at=self.stop_at,
        )


def as_command(
    options: type[Options], work: Callable[[typer.Context, Options], None]
) -> Callable[..., None]:
    """`work` as a function with one keyword parameter per field of `options`, for typer."""
    hints = get_type_hints(options, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("context", keyword, annotation=typer.Context)]
    for item in fields(options):  # type: ignore[arg-type]
        default = item.default
        if item.default_factory is not MISSING:
            default = item.default_factory()
        elif default is MISSING:
            default = inspect.Parameter.empty
        parameters.append(
            inspect.Parameter(item.name, keyword, default=default, annotation=hints[item.name])
        )

    def command(context: typer.Context, **values: Any) -> None:
        work(context, options(**values))

    command.__name__, command.__doc__ = work.__name__, work.__doc__
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


class _StandardError(logging.Handler):
    """Writes to whatever sys.stderr is at that moment, so that a progress bar can stand below."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"sonde: {self.format(record)}", file=sys.stderr)


def set_verbosity(*, quiet: bool, verbose: bool) -> None:
    """Let through errors only (quiet), also information (verbose), or warnings."""
    logger = logging.getLogger("sonde")
    logger.setLevel(logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING)
    if not any(isinstance(handler, _StandardError) for handler in logger.handlers):
        logger.addHandler(_StandardError())
