"""Networks without memory: names and shapes, no draw from torch's global generator."""

import torch
from torch import nn

from nearfar.layers.without_memory import without_memory


class Drawn(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.table = nn.Embedding(3, width)  # draws from a normal distribution
        self.own = nn.Parameter(torch.empty(width).normal_(std=2.0))


def test_shapes_without_memory_or_draws():
    before = torch.get_rng_state()
    network = without_memory(Drawn, 5)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes == {"own": (5,), "table.weight": (3, 5)}
    assert all(parameter.is_meta for parameter in network.parameters())
    assert torch.equal(before, torch.get_rng_state())
