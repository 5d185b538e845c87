"""Golden networks of VAR and DepthART, on the golden VQ-VAE (16-pixel images, scales 1..4)."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from nearfar.models.depthart.keys import from_published
from nearfar.models.depthart.network import DepthARTNetwork

GOLDEN = Path(__file__).parents[2] / "golden" / "depthart"
SCALES = (1, 2, 3, 4)


def weights(name):
    """The weights of a golden file, by published names."""
    held = load_file(GOLDEN.parent / f"{name}.safetensors")
    return {k.removeprefix("sd."): v.float() for k, v in held.items() if k.startswith("sd.")}


def whole_file(name):
    """Published tensors of a transformer and, as in DepthART's file, of its tokenizer."""
    vq = {f"vae_proxy.{key}": value for key, value in weights("tokenizers/var_tiny").items()}
    return weights(f"depthart/{name}") | vq


def golden_network(name, **options):
    published = from_published(whole_file(name), where=name, scales=SCALES, **options)
    with torch.device("meta"):
        network = DepthARTNetwork(published.config)
    network.load_state_dict(published.tensors, assign=True)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def networks():
    """Published networks by the name of their golden file."""
    return {
        "var_l2norm": golden_network("var_l2norm"),
        "var_shared": golden_network("var_shared", heads=2),
        "depthart": golden_network("depthart"),
    }


@pytest.fixture(scope="session")
def golden():
    return lambda name: load_file(GOLDEN / f"{name}.safetensors")


class Feed:
    """Chooses the given tokens scale by scale, and keeps the logits it is shown."""

    def __init__(self, indices):
        self.indices, self.logits = indices, []

    def __call__(self, logits_BLV, quantizer, generators):
        index = self.indices[len(self.logits)]
        self.logits.append(logits_BLV)
        vectors = quantizer.embed(index)
        return vectors.mean(dim=2) if index.ndim == 3 else vectors


class Watch(Feed):
    """Chooses the best, and keeps logits and tokens."""

    def __init__(self):
        self.logits, self.indices = [], []

    def __call__(self, logits_BLV, quantizer, generators):
        self.logits.append(logits_BLV)
        self.indices.append(logits_BLV.argmax(dim=-1))
        return quantizer.embed(self.indices[-1])


@pytest.fixture
def feed():
    return Feed


@pytest.fixture
def watch():
    return Watch


@pytest.fixture
def seeds():
    return lambda *values: [torch.Generator().manual_seed(value) for value in values]


@pytest.fixture
def files():
    """Published tensors of golden files, and the scales that no shape of them tells."""
    return SimpleNamespace(scales=SCALES, weights=weights, whole=whole_file)
