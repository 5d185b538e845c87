"""Which layers of PPD can be pruned: all Linears of attention and MLP in its blocks.

What talks to the outside stays whole: embedders, modulation, fusion, the final layer, the detail
head, and the encoder. Norms of q and k and the rotation belong to a head's width, not to a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from nearfar.layers.adaln import AdaLNBlock
from nearfar.layers.attention import SelfAttention
from nearfar.layers.mlp import MLP
from nearfar.layers.prunable import PrunableUnit, keep_inputs, keep_outputs, kept

from .network import PPDNetwork


def prunable_units(network: PPDNetwork) -> Sequence[PrunableUnit]:
    """The layers in network order; heads and neurons can be removed."""
    units = []
    for i, block in enumerate(network.blocks):
        assert isinstance(block, AdaLNBlock)
        attention, mlp = block.attn, block.mlp
        units += [
            PrunableUnit(name=f"blocks.{i}.attn.qkv", linear=attention.qkv),
            PrunableUnit(
                name=f"blocks.{i}.attn.proj",
                linear=attention.proj,
                group_size=network.config.head_width,
                remove=partial(_remove_heads, attention),
            ),
            PrunableUnit(name=f"blocks.{i}.mlp.fc1", linear=mlp.fc1),
            PrunableUnit(
                name=f"blocks.{i}.mlp.fc2",
                linear=mlp.fc2,
                group_size=1,
                remove=partial(_remove_neurons, mlp),
            ),
        ]
    return units


def _remove_heads(attention: SelfAttention, removed: Tensor) -> None:
    """Cut heads, given as all inputs of the output projection that come from them."""
    width = attention.proj.in_features
    head_width = width // attention.heads
    stay = kept(width, removed)
    keep_inputs(attention.proj, stay)
    keep_outputs(attention.qkv, torch.cat([stay + part * width for part in range(3)]))
    attention.heads = len(stay) // head_width


def _remove_neurons(mlp: MLP, removed: Tensor) -> None:
    """Cut neurons of the hidden layer."""
    stay = kept(mlp.fc2.in_features, removed)
    keep_inputs(mlp.fc2, stay)
    keep_outputs(mlp.fc1, stay)
