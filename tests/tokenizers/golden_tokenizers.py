"""Networks of the golden files: stored weights, or weights made from names by either recipe."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from nearfar.tokenizers.config import VQConfig
from nearfar.tokenizers.keys import from_published, published_name
from nearfar.tokenizers.vqvae import VQVAE

GOLDEN = Path(__file__).parents[1] / "golden" / "tokenizers"
LEVELS = (1, 1, 2, 2, 4)
FULL_TOPOLOGY = VQConfig(
    channels=32, multipliers=LEVELS, code_width=8, codebook=64, scales=(1, 2, 3, 4)
)
SWITTI_16 = VQConfig(channels=32, multipliers=LEVELS, codebook=512, scales=(1, 2, 3, 4, 6))


def golden(name):
    return load_file(GOLDEN / f"{name}.safetensors")


def table(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())


def under(tensors, prefix):
    return {k.removeprefix(prefix): t.float() for k, t in tensors.items() if k.startswith(prefix)}


def network_of(published, *, scales):
    """A network holding tensors given by their published names."""
    found = from_published(published, where="golden", scales=scales)
    network = VQVAE(found.config)
    network.load_state_dict(found.tensors)
    return network.eval()


def made(config, value):
    """A network whose tensor of published name n and shape s is value(n, s)."""
    with torch.device("meta"):
        shapes = {name: tuple(t.shape) for name, t in VQVAE(config).state_dict().items()}
    names = {published_name(n, phi_count=config.phi_count): s for n, s in shapes.items()}
    tensors = {n: torch.from_numpy(value(n, s)) for n, s in names.items() if n is not None}
    return network_of(tensors, scales=config.scales)


def var_weights(name, shape, *, seed=8):
    """Values that float16 holds exactly: gains around 1, small biases, kernels by fan-in."""
    stream = np.random.RandomState((zlib.crc32(name.encode()) + 1000003 * seed) % 2**32)
    normal = stream.standard_normal(int(np.prod(shape))).reshape(shape)
    if name.endswith("quantize.embedding.weight"):
        values = 0.6 * normal
    elif name.endswith(".bias"):
        values = 0.05 * normal
    elif len(shape) == 1:
        values = 1 + 0.1 * normal
    else:
        gain = 0.4 if name.endswith("decoder.conv_out.weight") else 1.0
        values = gain * normal / np.sqrt(float(np.prod(shape[1:])))
    return values.astype(np.float16).astype(np.float32)


def switti_weights(name, shape):
    normal = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape)
    if name.endswith("bias"):
        values = 0.05 * normal
    elif len(shape) == 1:
        values = 1 + 0.1 * normal if "norm" in name else 0.5 * normal
    else:
        values = normal / np.sqrt(np.prod(shape[1:]))
    return values.astype(np.float32)
