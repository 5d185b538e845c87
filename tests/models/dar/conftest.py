"""Golden values of the public code at tiny sizes, and networks built like it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from nearfar.encoders.tiny import PRESETS as TINY_ENCODERS
from nearfar.models.dar.keys import our_name
from nearfar.models.dar.network import DARNetwork, new_network
from nearfar.models.dar.presets import MICRO, RELEASED

GOLDEN = Path(__file__).parents[2] / "golden" / "dar"

# the sizes of the golden autoregressive loop; its photo encoder is replaced by tensors
LOOP = replace(
    RELEASED,
    vit=None,
    tiny=TINY_ENCODERS["micro"],
    layers=5,
    width=32,
    heads=4,
    token_width=32,
    memory_width=24,
    context_width=12,
    decoder_width=8,
    hidden_width=16,
    bin_width=8,
    last_grid=(6, 8),
    fractions=(0.4, 0.5, 0.6, 0.75, 1.0),
    norm="batch",
)
PLAIN = replace(MICRO, bin_grid=8, is_grid_per_step=True, has_prior=False)


@pytest.fixture(scope="session")
def golden():
    return lambda name: load_file(GOLDEN / f"{name}.safetensors")


@pytest.fixture(scope="session")
def golden_facts():
    def read(name):
        with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
            return {k: _value(v) for k, v in file.metadata().items()}

    return read


def _value(text):
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


@pytest.fixture(scope="session")
def loop_network():
    """A network with the golden loop's weights; `rule` and the mask as asked for."""

    def make(**changes):
        config = replace(LOOP, **changes)
        network = new_network(config, generator=torch.Generator().manual_seed(0))
        weights = load_file(GOLDEN / "ar_loop.safetensors")
        found = {
            our_name("decoder.update." + name[2:]): tensor
            for name, tensor in weights.items()
            if name.startswith("w.")
        }
        found.pop(None)  # the dead head
        faults = network.load_state_dict(found, strict=False)
        assert not faults.unexpected_keys
        left = {n.split(".")[0] for n in faults.missing_keys if "num_batches" not in n}
        assert left == {"encoder"}
        return network.eval()

    return make


@pytest.fixture
def micro():
    """A small network of ours with fresh weights."""

    def make(**changes):
        config = replace(PLAIN, **changes)
        return new_network(config, generator=torch.Generator().manual_seed(0)).eval()

    return make


@pytest.fixture
def meta():
    """A network without memory."""

    def make(config):
        with torch.device("meta"):
            return DARNetwork(config)

    return make
