"""The sampling loop replays the golden runs."""

from functools import partial

import pytest
import torch

from nearfar.models.ppd.network import new_network
from nearfar.models.ppd.presets import MICRO_PHOTO
from nearfar.models.ppd.sample import sample_clean_map, sample_depth, sample_from_clean
from nearfar.sampling.timesteps import ppd_timesteps


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


def test_second_half_of_the_way_starts_at_the_middle_between_clean_and_noise():
    clean, noise = torch.full((1, 1, 2, 2), 0.25), torch.ones(3, 1, 2, 2)
    seen = []

    def watched(latent, image, semantics, *, timestep):
        seen.append((timestep, latent))
        return torch.ones_like(latent)

    for timesteps in ([1000, 500], [1000, 750, 500, 250], [1000, 500, 250]):
        seen.clear()
        found = sample_from_clean(watched, None, None, clean, noise, timesteps)
        rest = timesteps[len(timesteps) // 2 :]
        assert [timestep for timestep, _ in seen] == rest
        start = 0.25 + 0.75 * rest[0] / 1000
        assert torch.allclose(seen[0][1], torch.full_like(noise, start))
        assert torch.allclose(found, torch.full_like(noise, start - rest[0] / 1000))


def test_a_clean_map_is_followed_to_its_end():
    network = new_network(MICRO_PHOTO, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    torch.nn.init.normal_(network.detail.out.weight, std=0.1, generator=generator)
    noise, anchor = (torch.randn(1, 1, 32, 64, generator=generator) for _ in range(2))
    image, semantics = torch.rand(1, 3, 32, 64, generator=generator), torch.zeros(1, 8, 80)
    given = (network, image, semantics, anchor, noise)
    once = sample_clean_map(*given, [1000])
    asked = network.clean_map(noise, image, semantics, timestep=1000, anchor_B1HW=anchor)
    torch.testing.assert_close(once.clean_B1HW, asked.clean_B1HW, atol=1e-5, rtol=0)
    # with more steps: the published sampler on the same network
    twice = sample_clean_map(*given, [1000, 500])
    plain = sample_depth(partial(network, anchor_B1HW=anchor), image, semantics, noise, [1000, 500])
    torch.testing.assert_close(twice.clean_B1HW, plain)
    assert (twice.clean_B1HW - once.clean_B1HW).abs().max() > 1e-4
