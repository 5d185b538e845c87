"""Micro PPD models in files with encoders of their own, and photos that show something."""

import json
from dataclasses import asdict

import pytest
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


def filled(network, seed):
    """The network with random weights: no layer is silent."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    return network.eval()


def write(path, network, family, encoder, config=None):
    state = network.state_dict()
    halves = {n: t.half() if t.is_floating_point() else t for n, t in state.items()}
    metadata = {"nearfar_format": "1", "family": family, "preset": "micro", "encoder": encoder}
    metadata["licence"] = "Apache-2.0"
    if config is not None:
        metadata["config"] = json.dumps(asdict(config))
    write_safetensors(path, halves, metadata)


@pytest.fixture(scope="session")
def model_files(tmp_path_factory):
    """kind -> file of weights, its encoder beside it: a velocity network and a clean-map one."""
    paths = {}
    for kind, config, tag, encoder in (
        ("velocity", VELOCITY, "tiny", TinyEncoder(TINY["micro"])),
        ("clean", MICRO_PHOTO, "photo", PhotoEncoder(PHOTO["micro"])),
    ):
        folder = tmp_path_factory.mktemp(kind)
        write(folder / "weights.safetensors", filled(PPDNetwork(config), 0), "ppd", tag, config)
        kept = folder / "encoder.safetensors"
        write(kept, filled(encoder, 1), f"{tag}_encoder", "")
        paths[kind] = folder / "weights.safetensors"
    return paths


@pytest.fixture(params=["velocity", "clean"])
def kind(request):
    return request.param


@pytest.fixture
def load(model_files, monkeypatch):
    """A freshly loaded model of a kind that works at 64x64 pixels."""
    from nearfar.weights.load import load_predictor

    def fresh(kind="velocity", path=None):
        beside = model_files[kind].with_name("encoder.safetensors")
        model = load_predictor(path or model_files[kind], encoder=beside)
        model.predictor.default_area = 64 * 64
        return model

    return fresh


@pytest.fixture(scope="session")
def photos():
    generator = torch.Generator().manual_seed(5)
    rows = torch.linspace(0, 1, 64)[:, None].expand(64, 64)
    return [(rows + 0.5 * torch.rand(3, 64, 64, generator=generator)) / 1.5 for _ in range(3)]
