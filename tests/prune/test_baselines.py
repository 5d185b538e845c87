"""Magnitude, Wanda and L1 take away what their rules say, and exactly as much."""

import pytest
import torch

from nearfar.errors import ConfigError
from nearfar.prune.baselines import l1_prune_columns, magnitude_prune, wanda_prune

WEIGHT = torch.randn(6, 16, generator=torch.Generator().manual_seed(3))
PLAIN = torch.eye(16)


def test_magnitude_takes_the_smallest_of_the_matrix():
    pruned = magnitude_prune(WEIGHT, PLAIN, 0.25)
    gone = pruned == 0
    assert gone.sum() == 24
    assert WEIGHT[gone].abs().max() < WEIGHT[~gone].abs().min()
    assert torch.equal(pruned[~gone], WEIGHT[~gone])


def test_wanda_weighs_by_the_norm_of_the_input():
    assert ((wanda_prune(WEIGHT, PLAIN, 0.5) == 0).sum(1) == 8).all()
    loud = PLAIN.clone()
    loud[3, 3] = 1e6
    assert (wanda_prune(WEIGHT, loud, 0.9)[:, 3] != 0).all()


@pytest.mark.parametrize("prune", [magnitude_prune, wanda_prune])
def test_two_of_four(prune):
    pruned = prune(WEIGHT, PLAIN, 0.0, n=2, m=4)
    assert ((pruned.view(6, 4, 4) == 0).sum(-1) == 2).all()
    with pytest.raises(ConfigError, match="pattern"):
        prune(WEIGHT, PLAIN, 0.0, n=2, m=5)


def test_l1_takes_the_columns_with_the_smallest_sums():
    found = l1_prune_columns(WEIGHT, PLAIN, 0.5, group_size=4)
    sums = WEIGHT.abs().sum(0).view(4, 4).sum(1)
    weakest = sorted(sums.argsort()[:2].tolist())
    assert found.removed.tolist() == [4 * g + i for g in weakest for i in range(4)]
    assert not found.weight[:, found.removed].any()
