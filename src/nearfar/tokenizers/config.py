"""Sizes of a multi-scale VQ-VAE (arXiv 2404.02905; docs/nextscale.md section 1)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from nearfar.errors import ConfigError

from .phi import phi_of_scales

VAR_SCALES = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)
_POSITIVE = ("channels", "blocks", "code_width", "codebook", "image_channels", "groups")


@dataclass(frozen=True, kw_only=True, slots=True)
class VQConfig:
    """Sizes; the defaults are those of the published weights at 256 pixels.

    multipliers: width of each level over `channels`; every further one halves the resolution.
    blocks: residual blocks of an encoder level, the decoder has one more. codebook: its codes,
    code_width wide. scales: tokens per side of each token map, the last one is the feature grid.
    phi_count: correction convolutions shared by the scales, 0 = one for each. residual: their
    share. znorm: nearest code by cosine, not by distance. groups: of the group norms.
    """

    channels: int = 160
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    blocks: int = 2
    code_width: int = 32
    codebook: int = 4096
    scales: tuple[int, ...] = VAR_SCALES
    phi_count: int = 4
    residual: float = 0.5
    znorm: bool = False
    image_channels: int = 3
    groups: int = 32

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"VQConfig.{name}", f"{value!r} is not a positive integer")
        if not self.multipliers or min(self.multipliers) < 1:
            raise ConfigError("VQConfig.multipliers", f"{self.multipliers}: positive integers")
        if self.channels % self.groups:
            raise ConfigError(
                "VQConfig.groups", f"channels {self.channels} is no multiple of {self.groups}"
            )
        if not -1 <= self.residual <= 1:
            raise ConfigError("VQConfig.residual", f"{self.residual} is not within -1..1")
        require_scales(self.scales, last=self.scales[-1] if self.scales else 0)
        phi_of_scales(len(self.scales), self.phi_count)

    @property
    def stride(self) -> int:
        """Pixels per side of a feature cell."""
        return 1 << (len(self.multipliers) - 1)

    @property
    def grid(self) -> int:
        """Feature cells per side: the last scale."""
        return self.scales[-1]

    @property
    def image_size(self) -> int:
        """Pixels per side of the (square) image that the scales belong to."""
        return self.grid * self.stride

    @property
    def token_count(self) -> int:
        """Tokens of all scales."""
        return sum(side * side for side in self.scales)


def require_scales(scales: tuple[int, ...], *, last: int) -> None:
    """Pass if the scales grow and end at `last`; ConfigError otherwise."""
    grows = all(a < b for a, b in pairwise(scales))
    if not scales or scales[0] < 1 or not grows:
        raise ConfigError("scales", f"{scales} are not growing positive integers")
    if scales[-1] != last:
        raise ConfigError(
            "scales",
            f"the last is {scales[-1]}, the features have {last} cells a side",
            "End the scales at the feature grid: image side / stride",
        )
