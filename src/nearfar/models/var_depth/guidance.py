"""Classifier-free guidance over scales (spec var_depth.md B8, C4).

At scale k of K (from 0), for on <= k < off, logits = (1 + t_k) cond - t_k uncond with
t_k = scale k / (K - 1): none at the first scale. Elsewhere the condition alone; from `off` on the
logits are divided by `temperature`. Ours by default: off for the two largest scales, which hold
most tokens, so that guidance costs at most a third more instead of twice as much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from nearfar.errors import ConfigError
from nearfar.sampling.categorical import guided_logits


@dataclass(frozen=True, kw_only=True, slots=True)
class Guidance:
    """scale: 0 = none. on, off: first scale with it and first without."""

    scale: float = 0.0
    on: int = 0
    off: int = 8
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale >= 0):
            raise ConfigError("guidance_scale", f"{self.scale}", "0 is none, 1 to 2 are usual")
        if not 0 <= self.on <= self.off:
            raise ConfigError("guidance", f"on at scale {self.on}, off at {self.off}")
        if not self.temperature > 0:
            raise ConfigError("guidance.temperature", f"{self.temperature} is not above 0")

    def weight(self, scale: int, *, count: int) -> float:
        """t_k."""
        guided = self.on <= scale < self.off
        return self.scale * scale / max(count - 1, 1) if guided else 0.0

    def runs_unconditional(self, scale: int, *, count: int, is_causal: bool) -> bool:
        """Whether the unconditional branch is needed: later scales of a causal one look back."""
        if self.scale == 0 or scale >= self.off:
            return False
        return is_causal or self.weight(scale, count=count) > 0

    def __call__(
        self, cond_BLV: Tensor, uncond_BLV: Tensor | None, *, scale: int, count: int
    ) -> Tensor:
        """Logits of a scale."""
        if scale >= self.off:
            return cond_BLV / self.temperature
        weight = self.weight(scale, count=count)
        return cond_BLV if uncond_BLV is None else guided_logits(cond_BLV, uncond_BLV, weight)


NONE = Guidance()
