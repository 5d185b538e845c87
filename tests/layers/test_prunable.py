"""Linear layers cut down: the rest of their weights, in place, also without memory."""

import torch
from torch import nn

from nearfar.layers.prunable import keep_inputs, keep_outputs, kept


def test_kept_is_what_is_not_removed():
    assert kept(5, torch.tensor([1, 4])).tolist() == [0, 2, 3]
    assert kept(3, torch.tensor([], dtype=torch.long)).tolist() == [0, 1, 2]


def test_inputs_and_outputs_are_cut():
    linear = nn.Linear(4, 3)
    weight, bias = linear.weight.clone(), linear.bias.clone()
    keep_inputs(linear, torch.tensor([0, 3]))
    keep_outputs(linear, torch.tensor([2]))
    assert torch.equal(linear.weight, weight[2:, [0, 3]]) and torch.equal(linear.bias, bias[2:])
    assert (linear.in_features, linear.out_features) == (2, 1) and linear.weight.requires_grad


def test_layers_without_bias_or_memory():
    linear = nn.Linear(4, 3, bias=False, device="meta")
    keep_outputs(linear, torch.tensor([0, 1]))
    assert linear.weight.shape == (2, 4) and linear.weight.is_meta and linear.bias is None
