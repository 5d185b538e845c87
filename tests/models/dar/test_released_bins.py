"""The public code's bin rules equal the golden runs."""

import pytest
import torch

from nearfar.models.dar.released_bins import ElasticBins, ReleasedBins
from nearfar.models.dar.tree_bins import Expectation, expectation, uniform_bins

NEAR = {"rtol": 1e-5, "atol": 2e-6}


def first(rule, size=(6, 8), batch=2):
    bins = uniform_bins(size, batch=batch, near=1e-3, far=10.0, count=16)
    return ReleasedBins(bins, bins) if rule == "released" else ElasticBins(bins.edges(), 1e-3, 10.0)


def edges_of(bins):
    return bins.narrow.edges() if isinstance(bins, ReleasedBins) else bins.edges_BChw


@pytest.mark.parametrize("rule", ["released", "elastic"])
def test_rules_equal_golden(golden, rule):
    values, bins = golden("mtbin"), first(rule)
    for k in range(5):
        found = expectation(values["logits"][k].softmax(dim=1), bins.centers())
        label = bins.label(found.depth_B1hw)
        torch.testing.assert_close(edges_of(bins), values[f"{rule}.edges"][k], **NEAR)
        torch.testing.assert_close(bins.centers(), values[f"{rule}.centres"][k], **NEAR)
        torch.testing.assert_close(found.depth_B1hw, values[f"{rule}.depth"][k], **NEAR)
        torch.testing.assert_close(found.spread_B1hw, values[f"{rule}.std"][k], **NEAR)
        assert torch.equal(label[:, 0], values[f"{rule}.label"][k].long())
        center = bins.centers().gather(1, label)
        torch.testing.assert_close(center, values[f"{rule}.depth_label_centre"][k], **NEAR)
        bins = bins.after(found)


def test_released_centers_never_move_and_lost_depth_is_bin_0():
    bins = first("released", (1, 1), batch=1)
    near = torch.full((1, 1, 1, 1), 0.5)
    after = bins.after(Expectation(near, near))
    assert torch.equal(after.centers(), bins.centers())
    assert after.label(torch.full((1, 1, 1, 1), 9.0)).item() == 0


@pytest.mark.parametrize("rule", ["released", "elastic"])
def test_other_grids_take_the_nearest_bins(rule):
    bins = first(rule, (2, 2), batch=1)
    depth = torch.tensor([[[[1.0, 3], [5, 9]]]])
    bins = bins.after(Expectation(depth, torch.ones_like(depth)))
    assert torch.equal(edges_of(bins.resized((4, 4)))[..., ::2, ::2], edges_of(bins))
    assert edges_of(bins.resized((2, 2))).shape == edges_of(bins).shape
