import dataclasses

import numpy as np
import pytest
import torch
from micro_run import AS_IS, FakeSource, build_micro, micro_recipe

from nearfar.data.sample import DepthBatch
from nearfar.eval.metrics.image import abs_rel, align_log1p, delta1
from nearfar.family import TrainingTarget
from nearfar.models.base import Losses
from nearfar.train.validation import validate

CPU = torch.device("cpu")


def test_perfect_preview_has_no_error_and_losses_average_over_images(tmp_path):
    recipe = micro_recipe(tmp_path, log={"pictures": 3})
    source = FakeSource(count=6)
    micro = build_micro(recipe, CPU)

    def perfect(image_B3HW, generator, steps):
        return 3 - 0.5 + 2 * torch.log1p(1 + 5 * image_B3HW[:, 0])  # affine in ln(metres + 1)

    target = TrainingTarget(
        network=micro.network, objective=micro.objective, preview=perfect, family="m", preset="m"
    )
    result = validate(recipe, target, source, AS_IS, device=CPU)
    assert result.values["abs_rel"] == pytest.approx(0, abs=1e-5)
    assert result.values["delta1"] == 1.0 and result.values["loss"] > 0
    assert len(result.pictures) == 3 and source.asked == [[0, 1, 2, 3]]
    np.testing.assert_allclose(
        result.pictures[0].aligned_HW, result.pictures[0].depth_HW, rtol=1e-4
    )


def test_validating_changes_nothing_and_repeats(tmp_path):
    recipe = micro_recipe(tmp_path)
    target = build_micro(recipe, CPU)
    target.network.train()
    before = {n: t.clone() for n, t in target.network.state_dict().items()}
    state = torch.get_rng_state()
    values = [validate(recipe, target, FakeSource(), AS_IS, device=CPU).values for _ in range(2)]
    assert values[0] == values[1] and target.network.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[n], t) for n, t in target.network.state_dict().items())


def test_without_preview_there_are_losses_only(tmp_path):
    recipe = micro_recipe(tmp_path)
    micro = build_micro(recipe, CPU)
    target = TrainingTarget(
        network=micro.network, objective=micro.objective, preview=None, family="m", preset="m"
    )
    result = validate(recipe, target, FakeSource(), AS_IS, device=CPU)
    assert set(result.values) == {"loss", "square"} and result.pictures == []


class FakeClips(FakeSource):
    """Clips of two frames; the second of the first clip has no truth."""

    def batch(self, indices):
        found = super().batch(torch.stack([2 * indices, 2 * indices + 1], dim=1).flatten())
        clips = [x.unflatten(0, (-1, 2)) for x in found[:4]]
        clips[2][0, 1] = False
        return DepthBatch(*clips, found.fov_x_deg_B[::2])


class NoLoss(torch.nn.Module):
    def forward(self, *args, **kwargs):
        return Losses(torch.tensor(1.0), {})


def test_errors_are_those_of_the_judge_for_images_and_for_clips(tmp_path):
    """As `nearfar eval`: a clip has one fit, every frame its errors, their mean is the clip's."""
    recipe = micro_recipe(tmp_path)
    micro = build_micro(recipe, CPU)

    def wavy(image, generator, steps):
        return (torch.log1p(1 + 5 * image[..., 0, :, :]) * 2 - 1 + 2 * image[..., 1, :, :]).float()

    for source in (FakeSource(), FakeClips()):
        target = TrainingTarget(
            network=micro.network, objective=NoLoss(), preview=wavy, family="m", preset="m"
        )
        found = validate(recipe, target, source, AS_IS, device=CPU)
        batch = source.batch(torch.arange(recipe.data.validation_count))
        maps = wavy(batch.image_B3HW, None, 1).numpy()
        expected = []
        for map_HW, depth_HW, valid_HW in zip(
            maps, batch.depth_BHW.numpy(), batch.valid_BHW.numpy()
        ):
            metres = align_log1p(map_HW, depth_HW, valid_HW)
            frames = [(metres, depth_HW, valid_HW)]
            if depth_HW.ndim == 3:
                frames = [f for f in zip(metres, depth_HW, valid_HW) if f[2].any()]
            expected.append([np.mean([m(*f) for f in frames]) for m in (abs_rel, delta1)])
        means = np.mean(expected, axis=0)
        assert (found.values["abs_rel"], found.values["delta1"]) == pytest.approx(tuple(means))
        assert 0.01 < means[0] < 1 and means[1] < 1
    assert [p.aligned_HW.shape for p in found.pictures][:2] == [(16, 24), (16, 48)]
    assert found.pictures[1].image_HW3.shape == (16, 48, 3)


def test_a_diverged_network_has_errors_and_ends_nothing(tmp_path):
    recipe = micro_recipe(tmp_path)
    micro = build_micro(recipe, CPU)

    def wild(image_B3HW, generator, steps):
        map_BHW = image_B3HW[:, 0].clone()
        map_BHW[:, 0], map_BHW[:, 1], map_BHW[:, 2] = torch.nan, torch.inf, -torch.inf
        return map_BHW

    target = dataclasses.replace(micro, objective=NoLoss(), preview=wild)
    values = validate(recipe, target, FakeSource(), AS_IS, device=CPU).values
    assert 0.1 < values["abs_rel"] < 1000 and 0 <= values["delta1"] < 1
