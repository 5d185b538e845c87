"""Micro configs and networks with random weights, shared by the tests of this room."""

import json
from dataclasses import replace

import torch

from nearfar.encoders.dinov2 import DinoV2Config
from nearfar.encoders.moge2_config import metric_config
from nearfar.models.dar.network import new_network as new_dar
from nearfar.models.dar.presets import MICRO as DAR_MICRO
from nearfar.models.depthart.network import new_network as new_depthart
from nearfar.models.depthart.presets import MICRO as DEPTHART_MICRO
from nearfar.models.ppd.config import PPDConfig
from nearfar.models.var_depth.network import new_network as new_var_depth
from nearfar.models.var_depth.presets import MICRO as VAR_DEPTH_MICRO

DINO = DinoV2Config(width=64, depth=4, heads=1, grid=3)
MOGE = metric_config(DINO, widths=(24, 12, 8), dim_out=24)
MICRO_WIDTH = 48  # semantics of the micro tiny encoder


def filled(network, seed=0):
    """The network with small random weights and plausible statistics."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    return network.eval().requires_grad_(False)


def ppd_config(semantics_width=MICRO_WIDTH, patch_size=4):
    """A micro PPD: patch 4 on the tiny encoder, 8 on the published ones."""
    return PPDConfig(
        width=32, depth=2, heads=2, semantics_width=semantics_width, patch_size=patch_size
    )


def own_metadata(family, encoder, config=None, preset="micro", **more):
    """Metadata as `nearfar train` and the converter write them."""
    metadata = {
        "nearfar_format": "1",
        "family": family,
        "preset": preset,
        "encoder": encoder,
        "licence": "Apache-2.0",
        **more,
    }
    return metadata if config is None else {**metadata, "config": json.dumps(config)}


def family_network(family, *, on_encoder=True):
    """A micro network of a next-scale family or DAR, initialized as in training.

    on_encoder: the photo through the micro encoder (8 pixels a token), where the family can.
    """
    generator = torch.Generator().manual_seed(0)
    if family == "dar":
        return new_dar(DAR_MICRO, generator=generator).eval()
    if family == "depthart":
        config = replace(DEPTHART_MICRO, modulation="constant", classes=0)
        if on_encoder:
            vq = replace(config.tokenizer, multipliers=(1, 1, 1, 2))
            config = replace(
                config, prefix="encoder", semantics_width=MICRO_WIDTH, tokenizer=vq, curve="log"
            )
        return new_depthart(config, generator=generator).eval()
    config = VAR_DEPTH_MICRO
    if on_encoder:
        vq = replace(config.tokenizer, multipliers=(1, 1, 1, 2))
        config = replace(config, photo="encoder", semantics_width=MICRO_WIDTH, tokenizer=vq)
    return new_var_depth(config, generator=generator).eval()
