"""Cutting heads and neurons out equals silencing them, for both kinds of PPD."""

import copy

import pytest
import torch

from nearfar.models.ppd.config import PPDConfig
from nearfar.models.ppd.network import PPDNetwork
from nearfar.models.ppd.prunable import prunable_units

CONFIG = PPDConfig(width=32, depth=2, heads=4, patch_size=4, semantics_width=12)


@pytest.fixture
def network():
    made = PPDNetwork(CONFIG)
    generator = torch.Generator().manual_seed(0)
    for parameter in made.parameters():
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    return made.eval().requires_grad_(False)


def velocity(network):
    generator = torch.Generator().manual_seed(1)
    latent = torch.randn(1, 1, 16, 24, generator=generator)
    image = torch.rand(1, 3, 16, 24, generator=generator)
    semantics = torch.randn(1, 6, 12, generator=generator)
    return network(latent, image, semantics, timestep=600)


def test_units_are_all_linears_of_blocks_in_order(network):
    units = prunable_units(network)
    inside = [n for n, m in network.blocks.named_modules() if isinstance(m, torch.nn.Linear)]
    wanted = [f"blocks.{name}" for name in inside if "adaLN" not in name]
    assert [unit.name for unit in units] == wanted
    assert all(unit.linear is network.get_submodule(unit.name) for unit in units)
    assert [unit.group_size for unit in units] == [0, 8, 0, 1] * 2
    assert [unit.remove is None for unit in units] == [True, False] * 4


@pytest.mark.parametrize(
    ("number", "removed"), [(1, range(8, 24)), (5, range(0, 8)), (3, [0, 5, 100, 127]), (7, [1])]
)
def test_removed_is_silent(network, number, removed):
    removed = torch.tensor(list(removed))
    silent = copy.deepcopy(network)
    prunable_units(silent)[number].linear.weight[:, removed] = 0
    before = velocity(network)
    unit = prunable_units(network)[number]
    unit.remove(removed)
    torch.testing.assert_close(velocity(network), velocity(silent), rtol=1e-5, atol=1e-5)
    assert (velocity(network) - before).abs().max() > 1e-3
    block = network.blocks[int(unit.name.split(".")[1])]
    assert block.attn.heads == block.attn.proj.in_features // 8
    assert block.attn.qkv.out_features == len(block.attn.qkv.bias)
    assert not unit.linear.weight.requires_grad
