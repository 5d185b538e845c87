"""Weights drawn from a generator."""

import torch
from torch import nn

from nearfar.layers.initial import draw_weights


def test_drawn_weights_repeat_and_follow_torchs_own_distribution():
    networks = [nn.Sequential(nn.Conv2d(8, 64, 3), nn.LayerNorm(3)) for _ in range(3)]
    spread = networks[0][0].weight.std()
    for network, seed in zip(networks, (1, 1, 2), strict=True):
        draw_weights(network, generator=torch.Generator().manual_seed(seed))
    first, same, other = (network[0].weight for network in networks)
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert torch.isclose(first.std(), spread, rtol=0.05)
    assert networks[0][1].weight.tolist() == [1.0] * 3
