"""Lets the tests of this room share golden_tokenizers.py; a micro network with seeded weights."""

import sys
from pathlib import Path

import pytest
import torch

from nearfar.tokenizers.presets import PRESETS
from nearfar.tokenizers.vqvae import VQVAE, draw_codebook

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def micro():
    """16 codes, token maps of 1, 2, 3, 4 cells, 16x16 images."""
    generator = torch.Generator().manual_seed(5)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = VQVAE(PRESETS["micro"])
    draw_codebook(network, generator=generator)
    return network


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(11)
