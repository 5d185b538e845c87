import pytest
import torch

from nearfar.tokenizers.presets import PRESETS
from nearfar.tokenizers.vqvae import VQVAE


def parameters(name):
    with torch.device("meta"):
        network = VQVAE(PRESETS[name])
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("name", ["var", "switti"])
def test_published_sizes_are_exact(name):
    assert parameters(name) == 108_948_355


@pytest.mark.parametrize(
    ("name", "tokens"), [("tiny", 274), ("tiny_depth", 274), ("tiny_depth10", 448)]
)
def test_ours_fit_into_small_files(name, tokens):
    assert 2 * parameters(name) < 12e6  # bytes in fp16
    assert (PRESETS[name].image_size, PRESETS[name].token_count) == (96, tokens)
