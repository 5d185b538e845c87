"""Sizes of a PPD network (spec ppd.md section 1)."""

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
