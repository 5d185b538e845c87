"""Modulation of the one condition that depth uses, computed once (spec depthart.md section 7.1).

Exact: the vectors are those the Linears would give at every step. A third of the parameters of a
block is no longer stored or read.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from .network import DepthARTNetwork


@torch.no_grad()
def fold_modulation(network: DepthARTNetwork) -> DepthARTNetwork:
    """A network with modulation = "constant" that gives the same; shares all other tensors."""
    if network.config.modulation == "constant":
        return network
    label_1 = torch.tensor(
        [network.transformer.unconditional], device=network.transformer.pos_1LC.device
    )
    modulated = network.transformer.modulated(label_1)
    tensors = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if "ada_lin" not in name and "ada_gss" not in name
    }
    for index, block_16D in enumerate(modulated.blocks):
        tensors[f"transformer.blocks.{index}.ada_gss"] = block_16D[:, None].clone()
    tensors["transformer.head_nm.ada_gss"] = modulated.head_B2D[:, None].clone()
    # classes would need their own modulation: of their rows only the condition's is left
    unconditional = tensors["transformer.class_emb.weight"][-1:].clone()
    tensors["transformer.class_emb.weight"] = unconditional
    with torch.device("meta"):
        folded: nn.Module = DepthARTNetwork(
            replace(network.config, modulation="constant", classes=0)
        )
    folded.load_state_dict(tensors, assign=True)
    assert isinstance(folded, DepthARTNetwork)
    return folded.train(network.training).requires_grad_(False)
