"""The sampling loop replays the golden runs."""

import pytest
import torch

from sonde.models.ppd.sample import sample_depth
from sonde.sampling.timesteps import ppd_timesteps


@pytest.mark.parametrize("steps", [4, 10])
def test_trajectory_equals_golden(golden_network, golden, steps):
    io, velocities, latents = golden("sampler"), [], []

    def watched(latent, image, semantics, *, timestep):
        latents.append(latent)
        velocities.append(golden_network(latent, image, semantics, timestep=timestep))
        return velocities[-1]

    with torch.no_grad():
        clean = sample_depth(
            watched,
            io["sample.image"],
            io["sample.semantics"],
            io["sample.latent0"],
            ppd_timesteps(steps),
        )
    near = {"atol": 1e-5, "rtol": 0}
    # velocities: see test_network.py on the last bit of the golden time frequencies
    expected = io[f"sample.vel{steps}"]
    torch.testing.assert_close(torch.stack(velocities), expected, atol=2e-5, rtol=0)
    latents = torch.stack([*latents[1:], clean])
    torch.testing.assert_close(latents, io[f"sample.traj{steps}"], **near)
    torch.testing.assert_close(clean + 0.5, io[f"sample.depth{steps}"], **near)
