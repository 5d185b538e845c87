"""Sizes of a PPD network (docs/ppd.md section 1)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from nearfar.errors import ConfigError
from nearfar.layers.mlp import Activation

Prediction = Literal["velocity", "clean"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PPDConfig:
    """Sizes of the transformer; the defaults are those of the published weights.

    Coarse tokens cover 2*patch_size pixels a side and must match the encoder's grid; fine tokens
    cover patch_size. semantics_width is the encoder's width.

    prediction: what the network answers. "velocity" as published. "clean", ours for small networks,
    which cannot carry noise through (arXiv 2511.13720): the clean map itself, as a correction to
    the encoder's map, which is a fifth input channel; detail_channels is then the width of three
    convolutions at full resolution, where photo, map and fine tokens meet.
    """

    width: int = 1024
    depth: int = 24
    heads: int = 16
    patch_size: int = 8
    mlp_ratio: int = 4
    semantics_width: int = 1024
    activation: Activation = "gelu_tanh"
    prediction: Prediction = "velocity"
    detail_channels: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name == "detail_channels" else 1
            if field.type == "int" and (not isinstance(value, int) or value < least):
                raise ConfigError(f"PPDConfig.{field.name}", f"{value!r} is not a positive integer")
        if self.activation not in get_args(Activation):
            raise ConfigError(
                "PPDConfig.activation", f"{self.activation!r}", f"Use one of {get_args(Activation)}"
            )
        if self.prediction not in get_args(Prediction):
            raise ConfigError("PPDConfig.prediction", f"{self.prediction!r}", "velocity or clean")
        if (self.prediction == "clean") != (self.detail_channels > 0):
            raise ConfigError(
                "PPDConfig.detail_channels",
                f"{self.detail_channels} with prediction {self.prediction!r}",
                "The convolutions belong to clean maps, and clean maps need them",
            )
        if self.depth % 2:
            raise ConfigError(
                "PPDConfig.depth", f"{self.depth} is odd", "Half is coarse, half fine"
            )
        if self.width % (4 * self.heads):
            raise ConfigError(
                "PPDConfig.heads",
                f"width {self.width} / heads {self.heads} is not a multiple of 4",
                "Rotary positions need pairs in two halves of every head",
            )

    @property
    def coarse_patch(self) -> int:
        """Pixels per side of a coarse token; photos are resized to multiples of it."""
        return 2 * self.patch_size

    @property
    def size_multiple(self) -> int:
        """What the sides of network photos are multiples of; for the photo encoder's grid too."""
        return max(32, self.coarse_patch) if self.prediction == "clean" else self.coarse_patch

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads


# Sizes of the video network (PPVD, arXiv 2601.05246; docs/ppd.md section 11).

Positions = Literal["table", "rope"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PPDVideoConfig(PPDConfig):
    """The image network's sizes and what sees across frames; defaults are the published ones.

    grid_hw: coarse tokens of a training frame. positions: a fixed sine table (published), or the
    image network's rotation (ours, which starts from its weights). temporal_before: blocks that a
    block across frames stands before. reference_from: first block that sees reference tokens
    (`depth` = none); reference_pool: fine tokens a side that one of them averages. window: frames
    seen together; key_frames: those whose copies open the next window. shared_noise: all frames
    of a window start from one noise (ours), not each from its own (published).
    """

    semantics_width: int = 2048
    grid_hw: tuple[int, int] = (32, 32)
    positions: Positions = "table"
    temporal_before: tuple[int, ...] = (21, 22, 23)
    reference_from: int = 18
    reference_pool: int = 4
    window: int = 16
    key_frames: tuple[int, ...] = (0, 8, 15)
    shared_noise: bool = False

    def __post_init__(self) -> None:
        PPDConfig.__post_init__(self)
        if self.positions not in get_args(Positions):
            raise ConfigError(
                "PPDVideoConfig.positions",
                f"{self.positions!r}",
                f"Use one of {get_args(Positions)}",
            )
        fine = range(self.depth // 2, self.depth)
        before = self.temporal_before
        if not set(before) <= set(fine) or list(before) != sorted(set(before)):
            raise ConfigError(
                "PPDVideoConfig.temporal_before",
                f"{before}",
                f"Rising numbers of fine blocks, {fine.start} to {fine.stop - 1}",
            )
        if self.reference_from not in (*fine, self.depth):
            raise ConfigError(
                "PPDVideoConfig.reference_from",
                f"{self.reference_from}",
                f"The number of a fine block, or {self.depth} for none",
            )
        keys = self.key_frames
        if list(keys) != sorted(set(keys)) or keys[:1] != (0,) or keys[-1] >= self.window:
            raise ConfigError(
                "PPDVideoConfig.key_frames",
                f"{keys} of a window of {self.window}",
                "Rising slots of the window, 0 first",
            )
        if len(keys) >= self.window:
            raise ConfigError("PPDVideoConfig.window", f"{self.window} frames are all key frames")
        if min(*self.grid_hw, self.reference_pool) < 1:
            raise ConfigError("PPDVideoConfig", f"grid {self.grid_hw}, pool {self.reference_pool}")

    @property
    def stride(self) -> int:
        """New frames of a window that opens with key frames."""
        return self.window - len(self.key_frames)

    @property
    def trained_hw(self) -> tuple[int, int]:
        """Height and width of a training frame in pixels."""
        return self.grid_hw[0] * self.coarse_patch, self.grid_hw[1] * self.coarse_patch
