"""What the depth of a clip can be asked for; defaults live here."""

from __future__ import annotations

from dataclasses import dataclass, field

from nearfar.errors import ConfigError
from nearfar.predict_config import PredictConfig

PER_FRAME_PART = 12  # frames between two points that a per-frame run can go on from


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoConfig:
    """Settings of a clip. predict: those of each frame, with one seed for all of them.

    cuts: look for scene cuts. max_frames: stop after that many, None = all.
    """

    predict: PredictConfig = field(default_factory=PredictConfig)
    cuts: bool = True
    max_frames: int | None = None

    def __post_init__(self) -> None:
        if self.max_frames is not None and self.max_frames < 1:
            raise ConfigError("max_frames", f"{self.max_frames} is not at least 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class RangeChoice:
    """Which depths the colors of a clip span: `clip`, `running`, or `fixed` = (near, far)."""

    mode: str = "clip"
    fixed: tuple[float, float] | None = None


def parse_range(text: str) -> RangeChoice:
    """The choice of `clip`, `running` or `near,far` (two rising numbers in the map's unit)."""
    if text in ("clip", "running"):
        return RangeChoice(mode=text)
    try:
        near, far = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError("range", f"{text!r} is no range", "Use clip, running or 0.5,8") from error
    if not near < far < float("inf"):
        raise ConfigError("range", f"{near:g},{far:g} does not rise", "Give near, then far")
    return RangeChoice(mode="fixed", fixed=(near, far))
