"""Losses of clips: one range and one time a clip, the temporal loss, and that steps lower them."""

from dataclasses import replace

import pytest
import torch

from nearfar.batch import ClipBatch, DepthBatch
from nearfar.errors import ConfigError
from nearfar.models.ppd.objective import PPDObjective, log_depth_target
from nearfar.models.ppd.presets import VIDEO_TINY
from nearfar.models.ppd.video_network import new_video_network
from nearfar.models.ppd.video_objective import (
    PPDVideoObjective,
    clip_noise,
    clip_target,
    temporal_loss,
)

SMALL = replace(
    VIDEO_TINY, width=32, depth=4, heads=2, semantics_width=8, temporal_before=(3,),
    reference_from=3, grid_hw=(2, 3),
)  # fmt: skip


class FakeEncoder:
    """Semantics of clips and of photos: nothing but ones."""

    name, width, stride = "fake", 8, 8

    def semantics(self, image):
        return torch.ones(len(image), image.shape[-2] * image.shape[-1] // 64, 8)

    def clip_semantics(self, frames):
        return self.semantics(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])


def network():
    made = new_video_network(SMALL, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(
                torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)), alpha=0.02
            )
    return made


def batch(clips=2, frames=3):
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(clips, frames, 3, 16, 24, generator=generator)
    depth = 1 + 9 * torch.rand(clips, frames, 16, 24, generator=generator)
    sky = torch.zeros(depth.shape, dtype=torch.bool)
    sky[..., :2, :] = True
    return image, torch.where(sky, 0.0, depth), {"valid_BTHW": ~sky, "sky_BTHW": sky}


def losses(objective, seed=5, **shape):
    image, depth, masks = batch(**shape)
    fov = torch.full((len(image),), 60.0)
    generator = torch.Generator().manual_seed(seed)
    return objective(ClipBatch(image, depth, **masks, fov_x_deg_B=fov), generator=generator)


def test_one_range_for_all_frames_of_a_clip():
    _, depth, masks = batch()
    depth[0, 1] *= 3
    found = clip_target(depth, valid_BTHW=masks["valid_BTHW"], sky_BTHW=masks["sky_BTHW"])
    assert found.clean_B1HW.shape == (6, 1, 16, 24)
    beside = [torch.cat(list(m[0]), dim=-1)[None] for m in (depth, *masks.values())]
    wide = log_depth_target(beside[0], valid_BHW=beside[1], sky_BHW=beside[2])
    torch.testing.assert_close(torch.cat(list(found.clean_B1HW[:3]), -1)[None], wide.clean_B1HW)
    assert found.clean_B1HW[1].mean() > found.clean_B1HW[0].mean() + 0.2
    alone = clip_target(depth[:, 1:2], valid_BTHW=masks["valid_BTHW"][:, 1:2],
                        sky_BTHW=masks["sky_BTHW"][:, 1:2])  # fmt: skip
    assert not torch.allclose(alone.clean_B1HW[0], found.clean_B1HW[1])


def test_single_frames_are_the_image_objective():
    made = network()
    video = PPDVideoObjective(made, FakeEncoder(), gradient_weight=0.2)
    found = losses(video, clips=3, frames=1)
    image, depth, masks = batch(clips=3, frames=1)

    def per_photo(*inputs, timestep):
        return made(*inputs, timestep=timestep, frames=1)

    first = (part[:, 0] for part in (image, depth, *masks.values()))
    photos = DepthBatch(*first, torch.full((3,), 60.0))
    objective = PPDObjective(per_photo, FakeEncoder(), gradient_weight=0.2)
    expected = objective(photos, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(found.total, expected.total)
    assert set(found.parts) == {"velocity", "gradient"}


def test_temporal_loss_counts_changes_of_the_error_only():
    error = torch.tensor([0.5, 0.5, 0.8])[:, None, None, None].expand(3, 1, 2, 2)
    usable = torch.ones(3, 1, 2, 2, dtype=torch.bool)
    assert abs(float(temporal_loss(error, usable, frames=3)) - 0.15) < 1e-6
    assert float(temporal_loss(error[:2], usable[:2], frames=2)) == 0
    holes = usable.clone()
    holes[2] = False
    assert float(temporal_loss(error, holes, frames=3)) == 0
    assert float(temporal_loss(error, usable, frames=1)) == 0
    weighted = PPDVideoObjective(network(), FakeEncoder(), gradient_weight=0.0, temporal_weight=2.0)
    found = losses(weighted)
    torch.testing.assert_close(
        found.total.detach(), found.parts["velocity"] + 2 * found.parts["temporal"]
    )


def test_frames_of_a_clip_may_share_their_noise():
    like = torch.zeros(6, 1, 16, 24)
    noise = clip_noise(like, 3, shared=True, generator=torch.Generator().manual_seed(0))
    assert noise.shape == like.shape and abs(float(noise.std()) - 1) < 0.1
    for first in (0, 3):
        assert torch.equal(noise[first], noise[first + 1]) and torch.equal(
            noise[first], noise[first + 2]
        )
    assert not torch.equal(noise[0], noise[3])
    own = clip_noise(like, 3, shared=False, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(own[0], own[1])

    class Seen:
        def __call__(self, latent, image, semantics, *, timestep, frames):
            self.latent = latent
            return torch.zeros_like(latent)

    seen = Seen()
    objective = PPDVideoObjective(
        seen, FakeEncoder(), gradient_weight=0.0, start_share=1.0, shared_noise=True
    )
    losses(objective)  # at time 1000 the latent is the noise itself
    assert torch.equal(seen.latent[0], seen.latent[2])
    assert not torch.equal(seen.latent[0], seen.latent[3])
    objective.shared_noise = False
    losses(objective)
    assert not torch.equal(seen.latent[0], seen.latent[2])


def test_same_generator_same_losses_and_a_few_steps_lower_them():
    made = network()
    objective = PPDVideoObjective(made, FakeEncoder(), gradient_weight=0.0)
    assert losses(objective).total == losses(objective).total != losses(objective, seed=6).total
    optimizer = torch.optim.Adam([w for w in made.parameters() if w.requires_grad], lr=3e-3)
    first = float(losses(objective).total.detach())
    for _ in range(15):
        optimizer.zero_grad()
        losses(objective).total.backward()
        optimizer.step()
    assert float(losses(objective).total.detach()) < 0.8 * first
    temporal = made.temporal_blocks[0].adaLN_modulation[1].weight
    assert temporal.grad is not None and temporal.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "options",
    [{"gradient_weight": -1.0}, {"gradient_weight": 0.0, "temporal_weight": -1.0},
     {"gradient_weight": 0.0, "start_share": 1.5}],
)  # fmt: skip
def test_impossible_options_are_refused(options):
    with pytest.raises(ConfigError):
        PPDVideoObjective(network(), FakeEncoder(), **options)
