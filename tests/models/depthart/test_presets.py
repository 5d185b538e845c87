"""Published sizes to the parameter, on the meta device; ours fit into an embedded file."""

import pytest
import torch

from nearfar.models.depthart.network import DepthARTNetwork
from nearfar.models.depthart.presets import PRESETS


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("name", "transformer"),
    [  # spec: 310.28 M, 600.9 M, 1033 M, 2010 M, 2354 M
        ("depthart", 310_283_264),  # d16 without 16 scales for each of 16 blocks
        ("d16", 310_283_520),
        ("d20", 600_917_136),
        ("d24", 1_033_399_360),
        ("d30", 2_010_020_356),
        ("d36", 2_353_893_904),
    ],
)
def test_published_sizes(name, transformer):
    config = PRESETS[name]
    with torch.device("meta"):
        network = DepthARTNetwork(config)
    assert count(network.transformer) == transformer
    assert count(network.tokenizer) == 108_948_355
    assert config.width == 64 * config.depth and config.heads == config.depth
    assert config.tokenizer.token_count == (2240 if name == "d36" else 680)


@pytest.mark.parametrize("name", ["tiny", "tiny_photo", "tiny_rgb"])
def test_ours_are_small_in_fp16(name):
    with torch.device("meta"):
        network = DepthARTNetwork(PRESETS[name])
    assert 2 * count(network) < 25e6
