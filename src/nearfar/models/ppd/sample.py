"""The sampling loop of PPD (arXiv 2510.07316; docs/ppd.md section 2), as in the paper.

Start from noise, ask the network for the velocity, take an Euler step, until time 0. The caller
draws the noise with its generator and asks `sampling.timesteps.ppd_timesteps` for the times.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from nearfar.sampling.euler import euler_step
from nearfar.sampling.flow_matching import add_noise

from .network import CleanMap, PPDNetwork, velocity_to


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


def sample_from_clean(
    network: PPDNetwork,
    image_B3HW: Tensor,
    semantics_BLD: Tensor,
    clean_11HW: Tensor,
    noise_B1HW: Tensor,
    timesteps: Sequence[int],
) -> Tensor:
    """Clean depth latents [B,1,H,W] from a finished one: the second half of the way, noise anew.

    The finished latent is carried back to the middle of the timesteps with each noise, and goes on
    from there: half the network calls (of an odd number the larger half; of one all).
    """
    rest = timesteps[len(timesteps) // 2 :]
    timestep_1 = torch.tensor(rest[:1], device=noise_B1HW.device)
    x_B1HW = add_noise(clean_11HW, noise_B1HW, timestep_B=timestep_1)
    return sample_depth(network, image_B3HW, semantics_BLD, x_B1HW, rest)


def sample_clean_map(
    network: PPDNetwork,
    image_B3HW: Tensor,
    semantics_BLD: Tensor,
    anchor_B1HW: Tensor,
    noise_B1HW: Tensor,
    timesteps: Sequence[int],
) -> CleanMap:
    """The same loop for networks that predict clean maps: the end of the way, and its spread.

    The last network call is made at timesteps[-1]; the line through it is followed to time 0, which
    is where the clean map of that call lies.
    """
    x_B1HW = noise_B1HW
    for now, then in pairwise([*timesteps, 0]):
        found = network.clean_map(
            x_B1HW, image_B3HW, semantics_BLD, timestep=now, anchor_B1HW=anchor_B1HW
        )
        velocity_B1HW = velocity_to(found.clean_B1HW, x_B1HW, now)
        x_B1HW = euler_step(x_B1HW, velocity_B1HW, t=now / 1000, t_next=then / 1000)
    return CleanMap(x_B1HW, found.log_spread_B1HW)
