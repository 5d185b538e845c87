"""`load` refuses what it cannot give, and hands the file's identity on."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sonde.encoders.tiny import PRESETS as ENCODER_PRESETS
from sonde.encoders.tiny import TinyEncoder
from sonde.errors import ConfigError, WeightsError
from sonde.models.ppd.network import PPDNetwork
from sonde.models.ppd.presets import PRESETS
from sonde.pipeline.load import load


@pytest.mark.parametrize(
    ("arguments", "error", "word"),
    [
        ({"name": "ppd-tinny"}, ConfigError, "ppd-tiny"),
        ({"name": "ppd-tiny", "device": "tpu"}, ConfigError, "unknown device 'tpu'"),
        ({"name": "ppd-tiny", "dtype": "int4"}, ConfigError, "unknown dtype 'int4'"),
        ({"name": "no/such/file.safetensors"}, WeightsError, "no such file"),
    ],
    ids=["name", "device", "dtype", "file"],
)
def test_refusals(arguments, error, word):
    with pytest.raises(error, match=word):
        load(**arguments)


def test_a_folder_of_weights_becomes_a_model_that_predicts(tmp_path, rgb):
    """The whole way with random weights: file, encoder beside it, network, metres, camera."""
    tensors = {}
    for name, network in {
        "weights": PPDNetwork(PRESETS["tiny"]),
        "encoder": TinyEncoder(ENCODER_PRESETS["tiny"]),
    }.items():
        generator = torch.Generator().manual_seed(1)
        tensors[name] = {
            key: (torch.rand(value.shape, generator=generator) * 0.1).half()
            if value.is_floating_point()
            else value
            for key, value in network.state_dict().items()
        }
    about = {"sonde_format": "1", "preset": "tiny", "encoder": "tiny", "licence": "none"}
    folder = tmp_path / "mine"
    folder.mkdir()
    save_file(tensors["weights"], folder / "weights.safetensors", {**about, "family": "ppd"})
    save_file(
        tensors["encoder"], folder / "encoder.safetensors", {**about, "family": "tiny_encoder"}
    )
    model = load(folder, device="cpu", dtype="fp32")
    result = model.predict(rgb, steps=1, resolution=48)
    assert (model.name, model.licence) == ("mine", "none")
    content = (folder / "weights.safetensors").read_bytes()
    assert result.weights_sha256 == hashlib.sha256(content).hexdigest()
    assert result.size_hw == (60, 90)
    assert np.array_equal(result.depth, model.predict(rgb, steps=1, resolution=48).depth)
