"""Fresh weights as torch's constructors draw them, but from a generator."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def draw_weights(network: nn.Module, *, generator: torch.Generator) -> None:
    """Redraw what torch's constructors drew from the global state, by the same distributions.

    Linear and convolution: weight and bias uniform in +-1/sqrt(fan in). Constants stay.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            bound = module.weight[0].numel() ** -0.5
            module.weight.uniform_(-bound, bound, generator=generator)
            if module.bias is not None:
                module.bias.uniform_(-bound, bound, generator=generator)
