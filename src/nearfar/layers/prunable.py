"""What pruning may touch of a network: linear layers, and what is cut along with their inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, slots=True)
class PrunableUnit:
    """A linear layer of a network.

    name: of the layer in the network. group_size: how many of its inputs go together if some are
    removed: 1 for neurons, the width of a head for heads, 0 if they never are. remove: cuts those
    inputs (indices, whole groups, rising) and all that makes them out of the network; None if
    group_size is 0.
    """

    name: str
    linear: nn.Linear
    group_size: int = 0
    remove: Callable[[Tensor], None] | None = None


def kept(width: int, removed: Tensor) -> Tensor:
    """The indices below `width` that are not among the removed ones, rising."""
    stays = torch.ones(width, dtype=torch.bool)
    stays[removed.cpu()] = False
    return stays.nonzero().flatten()


def keep_inputs(linear: nn.Linear, indices: Tensor) -> None:
    """Cut a layer down to these of its inputs."""
    linear.weight = _chosen(linear.weight, 1, indices)
    linear.in_features = len(indices)


def keep_outputs(linear: nn.Linear, indices: Tensor) -> None:
    """Cut a layer down to these of its outputs, its bias too."""
    linear.weight = _chosen(linear.weight, 0, indices)
    if linear.bias is not None:
        linear.bias = _chosen(linear.bias, 0, indices)
    linear.out_features = len(indices)


def _chosen(parameter: Tensor, dim: int, indices: Tensor) -> nn.Parameter:
    values = parameter.detach().index_select(dim, indices.to(parameter.device))
    return nn.Parameter(values, requires_grad=parameter.requires_grad)
