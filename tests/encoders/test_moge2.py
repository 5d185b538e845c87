"""Golden parity of MoGe-2, semantics and whole; the metric part's plumbing at tiny size."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from nearfar.encoders.dinov2 import DinoV2Config
from nearfar.encoders.moge2 import MoGe2, remap_points, token_grid
from nearfar.encoders.moge2_config import MoGe2Config, config_of, metric_config
from nearfar.errors import ConfigError

GOLDEN = Path(__file__).parents[1] / "golden" / "ppd" / "moge2_tiny.safetensors"
WHOLE = Path(__file__).parents[1] / "golden" / "moge2" / "moge2_tiny_full.npz"
TRUNK = DinoV2Config(width=48, depth=4, heads=3, grid=5)
METRIC = replace(
    metric_config(DinoV2Config(width=24, depth=4, heads=2, grid=4), widths=(20, 12, 8), dim_out=20),
    num_tokens_range=(6, 20),
)


@pytest.fixture(scope="module")
def golden():
    return load_file(GOLDEN)


@pytest.fixture(scope="module")
def encoder(golden):
    config = MoGe2Config(trunk=TRUNK, intermediate_layers=(0, 1, 2, 3), dim_out=40)
    network = MoGe2(config)
    unused = ("mask_token", "image_mean", "image_std")
    network.load_state_dict(
        {
            k.removeprefix("sd."): v
            for k, v in golden.items()
            if k.startswith("sd.") and not k.endswith(unused)
        }
    )
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def metric_model():
    generator = torch.Generator().manual_seed(0)
    network = MoGe2(METRIC).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network


@pytest.mark.parametrize("case", ["wide", "tall"])
def test_golden_semantics(golden, encoder, case):
    semantics = encoder.semantics(golden[f"{case}.image"])
    torch.testing.assert_close(semantics, golden[f"{case}.semantics"], atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def whole():
    """What the published code answers, and its weights and config under "model." and "config"."""
    golden = dict(np.load(WHOLE))
    config = json.loads(str(golden.pop("config")))
    return {name: torch.from_numpy(array) for name, array in golden.items()} | {"config": config}


def published_moge2(whole, rounding):
    """The network of the published weights; of the file that says so, with this rounding."""
    model = {k.removeprefix("model."): v for k, v in whole.items() if k.startswith("model.")}
    config = config_of(model, model_config=whole["config"], where="golden", grid_rounding=rounding)
    network = MoGe2(config)
    network.load_state_dict(model)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize(("rounding", "version"), [("nearest", "rounded"), ("down", "truncated")])
def test_golden_metres_and_field_of_view(whole, rounding, version):
    network = published_moge2(whole, rounding)
    image = whole["image_uint8"][None] / 255
    points, mask, scale = network.affine_points(image)
    if version == "rounded":
        torch.testing.assert_close(
            points[0], whole["rounded.forward41_points"], atol=1e-5, rtol=1e-5
        )
    assert torch.equal(mask[0], whole[f"{version}.forward41_mask"].bool())
    torch.testing.assert_close(scale[0], whole[f"{version}.forward41_metric_scale"])
    guess = network.metric(image)
    valid = guess.valid_BHW[0]
    assert valid.float().mean() > 0.8
    expected = whole[f"{version}.infer_depth"]
    torch.testing.assert_close(guess.depth_BHW[0][valid], expected[valid], atol=1e-4, rtol=0)
    focal = float(whole[f"{version}.infer_intrinsics"][0, 0])  # in photo widths
    fov_x_deg = math.degrees(2 * math.atan(0.5 / focal))
    assert float(guess.fov_x_deg_B) == pytest.approx(fov_x_deg, abs=0.01)


@pytest.mark.parametrize("rounding", ["nearest", "down"])
def test_semantics_do_not_depend_on_the_rounding(whole, rounding):
    image = whole["image_uint8"][None, :, :48, :64] / 255
    semantics = published_moge2(whole, rounding).semantics(image)
    torch.testing.assert_close(semantics[0], whole["semantics_48x64"], atol=1e-5, rtol=0)


def test_metric_of_semantics_only_weights_is_refused(golden, encoder):
    with pytest.raises(ConfigError, match="semantics only"):
        encoder.metric(golden["wide.image"])


@pytest.mark.parametrize("size_hw", [(48, 80), (80, 32)])
def test_metric_has_the_photos_size_and_does_not_depend_on_the_batch(metric_model, size_hw):
    image = torch.rand(2, 3, *size_hw, generator=torch.Generator().manual_seed(1))
    both = metric_model.metric(image)
    assert both.depth_BHW.shape == both.valid_BHW.shape == (2, *size_hw)
    assert both.fov_x_deg_B.shape == (2,)
    assert torch.isfinite(both.depth_BHW).all()
    assert (both.depth_BHW[both.valid_BHW] > 0).all()
    assert (both.depth_BHW[~both.valid_BHW] == 0).all()
    in_range_B = (both.fov_x_deg_B > 0) & (both.fov_x_deg_B < 180)
    assert (in_range_B | ~both.valid_BHW.flatten(1).any(dim=1)).all()  # NaN without a camera
    one = metric_model.metric(image[1:])
    torch.testing.assert_close(one.depth_BHW, both.depth_BHW[1:], atol=1e-4, rtol=1e-4)


def test_scale_of_metres_is_exp_of_the_class_token_mlp(metric_model):
    image = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(2))
    before = metric_model.affine_points(image)
    shifted = MoGe2(METRIC).eval().requires_grad_(False)
    shifted.load_state_dict(metric_model.state_dict())
    shifted.scale_head[-1].bias += torch.log(torch.tensor(3.0))
    after = shifted.affine_points(image)
    torch.testing.assert_close(after.scale_B, 3 * before.scale_B)
    assert torch.equal(after.points_BHW3, before.points_BHW3)
    mlp = metric_model.scale_head
    grid = token_grid(32, 48, tokens=20)
    hidden = metric_model.encoder(image, grid_hw=grid).class_BD
    for layer in (0, 2):
        hidden = torch.relu(F.linear(hidden, mlp[layer].weight, mlp[layer].bias))
    by_hand = F.linear(hidden, mlp[4].weight, mlp[4].bias).exp()[:, 0]
    torch.testing.assert_close(before.scale_B, by_hand)


def test_places_of_pixels_reach_the_neck_at_every_level(metric_model):
    features = torch.zeros(1, 20, 3, 5)
    inputs = metric_model._with_view_plane(features, (48, 80))
    assert [tuple(x.shape) for x in inputs] == [(1, 22, 3, 5), (1, 2, 6, 10), (1, 2, 12, 20)]
    assert inputs[0][0, 20, 0, 0] < 0 < inputs[0][0, 20, 0, -1]  # u grows to the right
    assert inputs[2][0, 1, 0, 0] < 0 < inputs[2][0, 1, -1, 0]  # v grows downwards


def test_bf16_metric_stays_near_fp32(metric_model):
    image = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(3))
    low = MoGe2(METRIC)
    low.load_state_dict(metric_model.state_dict())
    low = low.bfloat16().requires_grad_(False)
    exact, rough = metric_model.affine_points(image), low.affine_points(image)
    assert rough.points_BHW3.dtype == torch.float32
    error = (rough.points_BHW3 - exact.points_BHW3).abs() / exact.points_BHW3.norm(dim=-1)[
        ..., None
    ]
    assert error.mean() < 0.02


def test_exp_remap_and_token_grid():
    raw = torch.tensor([[[[0.5, -1.0, 2.0]]]])
    z = torch.exp(torch.tensor(2.0))
    torch.testing.assert_close(
        remap_points(raw, kind="exp")[0, 0, 0], torch.stack([0.5 * z, -z, z])
    )
    assert torch.equal(remap_points(raw, kind="linear"), raw)
    assert token_grid(768, 1024, tokens=3600) == (52, 69)
    assert token_grid(768, 1024, tokens=3600, rounding="down") == (51, 69)
    assert token_grid(16, 5000, tokens=4) == (1, 35)
