"""What `sonde video` can be told, with every default."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from sonde.errors import ConfigError
from sonde.pipeline.config import PredictConfig
from sonde.pipeline.video.config import VideoConfig
from sonde.settings import DEVICES, DTYPES

_PREDICT = PredictConfig()
_OUTPUT, _NETWORK, _RUN, _METRES = "Output", "Network", "Run", "Metres and 3-D"


def _option(*names: str, help: str, panel: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoOptions:
    """Everything `sonde video` can be told."""

    clips: Annotated[list[str], typer.Argument(help="Video files, or folders of frames.")]
    model: Annotated[
        str,
        _option(
            "-m",
            "--model",
            help="Name, folder or file of weights; auto: our video model, until it is there "
            "ppd-tiny --per-frame.",
            panel=_NETWORK,
        ),
    ] = "auto"
    per_frame: Annotated[
        bool,
        _option("--per-frame", help="Use an image model on every frame.", panel=_NETWORK),
    ] = False
    output: Annotated[
        Path, _option("-o", "--output", help="Folder for the results.", panel=_OUTPUT)
    ] = Path("out")
    save: Annotated[
        list[str],
        _option(
            "--save",
            help="Formats, comma-separated: vis, side (MP4), ffv1 (lossless depth), and one file "
            "per frame: exr, npz, png16, pfm, ply, glb.",
            panel=_OUTPUT,
        ),
    ] = field(default_factory=lambda: ["vis,ffv1"])
    range: Annotated[
        str,
        _option(
            "--range",
            help="Depths the colours span: clip (one for all), running, or near,far.",
            panel=_OUTPUT,
        ),
    ] = "clip"
    colormap: Annotated[
        str, _option("--colormap", help="Colours of vis and side.", panel=_OUTPUT)
    ] = "spectral"
    fps: Annotated[
        float | None,
        _option("--fps", help="Frames per second of a folder of frames; 24.", panel=_OUTPUT),
    ] = None
    steps: Annotated[
        int | None,
        _option("--steps", help="Network calls per map; default: the model's own.", panel=_NETWORK),
    ] = _PREDICT.steps
    ensemble_size: Annotated[
        int,
        _option("--ensemble-size", help="Maps per frame, with --per-frame.", panel=_NETWORK),
    ] = _PREDICT.ensemble_size
    seed: Annotated[
        int, _option("--seed", help="One noise for the whole clip.", panel=_NETWORK)
    ] = _PREDICT.seed
    resolution: Annotated[
        int | None,
        _option(
            "--resolution",
            help="Long side in the network, px; default: the model's own.",
            panel=_NETWORK,
        ),
    ] = _PREDICT.resolution
    no_cuts: Annotated[
        bool,
        _option("--no-cuts", help="Do not look for scene cuts.", panel=_NETWORK),
    ] = False
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
            help="Horizontal field of view in degrees; default: the model's guess.",
            panel=_METRES,
        ),
    ] = _PREDICT.fov_x_deg
    no_metric: Annotated[
        bool,
        _option("--no-metric", help="Keep the maps as drawn, without metres.", panel=_METRES),
    ] = not _PREDICT.metric
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
    max_frames: Annotated[
        int | None, _option("--max-frames", help="Stop after so many frames.", panel=_RUN)
    ] = None
    resume: Annotated[
        bool,
        _option("--resume", help="Go on after the last finished window.", panel=_RUN),
    ] = False
    finish: Annotated[
        bool,
        _option("--finish", help="Only write the files of what is finished.", panel=_RUN),
    ] = False
    overwrite: Annotated[
        bool, _option("--overwrite", help="Replace existing results.", panel=_RUN)
    ] = False
    skip_errors: Annotated[
        bool, _option("--skip-errors", help="Go on after a failed clip.", panel=_RUN)
    ] = False
    json: Annotated[
        bool, _option("--json", help="One JSON line per clip on standard output.", panel=_RUN)
    ] = False
    quiet: Annotated[bool, _option("-q", "--quiet", help="Only errors.", panel=_RUN)] = False
    verbose: Annotated[bool, _option("-v", "--verbose", help="Tell more.", panel=_RUN)] = False

    def config(self) -> VideoConfig:
        """The settings of the clip; ConfigError for impossible values."""
        return VideoConfig(
            predict=PredictConfig(
                steps=self.steps,
                ensemble_size=self.ensemble_size,
                seed=self.seed,
                resolution=self.resolution,
                fov_x_deg=self.fov_x,
                metric=not self.no_metric,
            ),
            cuts=not self.no_cuts,
            max_frames=self.max_frames,
        )

    def rate(self) -> Fraction | None:
        """Frames per second of folders, as an exact number; ConfigError if it is not one."""
        if self.fps is None:
            return None
        if not 0.01 <= self.fps <= 1000:
            raise ConfigError("--fps", f"{self.fps:g} is not within 0.01..1000")
        whole = round(self.fps * 1.001)
        if abs(whole / 1.001 - self.fps) < 0.005 and abs(whole - self.fps) > 0.005:
            return Fraction(whole * 1000, 1001)  # 23.976, 29.97, 59.94
        return Fraction(self.fps).limit_denominator(1000)
