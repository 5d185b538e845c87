import logging

import pytest
import torch
from micro_weights import own_metadata
from safetensors.torch import save_file

from nearfar.errors import WeightsError
from nearfar.tokenizers.config import VQConfig
from nearfar.tokenizers.keys import COUNTER, published_name
from nearfar.tokenizers.presets import PRESETS
from nearfar.tokenizers.vqvae import VQVAE
from nearfar.weights.convert import convert_file
from nearfar.weights.tokenizers import load_tokenizer

MICRO = PRESETS["micro"]


@pytest.fixture(scope="module")
def image():
    return torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_own_files_and_run_folders(tmp_path, image):
    network = VQVAE(MICRO).eval()
    half = {n: t.half() if t.is_floating_point() else t for n, t in network.state_dict().items()}
    save_file(half, tmp_path / "weights.safetensors", own_metadata("depth_tokenizer", "micro"))
    found = load_tokenizer(tmp_path)
    assert found.config == MICRO and not found.training
    assert {p.dtype for p in found.parameters()} == {torch.float32}
    torch.testing.assert_close(
        found.features(image), network.features(image), atol=2e-2, rtol=0, check_device=False
    )
    assert load_tokenizer(tmp_path, scales=(1, 4)).config.scales == (1, 4)


def test_released_files_are_recognized_and_converted(tmp_path, caplog):
    config = VQConfig(
        channels=32, multipliers=(1, 1, 2), blocks=1, code_width=8, codebook=64, scales=(1, 2, 4)
    )
    network = VQVAE(config)
    state = {published_name(n, phi_count=4): t for n, t in network.state_dict().items()}
    state.pop(None)
    path = tmp_path / "vae_ch160v4096z32.pth"
    torch.save(state | {COUNTER: torch.zeros(10, 64)}, path)
    with caplog.at_level(logging.WARNING):
        found = load_tokenizer(path, scales=(1, 2, 4))
    assert found.config == config and COUNTER in caplog.text
    for name, tensor in network.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor)
    done = convert_file(path, tmp_path / "vae.safetensors")
    assert (done.family, done.ignored) == ("depth_tokenizer", {COUNTER: 1})
    again = load_tokenizer(done.path, scales=(1, 2, 4))
    assert torch.equal(again.quantize.phi[3].weight, network.quantize.phi[3].weight)


def test_other_files_are_refused(tmp_path, tiny):
    with pytest.raises(WeightsError, match="no such file"):
        load_tokenizer(tmp_path)
    path = tmp_path / "encoder.safetensors"
    save_file(tiny.state_dict(), path, own_metadata("tiny_encoder", "micro"))
    with pytest.raises(WeightsError):
        load_tokenizer(path)
