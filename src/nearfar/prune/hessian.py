"""What a linear layer is given over the sampling steps, summed up as its Hessian.

H = 2 / (sum of weight * batch) * sum of weight * x^T x over all calls of the layer: half the
second derivative of the squared output error, with earlier steps weighted more (OBS-Diff,
arXiv 2510.06751).
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from nearfar.errors import ConfigError

Weighting = Literal["uniform", "linear_decrease", "linear_increase", "log_decrease", "log_increase"]


def timestep_weights(
    strategy: Weighting, steps: int, *, low: float = 0.8, high: float = 1.2
) -> list[float]:
    """How much each of `steps` sampling steps counts, in sampling order (the noisiest first).

    Decreasing from `high` to `low` or increasing the other way, linearly or by logarithm. A single
    step, and every step of "uniform", counts 1. ConfigError for another strategy or no step.
    """
    if strategy not in get_args(Weighting):
        raise ConfigError(
            "timestep weights", f"{strategy!r}", f"Use one of {', '.join(get_args(Weighting))}"
        )
    if steps < 1:
        raise ConfigError("timestep weights", f"{steps} steps", "At least one is needed")
    if steps == 1 or strategy == "uniform":
        return [1.0] * steps
    kind, direction = strategy.split("_")
    falling = range(steps, 0, -1) if direction == "decrease" else range(1, steps + 1)
    if kind == "linear":
        shares = [(n - 1) / (steps - 1) for n in falling]
    else:
        shares = [math.log(n) / math.log(steps) for n in falling]
    return [low + (high - low) * share for share in shares]


class HessianAccumulator:
    """The Hessian [in,in] of a layer from its inputs, float32, as a running mean."""

    def __init__(self, width: int, *, device: torch.device | str = "cpu") -> None:
        """width: of the layer's input."""
        self.hessian = torch.zeros(width, width, device=device)
        self._total = 0.0

    def add(self, x: Tensor, *, weight: float = 1.0) -> None:
        """Count one call. x: [B,...,in]; a 2-D one [tokens,in] counts as a batch of one."""
        batch = x.shape[0] if x.ndim > 2 else 1
        rows = x.reshape(-1, x.shape[-1]).to(self.hessian)
        before = self._total
        self._total += weight * batch
        self.hessian.mul_(before / self._total)
        self.hessian.addmm_(rows.T, rows, alpha=2 * weight / self._total)
