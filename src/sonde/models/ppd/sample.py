"""The sampling loop of PPD (arXiv 2510.07316; spec ppd.md section 2), as in the paper.

Start from noise, ask the network for the velocity, take an Euler step, until time 0. The caller
draws the noise with its generator and asks `sampling.timesteps.ppd_timesteps` for the times.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

from sonde.sampling.euler import euler_step

from .network import PPDNetwork


def sample_depth(
    network: PPDNetwork,  # or its video form: then the batch is the frames of one window
    image_B3HW: Tensor,
    semantics_BLD: Tensor,
    noise_B1HW: Tensor,
    timesteps: Sequence[int],
) -> Tensor:
    """Clean depth latent [B,1,H,W], nominally -1..0.5; add 0.5 for affine log depth.

    Integrates from timestep 1000 (`noise_B1HW`, float32) to 0; larger = farther.
    """
    x_B1HW = noise_B1HW
    for now, then in pairwise([*timesteps, 0]):
        velocity_B1HW = network(x_B1HW, image_B3HW, semantics_BLD, timestep=now)
        x_B1HW = euler_step(x_B1HW, velocity_B1HW, t=now / 1000, t_next=then / 1000)
    return x_B1HW
