"""A tiny encoder, the video encoder that starts from it, and clips for both."""

import pytest
import torch

from nearfar.encoders.tiny import PRESETS as STEMS
from nearfar.encoders.tiny import TinyEncoder
from nearfar.encoders.tiny_video import PRESETS, TinyVideoEncoder, start_from_stem


def _drawn(make, seed):
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(seed)
        return make()


@pytest.fixture
def stem():
    return _drawn(lambda: TinyEncoder(STEMS["micro"]), 0).eval().requires_grad_(False)


@pytest.fixture
def started(stem):
    network = _drawn(lambda: TinyVideoEncoder(PRESETS["micro"]), 1)
    start_from_stem(network, stem.state_dict(), generator=torch.Generator().manual_seed(1))
    return network


@pytest.fixture
def clip():
    """Two clips of three frames."""
    return torch.rand(2, 3, 3, 32, 48, generator=torch.Generator().manual_seed(2))
