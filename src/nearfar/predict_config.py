"""What a prediction can be asked for: the one place where the defaults of `predict` live.

Families get it as it is. What only some take is None unless asked for, says what a model lacks that
does not take it, and is named in the `options` of the predictors that do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from operator import index
from types import MappingProxyType
from typing import Any, Literal, SupportsFloat, SupportsIndex, TypedDict, get_args

from nearfar.errors import ConfigError

MAX_STEPS = 1000
MAX_HYPOTHESES = 256
MAX_SEED = 2**63 - 1
SMALLEST_SIDE = 16
LARGEST_SIDE = 8192
MAX_GUIDANCE = 50.0
MAX_BY_HAND = 1000.0  # scale and shift that turn a map into metres
EnsembleStart = Literal["noise", "first"]
ENSEMBLE_STARTS = get_args(EnsembleStart)


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictConfig:
    """Settings of one prediction.

    steps: network calls per hypothesis, None = the model's own. ensemble_size: hypotheses.
    resolution: None = the model's own size, 0 = the photo's own, else the long side in pixels.
    fov_x_deg: horizontal field of view if known. metric: give metres if the model has a reference.
    guidance_scale: how far away from what it says without the photo (VAR-Depth), None = the model's
    own. stop_at: steps of DAR to run, None = all. ensemble_start: where hypotheses of PPD after the
    first start: noise, or first (its answer with noise anew: half the calls), None = its own way.
    """

    steps: int | None = None
    ensemble_size: int = 1
    seed: int = 0
    resolution: int | None = None
    fov_x_deg: float | None = None
    metric: bool = True
    guidance_scale: float | None = field(
        default=None, metadata={"lacks": "makes no guess without the photo to be guided away from"}
    )
    stop_at: int | None = field(
        default=None, metadata={"lacks": "does not answer in steps that could be stopped"}
    )
    ensemble_start: str | None = field(
        default=None, metadata={"lacks": "draws every map in its own way only"}
    )

    def __post_init__(self) -> None:
        for name in ("steps", "ensemble_size", "seed", "resolution", "stop_at"):
            object.__setattr__(self, name, _whole(name, getattr(self, name)))
        for name in ("fov_x_deg", "guidance_scale"):
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        if not isinstance(self.metric, bool):
            raise ConfigError("metric", f"{self.metric!r} is not True or False", "Give one of them")
        if self.steps is not None:
            _within("steps", self.steps, 1, MAX_STEPS)
        _within("ensemble_size", self.ensemble_size, 1, MAX_HYPOTHESES)
        _within("seed", self.seed, 0, MAX_SEED)
        if self.resolution:
            _within("resolution", self.resolution, SMALLEST_SIDE, LARGEST_SIDE, "; 0 is native")
        if self.fov_x_deg is not None and not 1 <= self.fov_x_deg <= 179:
            raise ConfigError("fov_x_deg", f"{self.fov_x_deg:g} is not within 1..179 degrees")
        guidance = self.guidance_scale
        if guidance is not None and not 0 <= guidance <= MAX_GUIDANCE:
            raise ConfigError("guidance_scale", f"{guidance:g} is not within 0..{MAX_GUIDANCE:g}")
        if self.stop_at is not None:
            _within("stop_at", self.stop_at, 1, MAX_STEPS)
        start = self.ensemble_start
        if start is not None and start not in ENSEMBLE_STARTS:
            raise ConfigError("ensemble_start", f"unknown {start!r}", f"Use {ENSEMBLE_STARTS}")

    def network_area(self, size_hw: tuple[int, int], default_area: int) -> int:
        """The pixels the network shall work at for a photo of this size."""
        height, width = size_hw
        if self.resolution is None:
            return default_area
        if self.resolution == 0:
            _within("resolution 0 (native): long side", max(size_hw), 1, LARGEST_SIDE)
            return height * width
        shrink = self.resolution / max(size_hw)
        return max(1, round(height * shrink)) * max(1, round(width * shrink))


class PredictSettings(TypedDict, total=False):
    """The fields of `PredictConfig` as keywords of `Model.predict`."""

    steps: int | None
    ensemble_size: int
    seed: int
    resolution: int | None
    fov_x_deg: float | None
    metric: bool
    guidance_scale: float | None
    stop_at: int | None
    ensemble_start: str | None


def predict_config(settings: Mapping[str, Any]) -> PredictConfig:
    """The settings of `Model.predict`; TypeError with the nearest name for an unknown one."""
    names = [f.name for f in fields(PredictConfig)]
    for name in settings:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            remedy = f"Did you mean {near[0]}?" if near else f"Settings: {', '.join(names)}"
            raise TypeError(f"predict: there is no setting {name!r}. {remedy}")
    return PredictConfig(**settings)


# option that only some families take -> what the others lack; None is not part of what identifies
# a result
FAMILY_OPTIONS: Mapping[str, str] = MappingProxyType(
    {f.name: f.metadata["lacks"] for f in fields(PredictConfig) if "lacks" in f.metadata}
)


def _whole(name: str, value: Any) -> int | None:
    """The value as an int (NumPy's too), None stays; ConfigError for anything else."""
    if value is None and name not in ("ensemble_size", "seed"):
        return None
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise ConfigError(name, f"{value!r} is not a whole number", "Give an integer")
    return index(value)


def _number(name: str, value: Any) -> float | None:
    """The value as a float, None stays; ConfigError for anything that is no number."""
    if value is None:
        return None
    if isinstance(value, bool | str) or not isinstance(value, SupportsFloat):
        raise ConfigError(name, f"{value!r} is not a number", "Give a number")
    return float(value)


def _within(name: str, value: int, low: int, high: int, note: str = "") -> None:
    """ConfigError unless low <= value <= high."""
    if not low <= value <= high:
        raise ConfigError(name, f"{value} is not within {low}..{high}{note}")
