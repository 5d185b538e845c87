"""Golden parity of the Depth Anything V2 semantics, and what may not change them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nearfar.encoders.depth_anything_v2 import DepthAnythingV2
from nearfar.encoders.dinov2 import DinoV2Config

GOLDEN = Path(__file__).parents[1] / "golden" / "ppd" / "dav2_tiny.safetensors"


@pytest.fixture(scope="module")
def golden():
    return load_file(GOLDEN)


@pytest.fixture(scope="module")
def encoder(golden):
    network = DepthAnythingV2(DinoV2Config(width=48, depth=4, heads=3, grid=5))
    state = {k.removeprefix("sd."): v for k, v in golden.items() if k.startswith("sd.")}
    del state["pretrained.mask_token"]
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("case", ["wide", "tall"])
def test_golden_semantics(golden, encoder, case):
    semantics = encoder.semantics(golden[f"{case}.image"])
    torch.testing.assert_close(semantics, golden[f"{case}.semantics"], atol=1e-5, rtol=0)


def test_a_photo_does_not_depend_on_its_batch(golden, encoder):
    images = golden["wide.image"]
    one = encoder.semantics(images[1:])
    torch.testing.assert_close(one, encoder.semantics(images)[1:], atol=1e-6, rtol=0)


def test_bf16_stays_near_fp32(golden, encoder):
    network = DepthAnythingV2(encoder.config)
    network.load_state_dict(encoder.state_dict())
    low = network.bfloat16().requires_grad_(False).semantics(golden["wide.image"])
    assert low.dtype == torch.float32
    cosine = torch.nn.functional.cosine_similarity(low, golden["wide.semantics"], dim=-1)
    assert cosine.min() > 0.999
