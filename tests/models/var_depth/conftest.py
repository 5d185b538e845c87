"""Golden files, networks of golden size and micro networks with seeded weights."""

import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nearfar.models.var_depth.condition import crop_numbers
from nearfar.models.var_depth.config import VarDepthConfig
from nearfar.models.var_depth.network import Conditioned, VarDepthNetwork, new_network
from nearfar.models.var_depth.presets import MICRO
from nearfar.tokenizers.config import VQConfig

GOLDEN = Path(__file__).parents[2] / "golden"
GOLDEN_VQ = VQConfig(
    channels=32, multipliers=(1, 2), blocks=1, code_width=8, codebook=64, scales=(1, 2, 3, 4, 6)
)
GOLDEN_CONFIG = VarDepthConfig(
    width=32,
    depth=2,
    heads=2,
    condition="adapter",
    spatial="none",
    has_null=False,
    curve="linear",
    tokenizer=GOLDEN_VQ,
)


@pytest.fixture(scope="session")
def golden():
    return lambda name: load_file(GOLDEN / "var_depth" / f"{name}.safetensors")


@pytest.fixture(scope="session")
def published_keys():
    return json.loads((GOLDEN / "var_depth" / "keys.json").read_text())


@pytest.fixture(scope="session")
def golden_network(golden):
    """The golden transformer and quantizer; what has no golden weights stays without memory."""
    tensors = {
        f"transformer.{name[2:]}": value
        for name, value in golden("model_tiny").items()
        if name.startswith("w.")
    }
    for name, value in load_file(GOLDEN / "tokenizers/switti.safetensors").items():
        if name.startswith("w.quantize."):
            ours = name[2:].replace("quant_resi.qresi_ls.", "phi.")
            tensors[f"tokenizer.{ours}"] = value.float()

    def build(*, is_causal=False):
        with torch.device("meta"):
            network = VarDepthNetwork(replace(GOLDEN_CONFIG, is_causal=is_causal))
        assert not network.load_state_dict(tensors, strict=False, assign=True).unexpected_keys
        return network.eval()

    return build


@pytest.fixture(scope="session")
def golden_conditions(golden):
    """(with the prompt, without) of the generation runs, at 512 x 512."""
    inputs, other = golden("model_tiny"), golden("generate_tiny")
    crop_14 = crop_numbers([(512, 512)])

    def build(network):
        prompts = (
            (inputs["pooled"], inputs["prompt_embeds"], inputs["prompt_attn_bias"]),
            (other["npooled"], other["ncond"], other["nbias"]),
        )
        return [
            Conditioned(
                network.transformer.prepare(pooled, context, bias_BM=bias, crop_B4=crop_14),
                None,
                pooled,
                None,
            )
            for pooled, context, bias in prompts
        ]

    return build


@pytest.fixture(scope="session")
def recipe_filled():
    """The weight recipe of golden/switti: every tensor from the crc of its name."""

    def fill(module):
        tensors = {}
        for name, value in module.state_dict().items():
            x = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(
                tuple(value.shape)
            )
            if name.endswith("bias"):
                x = 0.05 * x
            elif value.ndim == 1 and "norm" in name:
                x = 1 + 0.1 * x
            else:
                x = x / np.sqrt(np.prod(value.shape[1:])) if value.ndim >= 2 else 0.5 * x
            tensors[name] = torch.tensor(np.asarray(x, dtype=np.float32))
        module.load_state_dict(tensors, assign=True)
        return module.eval()

    return fill


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(3)


@pytest.fixture(scope="session")
def micro():
    """A micro network, changed as asked; `placing` draws what starts at zero."""

    def build(*, placing=True, **changes):
        generator = torch.Generator().manual_seed(7)
        network = new_network(replace(MICRO, **changes), generator=generator)
        with torch.no_grad():
            for name, value in network.named_parameters():
                if placing and name.endswith(("ladder.into", "concat.weight_DC")):
                    value.normal_(std=0.3, generator=generator)
                elif name == "transformer.head.weight":
                    value *= 50  # so that codes differ from place to place
        return network.eval()

    return build


@pytest.fixture
def photo(generator):
    """Two photos 0..1 at the micro networks' size."""
    return torch.rand(2, 3, 40, 40, generator=generator)
