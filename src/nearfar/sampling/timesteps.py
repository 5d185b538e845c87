"""Times of PPD (arXiv 2510.07316; docs/ppd.md section 2): 1000 is noise, 0 is clean."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor

from nearfar.errors import ConfigError


def ppd_timesteps(steps: int) -> list[int]:
    """The `steps` times 1000 > t_1 > ... > 0: round(1000 - k*1001/steps), half to even.

    Released code: a float32 arange, which adds a spurious -1 for 71 step counts and is off by one
    in single entries, depending on the processor; exact fractions give the same on every machine.
    """
    if not 1 <= steps <= 1000:
        raise ConfigError("steps", f"{steps} is not in 1..1000", "PPD is made for 1 to 50 steps")
    return [round(Fraction(1000 * steps - 1001 * k, steps)) for k in range(steps)]


def logit_normal_timesteps(
    count: int, *, generator: torch.Generator, mean: float = 0.0, start_share: float = 0.0
) -> Tensor:
    """Training times [count] int32 in 0..1000 on the CPU: round(1000 * sigmoid(z)), z ~ N(mean, 1).

    The paper's are mean 0, start_share 0. Ours for small networks: `start_share` of the times are
    1000 itself, where sampling starts but logit-normal draws hardly ever come, so that a network
    trained for short would take its noise for the scene there; `mean` > 0 leans towards noise.
    """
    normal_B = torch.randn(count, generator=generator, device=generator.device)
    timestep_B = timestep_of_normal(normal_B + mean)
    if start_share > 0:
        draw_B = torch.rand(count, generator=generator, device=generator.device)
        timestep_B = torch.where(draw_B < start_share, 1000, timestep_B)
    return timestep_B.cpu()


def timestep_of_normal(normal_B: Tensor) -> Tensor:
    """round(1000 * sigmoid(z)) as int32."""
    return (1000 * normal_B.sigmoid()).round().to(torch.int32)
