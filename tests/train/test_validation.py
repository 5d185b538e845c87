import numpy as np
import pytest
import torch
from micro_run import AS_IS, FakeSource, build_micro, micro_recipe

from nearfar.family import TrainingTarget
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
