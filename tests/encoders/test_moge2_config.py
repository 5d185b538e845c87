"""The config is what the checkpoint says, and what it cannot say is refused."""

from copy import deepcopy

import pytest
import torch

from nearfar.encoders.dinov2 import PRESETS as TRUNKS
from nearfar.encoders.moge2 import MoGe2
from nearfar.encoders.moge2_config import PRESETS, ConvStackConfig, from_published
from nearfar.errors import ConfigError

STACK = {
    "dim_in": [1024, 256, 128, 64, 32],
    "dim_res_blocks": [1024, 256, 128, 64, 32],
    "dim_out": [None, None, None, None, 3],
    "num_res_blocks": [0, 1, 1, 1, 0],
    "res_block_in_norm": "none",
    "res_block_hidden_norm": "none",
    "resamplers": ["conv_transpose", "conv_transpose", "conv_transpose", "bilinear"],
}
PUBLISHED = {
    "encoder": {
        "backbone": "dinov2_vitl14",
        "intermediate_layers": [5, 11, 17, 23],
        "dim_out": 1024,
    },
    "neck": {
        **STACK,
        "dim_in": [1026, 2, 2, 2, 2],
        "dim_out": None,
        "num_res_blocks": [0, 2, 2, 2, 0],
    },
    "points_head": STACK,
    "mask_head": {**STACK, "dim_out": [None, None, None, None, 1]},
    "normal_head": STACK,
    "scale_head": {"dims": [1024, 1024, 1024, 1]},
    "remap_output": "exp",
    "num_tokens_range": [1200, 3600],
}


def test_a_published_config_of_the_known_layout_is_our_preset():
    assert from_published(PUBLISHED, trunk=TRUNKS["vitl"]) == PRESETS["vitl"]
    assert PRESETS["vitl"].is_metric
    assert PRESETS["vitl"].intermediate_layers == (5, 11, 17, 23)


def test_another_layout_is_built_as_it_says():
    other = deepcopy(PUBLISHED)
    other["encoder"]["intermediate_layers"] = 4
    other["points_head"].update(num_res_blocks=2, resamplers="pixel_shuffle", activation="silu")
    del other["normal_head"]
    config = from_published(other, trunk=TRUNKS["vitl"])
    assert config.intermediate_layers == (20, 21, 22, 23)
    assert config.points_head.num_res_blocks == (2,) * 5
    assert config.normal_head is None
    with torch.device("meta"):
        names = MoGe2(config).state_dict()
    assert "points_head.res_blocks.0.1.layers.5.weight" in names
    assert names["points_head.resamplers.0.0.weight"].shape == (4 * 256, 1024, 3, 3)


def test_full_size_network_has_the_spec_shapes():
    with torch.device("meta"):
        state = MoGe2(PRESETS["vitl"]).state_dict()
    assert state["encoder.output_projections.3.weight"].shape == (1024, 1024, 1, 1)
    assert state["encoder.backbone.pos_embed"].shape == (1, 1370, 1024)
    assert state["neck.input_blocks.0.weight"].shape == (1024, 1026, 1, 1)
    assert state["neck.resamplers.0.0.weight"].shape == (1024, 256, 2, 2)
    assert state["points_head.output_blocks.4.weight"].shape == (3, 32, 1, 1)
    assert state["scale_head.4.weight"].shape == (1, 1024)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"remap_output": "cube"}, "remap_output 'cube'"),
        ({"scale_head": {"dims": [7, 1]}}, "scale head takes 7"),
        ({"neck": {**STACK, "color": 1}}, "unknown entries .'color'"),
        ({"neck": {"dim_in": [1]}}, "incomplete"),
        ({"neck": {**STACK, "resamplers": "magic"}}, "resampler 'magic'"),
        ({"encoder": {"intermediate_layers": [5, 99]}}, "are not blocks of 0..23"),
    ],
)
def test_what_cannot_be_built_is_named(change, message):
    with pytest.raises(ConfigError, match=message):
        from_published({**PUBLISHED, **change}, trunk=TRUNKS["vitl"])


def test_levels_must_agree():
    with pytest.raises(ConfigError, match="2 levels, but"):
        ConvStackConfig(
            dim_in=(1,),
            dim_res_blocks=(2, 2),
            dim_out=(None, None),
            num_res_blocks=(1, 1),
            resamplers=("bilinear",),
        )
