"""Names and shapes are those of the published file, at full size, without allocating it."""

import pytest
import torch

from nearfar.models.ppd.keys import expected_shapes, our_name, our_video_name, video_config_of
from nearfar.models.ppd.network import PPDNetwork
from nearfar.models.ppd.presets import LARGE, TINY, VIDEO, VIDEO_TINY
from nearfar.models.ppd.video_network import PPDVideoNetwork

# spec ppd.md section 13, by hand
PUBLISHED = {
    "x_embedder.proj.weight": (1024, 4, 16, 16),
    "x_embedder.proj.bias": (1024,),
    "t_embedder.mlp.0.weight": (1024, 256),
    "t_embedder.mlp.0.bias": (1024,),
    "t_embedder.mlp.2.weight": (1024, 1024),
    "t_embedder.mlp.2.bias": (1024,),
    "proj_fusion.0.weight": (4096, 2048),
    "proj_fusion.0.bias": (4096,),
    "proj_fusion.2.weight": (4096, 4096),
    "proj_fusion.2.bias": (4096,),
    "proj_fusion.4.weight": (4096, 4096),
    "proj_fusion.4.bias": (4096,),
    "final_layer.adaLN_modulation.1.weight": (2048, 1024),
    "final_layer.adaLN_modulation.1.bias": (2048,),
    "final_layer.linear.weight": (64, 1024),
    "final_layer.linear.bias": (64,),
}
PUBLISHED_BLOCK = {
    "attn.qkv.weight": (3072, 1024),
    "attn.qkv.bias": (3072,),
    "attn.q_norm.weight": (64,),
    "attn.q_norm.bias": (64,),
    "attn.k_norm.weight": (64,),
    "attn.k_norm.bias": (64,),
    "attn.proj.weight": (1024, 1024),
    "attn.proj.bias": (1024,),
    "mlp.fc1.weight": (4096, 1024),
    "mlp.fc1.bias": (4096,),
    "mlp.fc2.weight": (1024, 4096),
    "mlp.fc2.bias": (1024,),
    "adaLN_modulation.1.weight": (6144, 1024),
    "adaLN_modulation.1.bias": (6144,),
}


def shapes_of(config):
    with torch.device("meta"):
        network = PPDNetwork(config)
    return {name: tuple(t.shape) for name, t in network.state_dict().items()}


def test_full_size_equals_the_published_table():
    blocks = {
        f"blocks.{i}.{name}": shape for i in range(24) for name, shape in PUBLISHED_BLOCK.items()
    }
    assert shapes_of(LARGE) == PUBLISHED | blocks
    assert len(blocks) + len(PUBLISHED) == 352


@pytest.mark.parametrize("config", [LARGE, TINY])
def test_expected_shapes_are_the_networks(config):
    assert expected_shapes(config) == shapes_of(config)


@pytest.mark.parametrize(
    ("published", "ours"),
    [
        ("dit.blocks.3.attn.qkv.weight", "blocks.3.attn.qkv.weight"),
        ("pipeline.dit.x_embedder.proj.bias", "x_embedder.proj.bias"),
        ("module.pipeline.dit.final_layer.linear.bias", "final_layer.linear.bias"),
        ("proj_fusion.0.weight", "proj_fusion.0.weight"),
        ("sem_encoder.blocks.0.attn.qkv.weight", None),
        ("pipeline.sem_encoder.blocks.0.norm1.weight", None),
        ("dit_video.blocks.0.attn.qkv.weight", None),
        ("optimizer", None),
    ],
)
def test_names(published, ours):
    assert our_name(published) == ours


def test_video_shapes_are_those_of_the_network():
    for config in (VIDEO, VIDEO_TINY):
        with torch.device("meta"):
            state = PPDVideoNetwork(config).state_dict()
        assert {n: tuple(t.shape) for n, t in state.items()} == expected_shapes(config)
    published = expected_shapes(VIDEO)
    assert published["proj_fusion.0.weight"] == (4096, 3072)
    for number in range(3):
        for name, shape in PUBLISHED_BLOCK.items():
            assert published[f"temporal_blocks.{number}.{name}"] == shape


def test_video_names_and_sizes_of_a_published_file():
    assert our_video_name("dit_video.temporal_blocks.2.mlp.fc1.bias") == (
        "temporal_blocks.2.mlp.fc1.bias"
    )
    assert our_video_name("module.pipeline.dit_video.pos_embed") == "pos_embed"
    assert our_video_name("sem_encoder.register_token") is None
    assert our_name("temporal_blocks.0.mlp.fc1.bias") is None
    with torch.device("meta"):
        state = PPDVideoNetwork(VIDEO).state_dict()
    assert video_config_of(state) == VIDEO
    with pytest.raises(KeyError, match="pos_embed"):
        video_config_of({n: t for n, t in state.items() if n != "pos_embed"})
