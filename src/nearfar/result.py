"""The one output contract: `DepthResult`, a depth map that says what its numbers mean.

Numpy only, never torch. `DepthKind` states how `depth` relates to metres. The convenience methods
(`save`, `points`, `visualise`) import `io`, `geometry` and `viz` when called, so that holding a
result costs nothing (docs/decisions/001-result-methods.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nearfar.errors import ConfigError, MetricError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nearfar.geometry.clouds import CloudOptions


class DepthKind(StrEnum):
    """How `depth` relates to z-depth in metres; larger is always farther."""

    METRIC = "metric"  # metres = depth
    SCALE_INVARIANT = "scale_invariant"  # metres = s * depth
    AFFINE_DEPTH = "affine_depth"  # metres = s * depth + t
    AFFINE_LOG_DEPTH = "affine_log_depth"  # ln(metres + 1) = s * depth + t, s > 0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DepthResult:
    """A depth map at the input's resolution, with its meaning, camera and origin.

    depth: [H,W] float32, larger = farther; NaN where `valid` is False. valid: [H,W] bool (both are
    made to agree: a depth that is not finite is not valid, one that is not valid becomes NaN).
    sky: [H,W] bool or None. uncertainty: [H,W] float32, standard deviation in the unit of `depth`,
    from the spread of two or more aligned hypotheses, or None: of the error where the weights were
    calibrated (map's own scale taken as right), else the bare spread. intrinsics: [3,3] float64,
    pixels of the original image, OpenCV axes, pixel centers at +0.5. image: [H,W,3] uint8, the
    photo itself, or None.
    """

    depth: NDArray[np.float32]
    kind: DepthKind
    valid: NDArray[np.bool_]
    sky: NDArray[np.bool_] | None = None
    uncertainty: NDArray[np.float32] | None = None
    intrinsics: NDArray[np.float64] | None = None
    fov_x_deg: float | None = None
    metric_reference: str | None = None
    model: str = ""
    weights_sha256: str = ""
    seed: int | None = None
    steps: int | None = None
    licence: str = ""
    seconds: float | None = None
    image: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        if self.kind not in list(DepthKind):
            raise ConfigError(
                "DepthResult.kind", f"unknown kind {self.kind!r}", f"Use {', '.join(DepthKind)}"
            )
        object.__setattr__(self, "kind", DepthKind(self.kind))
        if self.depth.ndim != 2 or self.depth.dtype != np.float32:
            raise ConfigError(
                "DepthResult.depth",
                f"expected float32 [H,W], got {self.depth.dtype} {list(self.depth.shape)}",
            )
        for name in ("valid", "sky", "uncertainty"):
            array = getattr(self, name)
            if array is not None and array.shape != self.depth.shape:
                raise ConfigError(
                    f"DepthResult.{name}",
                    f"shape {list(array.shape)} differs from depth {list(self.depth.shape)}",
                )
        if self.intrinsics is not None and self.intrinsics.shape != (3, 3):
            raise ConfigError("DepthResult.intrinsics", f"shape {list(self.intrinsics.shape)}")
        if self.image is not None and self.image.shape != (*self.depth.shape, 3):
            raise ConfigError("DepthResult.image", f"shape {list(self.image.shape)}")
        valid = self.valid.astype(np.bool_) & np.isfinite(self.depth)
        object.__setattr__(self, "valid", valid)
        if not np.array_equal(valid, ~np.isnan(self.depth)):
            object.__setattr__(self, "depth", np.where(valid, self.depth, np.float32(np.nan)))

    def __repr__(self) -> str:
        """Size, meaning, range and origin in three lines; arrays by name, not by value."""
        height, width = self.size_hw
        known = self.depth[self.valid]
        unit = " m" if self.is_metric else ""
        depths = f"{known.min():.4g} to {known.max():.4g}{unit}" if known.size else "nothing valid"
        optional = ("sky", "uncertainty", "intrinsics", "image")
        arrays = ["depth", "valid", *(name for name in optional if getattr(self, name) is not None)]
        facts = ("model", "metric_reference", "fov_x_deg", "seed", "steps", "seconds", "licence")
        told = ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name in facts
            if (value := getattr(self, name)) not in (None, "")
        )
        share = 100 * known.size / max(1, self.depth.size)
        head = f"DepthResult {height}x{width} {self.kind}: {depths}, {share:.3g} % valid"
        return f"<{head}\n  arrays: {', '.join(arrays)}\n  {told or 'origin unknown'}>"

    def __getitem__(self, name: str) -> Any:
        """Item access to the fields, for code written for other depth libraries."""
        if name not in self.keys():
            raise KeyError(f"{name}: not a field of DepthResult; fields are {list(self.keys())}")
        return getattr(self, name)

    def keys(self) -> tuple[str, ...]:
        """The names of the fields."""
        return tuple(f.name for f in fields(self))

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the map (that of the input photo)."""
        return self.depth.shape[0], self.depth.shape[1]

    @property
    def is_metric(self) -> bool:
        """Whether `depth` is in metres."""
        return self.kind is DepthKind.METRIC

    def save(
        self,
        folder: str | Path,
        formats: Sequence[str] = ("png16", "vis"),
        *,
        stem: str = "depth",
        cloud: CloudOptions | None = None,
    ) -> list[Path]:
        """Write the map in the named formats as `folder/stem_*`; returns the files written.

        Formats: png16, npz, exr, exr-rgb, pfm, vis, side, ply, glb. `cloud` says which points enter
        ply and glb. Errors: OutputError, MetricError (3-D of a map without scale or camera),
        ConfigError (unknown format).
        """
        from nearfar.io.writers import save_result

        return save_result(self, Path(folder), list(formats), stem=stem, cloud=cloud)

    def points(self) -> NDArray[np.float32]:
        """Points [P,3] in metres, OpenCV axes (x right, y down, z forward), of the valid pixels."""
        from nearfar.geometry.clouds import backproject

        intrinsics_33 = self.require_camera()
        return backproject(self.depth, intrinsics_33)[self.valid]

    def visualise(
        self, colormap: str = "spectral", *, limits: tuple[float, float] | None = None
    ) -> NDArray[np.uint8]:
        """Color picture [H,W,3] uint8, near = warm, invalid = black.

        limits: depths of the nearest and the farthest color; default: the map's own 2 and 98 %.
        """
        from nearfar.viz.colormap import color_depth, range_of_depths

        chosen = None if limits is None else range_of_depths(self.kind, *limits)
        return color_depth(self, colormap=colormap, limits=chosen)

    def beside_photo(
        self, colormap: str = "spectral", *, limits: tuple[float, float] | None = None
    ) -> NDArray[np.uint8]:
        """RGB picture of the photo and, right of it, the color picture (alone without photo)."""
        from nearfar.viz.panel import side_by_side

        color = self.visualise(colormap, limits=limits)
        return color if self.image is None else side_by_side(self.image, color)

    def require_camera(self) -> NDArray[np.float64]:
        """The intrinsics of a metric map; MetricError says what is missing otherwise."""
        if not self.is_metric:
            raise MetricError(
                self.model or "depth",
                f"3-D needs metres, but this map is {self.kind}",
                "Use a model with a metric reference, or to_metric(scale=..., shift=...)",
            )
        if self.intrinsics is None:
            raise MetricError(
                self.model or "depth", "3-D needs a camera", "Give the field of view (--fov-x)"
            )
        return self.intrinsics

    def to_metric(
        self,
        reference: NDArray[np.float32] | None = None,
        *,
        valid: NDArray[np.bool_] | None = None,
        scale: float = 1.0,
        shift: float = 0.0,
    ) -> DepthResult:
        """The same map in metres.

        With `reference` ([H,W] metres, 0 or NaN = unknown, e.g. a depth sensor): scale and shift
        are fitted by least squares in this map's own space. Without: `scale` and `shift` are used.
        """
        from nearfar.geometry.alignment import apply_affine, fit_affine

        name = "scale and shift"
        if not (math.isfinite(scale) and math.isfinite(shift)):
            raise ConfigError("to_metric", f"scale {scale:g}, shift {shift:g}: not finite numbers")
        if reference is not None:
            usable = self.valid & np.isfinite(reference) & (reference > 0)
            usable &= True if valid is None else valid
            fit = fit_affine(self.depth, reference, usable, kind=self.kind)
            scale, shift, name = fit.scale, fit.shift, "reference"
        metres = apply_affine(self.depth, scale=scale, shift=shift, kind=self.kind)
        spread = None
        if self.uncertainty is not None:
            slope = scale * (metres + 1) if self.kind is DepthKind.AFFINE_LOG_DEPTH else scale
            spread = (self.uncertainty * slope).astype(np.float32)
        return replace(
            self,
            depth=metres,
            kind=DepthKind.METRIC,
            uncertainty=spread,
            metric_reference=name,
            valid=self.valid & (metres > 0),
        )
