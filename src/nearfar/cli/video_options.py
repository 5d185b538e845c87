"""The options of `nearfar video`, with every default."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from nearfar.errors import ConfigError
from nearfar.pipeline.config import PredictConfig
from nearfar.pipeline.video.config import VideoConfig

from .options import (
    METRES,
    NETWORK,
    OUTPUT,
    RUN,
    AcceptLicense,
    Device,
    Dtype,
    ExrRgb,
    NoEdgeFilter,
    NoOutlierFilter,
    option,
)

_PREDICT = PredictConfig()


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoOptions:
    """The options of `nearfar video`."""

    clips: Annotated[
        list[str],
        typer.Argument(help="Video files, folders of frames, or patterns like shot.%04d.png."),
    ]
    model: Annotated[
        str,
        option(
            "-m",
            "--model",
            help="Name, folder or file of weights; auto: the embedded video model, or ppd-tiny "
            "--per-frame where there is none.",
            panel=NETWORK,
        ),
    ] = "auto"
    per_frame: Annotated[
        bool,
        option("--per-frame", help="Use an image model on every frame.", panel=NETWORK),
    ] = False
    output: Annotated[
        Path, option("-o", "--output", help="Folder for the results.", panel=OUTPUT)
    ] = Path("out")
    save: Annotated[
        list[str],
        option(
            "--save",
            help="Formats, comma-separated: vis, side (MP4), ffv1 (lossless depth), rrd (Rerun), "
            "and one file per frame: exr, npz, png16, pfm, ply, glb.",
            panel=OUTPUT,
        ),
    ] = field(default_factory=lambda: ["vis,ffv1"])
    exr_rgb: ExrRgb = False
    range: Annotated[
        str,
        option(
            "--range",
            help="Depths the colors span: clip (one for all), running, or near,far.",
            panel=OUTPUT,
        ),
    ] = "clip"
    colormap: Annotated[str, option("--colormap", help="Colors of vis and side.", panel=OUTPUT)] = (
        "spectral"
    )
    fps: Annotated[
        float | None,
        option("--fps", help="Frames per second of a folder of frames; 24.", panel=OUTPUT),
    ] = None
    steps: Annotated[
        int | None,
        option("--steps", help="Network calls per map; default: the model's own.", panel=NETWORK),
    ] = _PREDICT.steps
    ensemble_size: Annotated[
        int,
        option("--ensemble-size", help="Maps per frame, with --per-frame.", panel=NETWORK),
    ] = _PREDICT.ensemble_size
    seed: Annotated[int, option("--seed", help="One noise for the whole clip.", panel=NETWORK)] = (
        _PREDICT.seed
    )
    resolution: Annotated[
        int | None,
        option(
            "--resolution",
            help="Long side in the network, px; default: the model's own.",
            panel=NETWORK,
        ),
    ] = _PREDICT.resolution
    no_cuts: Annotated[
        bool,
        option("--no-cuts", help="Do not look for scene cuts.", panel=NETWORK),
    ] = False
    device: Device = "auto"
    dtype: Dtype = "auto"
    accept_license: AcceptLicense = False
    fov_x: Annotated[
        float | None,
        option(
            "--fov-x",
            help="Horizontal field of view in degrees; default: the model's guess.",
            panel=METRES,
        ),
    ] = _PREDICT.fov_x_deg
    no_metric: Annotated[
        bool,
        option("--no-metric", help="Leave the maps as predicted, without metres.", panel=METRES),
    ] = not _PREDICT.metric
    no_edge_filter: NoEdgeFilter = False
    no_outlier_filter: NoOutlierFilter = False
    max_frames: Annotated[
        int | None, option("--max-frames", help="Stop after so many frames.", panel=RUN)
    ] = None
    resume: Annotated[
        bool,
        option("--resume", help="Continue after the last finished window.", panel=RUN),
    ] = False
    finish: Annotated[
        bool,
        option("--finish", help="Only write the files of what is finished.", panel=RUN),
    ] = False
    overwrite: Annotated[
        bool, option("--overwrite", help="Replace existing results.", panel=RUN)
    ] = False
    skip_errors: Annotated[
        bool, option("--skip-errors", help="Continue after a failed clip.", panel=RUN)
    ] = False
    json: Annotated[
        bool, option("--json", help="One JSON line per clip on standard output.", panel=RUN)
    ] = False
    quiet: Annotated[bool, option("-q", "--quiet", help="Show errors only.", panel=RUN)] = False
    verbose: Annotated[bool, option("-v", "--verbose", help="Show more messages.", panel=RUN)] = (
        False
    )

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
