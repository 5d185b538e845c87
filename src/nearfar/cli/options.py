"""Options as dataclasses: the verb's function receives one object, --help shows its defaults.

`as_command` turns a frozen dataclass whose fields are annotated with typer options into the
signature typer reads, so no default is typed twice and no function has twenty parameters.
"""

from __future__ import annotations

import inspect
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from nearfar.errors import ConfigError
from nearfar.pipeline.config import DEFAULT_MODEL, LARGEST_SIDE, SMALLEST_SIDE, PredictConfig
from nearfar.settings import DEVICES, DTYPES

from .progress import one_line

_PREDICT = PredictConfig()
DEFAULT_SAVE = ("png16,vis,uncertainty",)
OUTPUT, NETWORK, RUN, METRES = "Output", "Network", "Run", "Metres and 3-D"

Options = TypeVar("Options")


def option(*names: str, help: str, panel: str, **more: Any) -> Any:
    """A typer option in its panel of --help."""
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)


# options of more than one verb
Device = Annotated[str, option("--device", help=", ".join(DEVICES) + ".", panel=NETWORK)]
Dtype = Annotated[str, option("--dtype", help=", ".join(DTYPES) + ".", panel=NETWORK)]
AcceptLicense = Annotated[
    bool,
    option("--accept-license", help="Accept the model's non-commercial licence.", panel=NETWORK),
]
ExrRgb = Annotated[
    bool,
    option(
        "--exr-rgb", help="Repeat the map of exr in R, G, B, for programs without Z.", panel=OUTPUT
    ),
]
NoEdgeFilter = Annotated[
    bool,
    option("--no-edge-filter", help="Keep points and faces at depth edges in 3-D.", panel=METRES),
]
NoOutlierFilter = Annotated[
    bool,
    option("--no-outlier-filter", help="Keep stray points in point clouds.", panel=METRES),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictOptions:
    """The options of `nearfar predict`."""

    inputs: Annotated[
        list[str],
        typer.Argument(help="Photos, folders, globs, .txt lists, URLs, or - for standard input."),
    ]
    model: Annotated[
        str, option("-m", "--model", help="Name, folder or file of weights.", panel=NETWORK)
    ] = DEFAULT_MODEL
    output: Annotated[
        Path, option("-o", "--output", help="Folder for the results.", panel=OUTPUT)
    ] = Path("out")
    save: Annotated[
        list[str],
        option(
            "--save",
            help="Formats, comma-separated: png16, npz, exr, pfm, uncertainty, vis, side, ply, "
            "glb. By default the uncertainty is left out where a model gives none.",
            panel=OUTPUT,
        ),
    ] = field(default_factory=lambda: list(DEFAULT_SAVE))
    exr_rgb: ExrRgb = False
    steps: Annotated[
        int | None,
        option("--steps", help="Network calls per map; default: the model's own.", panel=NETWORK),
    ] = _PREDICT.steps
    ensemble_size: Annotated[
        int,
        option(
            "--ensemble-size",
            help="Maps per photo; of 2 or more the median, and how far they differ.",
            panel=NETWORK,
        ),
    ] = _PREDICT.ensemble_size
    seed: Annotated[
        int, option("--seed", help="Same seed, same result, for every photo.", panel=NETWORK)
    ] = _PREDICT.seed
    resolution: Annotated[
        int | None,
        option(
            "--resolution",
            help=f"Long side in the network ({SMALLEST_SIDE}..{LARGEST_SIDE} px), 0 = native; "
            "default: the model's own.",
            panel=NETWORK,
        ),
    ] = _PREDICT.resolution
    guidance_scale: Annotated[
        float | None,
        option(
            "--guidance-scale",
            help="Classifier-free guidance, 0 = none (var_depth); default: the model's own.",
            panel=NETWORK,
        ),
    ] = _PREDICT.guidance_scale
    stop_at: Annotated[
        int | None,
        option(
            "--stop-at",
            help="Stop after K steps: coarser, but faster (dar).",
            panel=NETWORK,
        ),
    ] = _PREDICT.stop_at
    ensemble_start: Annotated[
        str | None,
        option(
            "--ensemble-start",
            help="What maps after the first start from: noise, or the first map, which halves "
            "their cost: first (ppd); default: the model's own.",
            panel=NETWORK,
        ),
    ] = _PREDICT.ensemble_start
    device: Device = "auto"
    dtype: Dtype = "auto"
    accept_license: AcceptLicense = False
    fov_x: Annotated[
        float | None,
        option(
            "--fov-x",
            help="Horizontal field of view in degrees; default: EXIF, else the model's guess.",
            panel=METRES,
        ),
    ] = _PREDICT.fov_x_deg
    metric_from: Annotated[
        str | None,
        option(
            "--metric-from",
            help="Model that supplies metres where the map is known only up to a factor, e.g. "
            "dar-tiny; default: the encoder's guess.",
            panel=METRES,
        ),
    ] = None
    no_metric: Annotated[
        bool,
        option("--no-metric", help="Leave the map as predicted, without metres.", panel=METRES),
    ] = not _PREDICT.metric
    scale: Annotated[
        float | None,
        option(
            "--scale",
            help="Your own scale, with --no-metric: ln(metres + 1) = scale * map + shift.",
            panel=METRES,
        ),
    ] = None
    shift: Annotated[
        float, option("--shift", help="Shift that goes with --scale.", panel=METRES)
    ] = 0.0
    no_edge_filter: NoEdgeFilter = False
    no_outlier_filter: NoOutlierFilter = False
    resume: Annotated[
        bool,
        option(
            "--resume", help="Skip photos finished with these settings; do the rest.", panel=RUN
        ),
    ] = False
    overwrite: Annotated[
        bool, option("--overwrite", help="Replace existing results.", panel=RUN)
    ] = False
    skip_errors: Annotated[
        bool,
        option(
            "--skip-errors", help="Continue after a failed input and list it at the end.", panel=RUN
        ),
    ] = False
    share: Annotated[
        str | None,
        option(
            "--share",
            help="Only the I-th of N shares of the inputs: I/N, or env (torchrun's RANK and "
            "WORLD_SIZE).",
            panel=RUN,
        ),
    ] = None
    json: Annotated[
        bool, option("--json", help="One JSON line per input on standard output.", panel=RUN)
    ] = False
    quiet: Annotated[bool, option("-q", "--quiet", help="Show errors only.", panel=RUN)] = False
    verbose: Annotated[bool, option("-v", "--verbose", help="Show more messages.", panel=RUN)] = (
        False
    )

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
            ensemble_start=self.ensemble_start,
        )


