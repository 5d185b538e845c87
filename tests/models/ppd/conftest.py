"""Golden inputs and the golden-sized networks, for photos and for video."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nearfar.models.ppd.config import PPDConfig, PPDVideoConfig
from nearfar.models.ppd.network import PPDNetwork
from nearfar.models.ppd.video_network import PPDVideoNetwork

GOLDEN = Path(__file__).parents[2] / "golden" / "ppd"


@pytest.fixture(scope="session")
def golden_config():
    return PPDConfig(width=64, depth=4, heads=4, semantics_width=96)


@pytest.fixture(scope="session")
def golden_network(golden_config):
    with torch.device("meta"):
        network = PPDNetwork(golden_config)
    network.load_state_dict(load_file(GOLDEN / "dit_tiny_weights.safetensors"), assign=True)
    return network.eval()


@pytest.fixture(scope="session")
def golden_video_network():
    config = PPDVideoConfig(width=32, heads=4, semantics_width=48, grid_hw=(4, 6))
    with torch.device("meta"):
        network = PPDVideoNetwork(config)
    weights = load_file(GOLDEN / "dit_video_tiny_weights.safetensors")
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def golden():
    return lambda name: load_file(GOLDEN / f"{name}.safetensors")
