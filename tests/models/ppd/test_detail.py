"""The choice between two surfaces: nothing at the start, whole steps at its ends, learned."""

import torch

from nearfar.models.ppd.detail import REACH, DetailHead, chosen


def steps(columns=30):
    """A near surface, one pixel between, a far surface."""
    line = torch.cat([torch.zeros(14), torch.tensor([0.5]), torch.ones(columns - 15)])
    return line.expand(1, 1, 20, columns).contiguous()


def test_no_choice_leaves_the_map_alone():
    assert torch.equal(chosen(steps(), torch.zeros(1, 1, 20, 30)), steps())


def test_the_choice_moves_a_step_by_whole_pixels_within_reach():
    nearer = chosen(steps(), torch.full((1, 1, 20, 30), -1.0))[0, 0, 10]
    farther = chosen(steps(), torch.full((1, 1, 20, 30), 1.0))[0, 0, 10]
    assert nearer.tolist() == [0.0] * (14 + REACH) + [0.5] + [1.0] * (15 - REACH)
    assert farther.tolist() == [0.0] * (14 - REACH) + [0.5] + [1.0] * (15 + REACH)
    half = chosen(steps(), torch.full((1, 1, 20, 30), 0.5))[0, 0, 10]
    assert half[13] == 0.5 and half[14] == 0.75  # half of the way to the far surface


def test_it_is_learned_from_no_choice_on():
    head = DetailHead(5, 8)
    torch.nn.init.zeros_(head.out.weight)
    torch.nn.init.zeros_(head.out.bias)
    found = head(torch.rand(1, 5, 20, 32, generator=torch.Generator().manual_seed(1)))
    assert found.choice_B1HW.abs().max() == found.log_spread_B1HW.abs().max() == 0
    chosen(steps(32), found.choice_B1HW).sum().backward()
    gradient = head.out.weight.grad
    assert gradient[0].abs().max() > 0 and gradient[1:].abs().max() == 0