def refuse_existing(path: Path | None, *, overwrite: bool) -> None:
    """ConfigError if a file to be written is there, unless it may be replaced."""
    if path is not None and os.path.lexists(path) and not overwrite:
        raise ConfigError(path, "already exists", "Use --overwrite or another name")


def named_formats(save: list[str], *, exr_rgb: bool) -> list[str]:
    """The names in --save; ConfigError for --exr-rgb without exr."""
    names = [name for entry in save for name in entry.replace(" ", "").split(",") if name]
    if exr_rgb and "exr" not in names:
        raise ConfigError("--exr-rgb", "changes exr, which is not saved", "Add exr to --save")
    return ["exr-rgb" if exr_rgb and name == "exr" else name for name in names]


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
        text, subject = self.format(record), _SUBJECT.get()
        if subject and subject not in text:
            text = f"{subject}: {text}"
        print(f"nearfar: {text}", file=sys.stderr)


_SUBJECT: ContextVar[str] = ContextVar("subject", default="")


@contextmanager
def speaking_of(name: str) -> Iterator[None]:
    """Messages within the block begin with this name: a photo or clip of many."""
    before = _SUBJECT.set(one_line(name))
    try:
        yield
    finally:
        _SUBJECT.reset(before)


def set_verbosity(*, quiet: bool, verbose: bool) -> None:
    """Let through errors only (quiet), also information (verbose), or warnings."""
    logger = logging.getLogger("nearfar")
    logger.setLevel(logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING)
    if not any(isinstance(handler, _StandardError) for handler in logger.handlers):
        logger.addHandler(_StandardError())
