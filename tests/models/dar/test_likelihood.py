"""The cost of bins is a cross-entropy that teaches both their mean and how they spread."""

import math
from dataclasses import replace

import pytest
import torch

from nearfar.models.dar.initial import new_network
from nearfar.models.dar.likelihood import bins_cost
from nearfar.models.dar.presets import MICRO
from nearfar.models.dar.sample import Step
from nearfar.models.dar.tree_bins import Shares, TreeBins, expectation, uniform_bins


@pytest.fixture(scope="module")
def networks():
    """With bins in metres, and in ln(metres)."""
    drawn = torch.Generator().manual_seed(0)
    linear = replace(MICRO, spacing="linear", far=10.0)
    return [new_network(config, generator=drawn) for config in (linear, MICRO)]


def step_of(shares):
    """A step on a grid of 2x2 whose bins are 1 wide, centers 0.5, 1.5, ..."""
    share_BChw = torch.tensor(shares).view(1, -1, 1, 1).expand(1, len(shares), 2, 2)
    one = torch.ones(1, 1, 2, 2)
    bins = TreeBins(0 * one, one, len(shares))
    return Step(one, one, bins, Shares(share_BChw, bins.centers()))


def test_the_cost_is_the_cross_entropy_of_both_bins_beside_the_truth(networks):
    linear, logarithmic = networks
    step = step_of([0.1, 0.2, 0.6, 0.1])
    truth = torch.full((1, 32, 32), 1.75)  # a quarter of the way from center 1.5 to 2.5
    expected = pytest.approx(-(0.75 * math.log(0.2) + 0.25 * math.log(0.6)), rel=1e-5)
    assert float(bins_cost(linear, step, truth)) == expected
    assert float(bins_cost(logarithmic, step, truth.exp())) == expected
    half = truth.clone()
    half[:, :16] = 0.0  # unknown
    assert float(bins_cost(linear, step, half)) == expected
    at_the_end = torch.full((1, 32, 32), 3.9)
    assert float(bins_cost(linear, step, at_the_end)) == pytest.approx(-math.log(0.1), rel=1e-5)
    for nothing_held in (0 * truth, at_the_end + 1):
        assert float(bins_cost(linear, step, nothing_held)) == 0.0


def test_pixels_of_the_padded_rim_do_not_count(networks):
    left = step_of([0.25, 0.25, 0.4, 0.1])
    share_BChw = left.shares.probability_BChw.clone()
    share_BChw[..., 1] = torch.tensor([0.1, 0.1, 0.1, 0.7])[:, None]
    cut = torch.full((1, 32, 16), 2.5)  # padded to 32x16: a grid over the photo alone
    narrow = left._replace(shares=left.shares._replace(probability_BChw=share_BChw))
    both = float(bins_cost(networks[0], narrow, cut))
    assert both == pytest.approx(-(math.log(0.4) + math.log(0.1)) / 2, rel=1e-5)
    padded = float(bins_cost(networks[0], narrow, cut[..., :8]))  # its right half is rim
    assert padded == pytest.approx(-math.log(0.4), rel=1e-5)


def test_two_possible_truths_become_a_spread(networks):
    logits = torch.zeros(1, 16, 1, 1, requires_grad=True)
    truths = torch.tensor([2.0, 6.0]).view(2, 1, 1).expand(2, 16, 16)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    bins = uniform_bins((1, 1), batch=2, near=1e-3, far=10.0, count=16)
    for _ in range(60):
        share = Shares(logits.softmax(dim=1).expand(2, -1, -1, -1), bins.centers())
        optimizer.zero_grad()
        bins_cost(networks[0], Step(truths, truths, bins, share), truths).backward()
        optimizer.step()
    found = expectation(logits.detach().softmax(dim=1), bins.centers()[:1])
    assert float(found.depth_B1hw) == pytest.approx(4.0, abs=0.2)
    assert float(found.spread_B1hw) == pytest.approx(2.0, abs=0.2)
