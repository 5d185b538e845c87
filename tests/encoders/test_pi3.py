"""Golden parity of the Pi3 semantics, what depends on other frames, and the published names."""

import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nearfar.encoders.pi3 import PRESETS, Pi3, Pi3Config, from_published
from nearfar.errors import ConfigError

GOLDEN = Path(__file__).parents[1] / "golden" / "ppd" / "pi3_tiny.safetensors"


@pytest.fixture(scope="module")
def golden():
    return load_file(GOLDEN)


@pytest.fixture(scope="module")
def published(golden):
    return {k.removeprefix("sd."): v for k, v in golden.items() if k.startswith("sd.")}


@pytest.fixture(scope="module")
def encoder(published):
    found = from_published(published, where="golden")
    network = Pi3(found.config)
    network.load_state_dict(found.tensors)
    return network.eval().requires_grad_(False)


def test_golden_semantics(golden, encoder):
    semantics = encoder.clip_semantics(golden["images"][None])
    torch.testing.assert_close(semantics[0], golden["semantics"], atol=1e-5, rtol=0)
    assert encoder.width == semantics.shape[-1] == 96


def test_frames_see_each_other_but_clips_do_not(golden, encoder):
    clip = golden["images"][:2]
    whole = encoder.clip_semantics(torch.stack([clip, clip.flip(-1)]))
    torch.testing.assert_close(whole[:1], encoder.clip_semantics(clip[None]), atol=2e-6, rtol=0)
    alone = encoder.clip_semantics(clip[None, :1])
    assert (alone[0, 0] - whole[0, 0]).abs().max() > 0.01


def test_config_is_read_from_shapes(published):
    config = from_published(published, where="golden").config
    trunk = config.trunk
    assert (trunk.width, trunk.heads, trunk.grid, trunk.mlp_ratio) == (48, 3, 5, 4)
    assert (config.decoder_depth, config.trunk_registers, config.registers) == (6, 4, 5)


def test_parts_of_no_use_are_left_out_with_a_warning(published, caplog):
    extra = {"point_head.proj.weight": torch.zeros(1), "point_head.proj.bias": torch.zeros(1)}
    extra |= {"encoder.mask_token": torch.zeros(1, 48)}
    with caplog.at_level(logging.WARNING):
        found = from_published(published | extra, where="pi3.safetensors")
    assert "pi3.safetensors" in caplog.text and "point_head (2)" in caplog.text
    assert found.dropped["point_head"] == 2 and found.dropped["image_mean"] == 1
    assert set(found.tensors) == set(Pi3(found.config).state_dict())


def test_paper_scale_has_the_published_sizes():
    with torch.device("meta"):
        network = Pi3(PRESETS["vitl"])
    state = network.state_dict()
    assert len(state) + 2 == 994  # image_mean and image_std are constants of ours
    total = sum(tensor.numel() for tensor in state.values())
    assert round(total / 1e6, 1) == 757.9
    assert network.width == 2048
    assert state["register_token"].shape == (1, 1, 5, 1024)
    assert state["decoder.35.attn.q_norm.weight"].shape == (64,)
    assert state["encoder.register_tokens"].shape == (1, 4, 1024)


def test_an_odd_decoder_is_refused():
    with pytest.raises(ConfigError, match="even number"):
        Pi3Config(decoder_depth=35)
