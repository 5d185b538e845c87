"""The conv pyramid: sizes, every part takes part, and its plain twin."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from nearfar.encoders.moge2_config import ConvStackConfig
from nearfar.encoders.moge2_decoder import ConvStack

BASE = ConvStackConfig(
    dim_in=(6, 2, 2),
    dim_res_blocks=(8, 6, 4),
    dim_out=(None, None, 3),
    num_res_blocks=(0, 1, 2),
    resamplers=("conv_transpose", "bilinear"),
    res_block_in_norm="none",
    res_block_hidden_norm="none",
)


def filled(config):
    generator = torch.Generator().manual_seed(0)
    stack = ConvStack(config).eval().requires_grad_(False)
    for parameter in stack.parameters():
        parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return stack


def inputs(seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(2, c, 3 * k, 4 * k, generator=generator) for c, k in [(6, 1), (2, 2), (2, 4)]
    ]


def test_against_a_written_out_twin():
    stack, features = filled(BASE), inputs()
    state = stack.state_dict()

    def conv3(x, name):
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def conv1(x, name):
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def block(x, name):
        return x + conv3(F.relu(conv3(F.relu(x), f"{name}.layers.2")), f"{name}.layers.5")

    x = conv1(features[0], "input_blocks.0")
    x = F.conv_transpose2d(
        x, state["resamplers.0.0.weight"], state["resamplers.0.0.bias"], stride=2
    )
    x = conv3(x, "resamplers.0.1") + conv1(features[1], "input_blocks.1")
    x = block(x, "res_blocks.1.0")
    x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    x = conv3(x, "resamplers.1.1") + conv1(features[2], "input_blocks.2")
    x = block(block(x, "res_blocks.2.0"), "res_blocks.2.1")
    outputs = stack(features)
    assert [tuple(o.shape) for o in outputs] == [(2, 8, 3, 4), (2, 6, 6, 8), (2, 3, 12, 16)]
    torch.testing.assert_close(outputs[-1], conv1(x, "output_blocks.2"), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["conv_transpose", "bilinear", "nearest", "pixel_shuffle"])
@pytest.mark.parametrize("norm", ["none", "layer_norm", "group_norm", "instance_norm"])
def test_every_resampler_and_norm_doubles_the_grid(kind, norm):
    config = replace(
        BASE, resamplers=(kind, kind), res_block_in_norm=norm, res_block_hidden_norm=norm
    )
    last = filled(config)(inputs())[-1]
    assert last.shape == (2, 3, 12, 16) and torch.isfinite(last).all()


def test_each_level_input_matters():
    stack, features = filled(BASE), inputs()
    before = stack(features)[-1]
    for level in range(3):
        changed = list(features)
        changed[level] = changed[level] + 1
        assert not torch.allclose(stack(changed)[-1], before)
