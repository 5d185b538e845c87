"""Micro PPD models with random weights, in files, their encoders beside them."""

import json
from dataclasses import asdict

import torch

from nearfar.encoders.photo import PRESETS as PHOTO
from nearfar.encoders.photo import PhotoEncoder
from nearfar.encoders.tiny import PRESETS as TINY
from nearfar.encoders.tiny import TinyEncoder
from nearfar.models.ppd.config import PPDConfig
from nearfar.models.ppd.network import PPDNetwork
from nearfar.models.ppd.presets import MICRO_PHOTO
from nearfar.weights.safe import write_safetensors

VELOCITY = PPDConfig(width=32, depth=2, heads=4, patch_size=4, semantics_width=48)


def write_micro_ppd(folder, kind="velocity"):
    """Weights of a velocity network or one of clean maps, in fp16; the path of the network's."""
    if kind == "velocity":
        config, tag, encoder = VELOCITY, "tiny", TinyEncoder(TINY["micro"])
    else:
        config, tag, encoder = MICRO_PHOTO, "photo", PhotoEncoder(PHOTO["micro"])
    _write(folder / "encoder.safetensors", _filled(encoder, 1), f"{tag}_encoder", "")
    card = {"recipe": {"data": {"crop": [64, 64]}}}  # the size it works at
    (folder / "card.json").write_text(json.dumps(card))
    network = _filled(PPDNetwork(config), 0)
    return _write(folder / "weights.safetensors", network, "ppd", tag, config)


def _filled(network, seed):
    """The network with random weights: no layer is silent."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    return network.eval()


def _write(path, network, family, encoder, config=None):
    state = network.state_dict()
    halves = {n: t.half() if t.is_floating_point() else t for n, t in state.items()}
    metadata = {"nearfar_format": "1", "family": family, "preset": "micro", "encoder": encoder}
    metadata["licence"] = "Apache-2.0"
    if config is not None:
        metadata["config"] = json.dumps(asdict(config))
    return write_safetensors(path, halves, metadata)
