"""The straight path between clean data and noise (flow matching; docs/ppd.md section 2).

x_t = (1 - t/1000) clean + (t/1000) noise; velocity = noise - clean, so
clean = x_t - (t/1000) velocity and noise = x_t + (1 - t/1000) velocity.
Shapes: B batch, C channels, H W pixels; timestep_B in 0..1000.
"""

from __future__ import annotations

from torch import Tensor


def add_noise(clean_BCHW: Tensor, noise_BCHW: Tensor, *, timestep_B: Tensor) -> Tensor:
    """The sample at the given time, [B,C,H,W]."""
    t_B111 = _share(timestep_B)
    return (1 - t_B111) * clean_BCHW + t_B111 * noise_BCHW


def velocity_target(clean_BCHW: Tensor, noise_BCHW: Tensor) -> Tensor:
    """What the network learns: noise - clean, pointing from data to noise."""
    return noise_BCHW - clean_BCHW


def clean_from_velocity(x_BCHW: Tensor, velocity_BCHW: Tensor, *, timestep_B: Tensor) -> Tensor:
    """The clean end of the line through x with this velocity."""
    return x_BCHW - _share(timestep_B) * velocity_BCHW


def noise_from_velocity(x_BCHW: Tensor, velocity_BCHW: Tensor, *, timestep_B: Tensor) -> Tensor:
    """The noise end of the line through x with this velocity."""
    return x_BCHW + (1 - _share(timestep_B)) * velocity_BCHW


def _share(timestep_B: Tensor) -> Tensor:
    """t/1000 as float32 [B,1,1,1]."""
    return timestep_B.float().view(-1, 1, 1, 1) / 1000
