"""The transformer: presets by shapes, positions, SDPA against its plain twin, bad sizes."""

import math
from dataclasses import replace

import pytest
import torch

from nearfar.encoders.dinov2 import PRESETS, DinoV2, DinoV2Config, patch_grid
from nearfar.errors import ConfigError

SMALL = DinoV2Config(width=24, depth=2, heads=3, grid=4)


def filled(config: DinoV2Config, seed: int = 0) -> DinoV2:
    generator = torch.Generator().manual_seed(seed)
    network = DinoV2(config).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return network


@pytest.mark.parametrize(
    ("preset", "count"), [("vits", 22_056_192), ("vitb", 86_579_712), ("vitl", 304_367_616)]
)
def test_presets_have_the_published_parameter_count(preset, count):
    # ViT-L: docs/ppd.md section 13, 304 368 640 less the unused mask token of 1024
    with torch.device("meta"):
        network = DinoV2(PRESETS[preset])
    assert sum(p.numel() for p in network.parameters()) == count


def test_vitl_has_the_published_names_and_shapes():
    with torch.device("meta"):
        state = DinoV2(PRESETS["vitl"]).state_dict()
    assert len(state) == 342  # 343 with mask_token
    assert state["pos_embed"].shape == (1, 1370, 1024)
    assert state["patch_embed.proj.weight"].shape == (1024, 3, 14, 14)
    assert state["blocks.23.attn.qkv.weight"].shape == (3072, 1024)
    assert state["blocks.0.ls2.gamma"].shape == (1024,)


def test_attention_equals_written_out_softmax():
    attention = filled(SMALL).blocks[0].attn
    x_BLD = torch.randn(2, 7, 24, generator=torch.Generator().manual_seed(1))
    qkv = attention.qkv(x_BLD).reshape(2, 7, 3, 3, 8)
    q, k, v = (qkv[:, :, i].transpose(1, 2) for i in range(3))
    weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(8), dim=-1)
    plain = attention.proj((weights @ v).transpose(1, 2).reshape(2, 7, 24))
    torch.testing.assert_close(attention(x_BLD), plain, atol=1e-5, rtol=1e-5)


def cubic_weight(distance):
    """The cubic convolution kernel with a = -0.75."""
    d, a = abs(distance), -0.75
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def test_positions_are_used_as_they_are_on_the_learned_grid_and_resized_elsewhere():
    network = filled(SMALL)
    assert network.positions(4, 4) is network.pos_embed
    table = network.pos_embed[0, 1:].view(4, 4, 24)
    h, w = 9, 13
    position = network.positions(h, w)[0, 1:].view(h, w, 24)
    for i, j in [(0, 0), (3, 5), (4, 9), (8, 12)]:
        # output i looks at (i + 0.5) * 4 / (size + 0.1) - 0.5, not at .../size
        y, x = (i + 0.5) * 4 / (h + 0.1) - 0.5, (j + 0.5) * 4 / (w + 0.1) - 0.5
        wanted = torch.zeros(24)
        for row in range(math.floor(y) - 1, math.floor(y) + 3):
            for column in range(math.floor(x) - 1, math.floor(x) + 3):
                value = table[min(max(row, 0), 3), min(max(column, 0), 3)]
                wanted += cubic_weight(y - row) * cubic_weight(x - column) * value
        torch.testing.assert_close(position[i, j], wanted, atol=1e-5, rtol=0)


def test_every_usual_grid_size_has_its_positions():
    network = filled(replace(PRESETS["vits"], width=6, heads=1, depth=1))
    for side in [1, 7, 36, 37, 38, 64, 103, 314]:
        assert network.positions(side, 48).shape == (1, 1 + side * 48, 6)


def test_layers_come_in_the_order_asked_for():
    network = filled(SMALL)
    image = torch.rand(1, 3, 28, 42, generator=torch.Generator().manual_seed(2))
    first, second = network(image, layers=[0, 1])
    swapped = network(image, layers=[1, 0])
    assert torch.equal(first.patches_BLD, swapped[1].patches_BLD)
    assert torch.equal(second.class_BD, swapped[0].class_BD)
    assert not torch.allclose(first.patches_BLD, second.patches_BLD)


def test_impossible_sizes_are_named():
    with pytest.raises(ConfigError, match="width 25 is no multiple of heads 3"):
        replace(SMALL, width=25)
    with pytest.raises(ConfigError, match="30x28"):
        filled(SMALL)(torch.zeros(1, 3, 30, 28), layers=[0])
    with pytest.raises(ConfigError, match="40x64"):
        patch_grid(40, 64)
