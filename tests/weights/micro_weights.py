"""Micro configs and networks with random weights, shared by the tests of this room."""

import json

import torch

from sonde.encoders.dinov2 import DinoV2Config
from sonde.encoders.moge2_config import metric_config
from sonde.models.ppd.config import PPDConfig

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
    """Metadata as `sonde train` and the converter write them."""
    metadata = {
        "sonde_format": "1",
        "family": family,
        "preset": preset,
        "encoder": encoder,
        "licence": "Apache-2.0",
        **more,
    }
    return metadata if config is None else {**metadata, "config": json.dumps(config)}
