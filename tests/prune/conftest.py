"""Micro PPD models in files with encoders of their own, and photos that show something."""

import pytest
import torch
from micro_ppd import write_micro_ppd


@pytest.fixture(scope="session")
def model_files(tmp_path_factory):
    """kind -> file of weights, its encoder beside it: a velocity network and a clean-map one."""
    return {
        kind: write_micro_ppd(tmp_path_factory.mktemp(kind), kind) for kind in ("velocity", "clean")
    }


@pytest.fixture(params=["velocity", "clean"])
def kind(request):
    return request.param


@pytest.fixture
def load(model_files):
    """A freshly loaded model of a kind that works at 64x64 pixels."""
    from nearfar.weights.load import load_predictor

    def fresh(kind="velocity", path=None):
        beside = model_files[kind].with_name("encoder.safetensors")
        model = load_predictor(path or model_files[kind], encoder=beside)
        assert model.predictor.default_area == 64 * 64  # of its card, or its plan
        return model

    return fresh


@pytest.fixture(scope="session")
def photos():
    generator = torch.Generator().manual_seed(5)
    rows = torch.linspace(0, 1, 64)[:, None].expand(64, 64)
    return [(rows + 0.5 * torch.rand(3, 64, 64, generator=generator)) / 1.5 for _ in range(3)]
