"""Fresh weights of DAR from a generator (spec dar.md sections 3, 4).

Transformer: Linear xavier uniform (packed matrices: each part on its own), bias 0. Token decoder:
N(0, 0.001) as released where it has BatchNorm, else by fan in. Query tokens and levels: 0. The
rest: uniform in +-1/sqrt(fan in), as torch does; with a prior, the last layer starts at 0. A photo
encoder starts like that too, but is meant to be loaded.
"""

from __future__ import annotations

import torch
from torch import nn

from .config import DARConfig
from .network import DARNetwork

_PACKED = {"qkv": 3, "kv": 2}


def new_network(config: DARConfig, *, generator: torch.Generator) -> DARNetwork:
    """A float32 network on the CPU with fresh weights."""
    with torch.device("meta"):  # so that no module draws from torch's global generator
        network = DARNetwork(config)
    network.to_empty(device="cpu")
    init_weights(network, generator=generator)
    return network


@torch.no_grad()
def init_weights(network: DARNetwork, *, generator: torch.Generator) -> None:
    """Set every weight and buffer."""
    for parameter in network.parameters(recurse=True):
        parameter.zero_()  # class tokens, positions, queries, levels, biases of xavier layers
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
        if isinstance(module, nn.LayerNorm | nn.GroupNorm | nn.BatchNorm2d):
            nn.init.ones_(module.weight)
        elif name.endswith(("ls1", "ls2")):
            nn.init.ones_(module.gamma)
        elif isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            _draw(name, module, network.config, generator)
    if network.config.has_prior:  # so that a fresh network answers with it
        for parameter in network.probability.conv2.parameters():
            parameter.zero_()
    tiny = network.config.tiny
    if tiny is not None:  # its residual branches start as the identity
        for name, module in network.encoder.named_modules():
            if name.endswith("norm2") and isinstance(module, nn.BatchNorm2d):
                nn.init.zeros_(module.weight)


def _draw(
    name: str,
    module: nn.Linear | nn.Conv2d | nn.ConvTranspose2d,
    config: DARConfig,
    generator: torch.Generator,
) -> None:
    weight = module.weight
    if name.startswith("transformer."):
        for part in weight.chunk(_PACKED.get(name.rpartition(".")[2], 1)):
            nn.init.xavier_uniform_(part, generator=generator)
        return
    if name.startswith("token_decoder.") and config.norm == "batch":
        nn.init.normal_(weight, std=0.001, generator=generator)
        return
    is_transposed = isinstance(module, nn.ConvTranspose2d)  # stride = kernel: one input a pixel
    bound = (weight.shape[0] if is_transposed else weight[0].numel()) ** -0.5
    weight.uniform_(-bound, bound, generator=generator)
    if module.bias is not None:
        module.bias.uniform_(-bound, bound, generator=generator)
