"""Every published name maps to a tensor of ours, or is known to be dead; and back."""

from nearfar.models.dar.keys import dead_parameters, dead_shapes, is_dead, our_name, published_name
from nearfar.models.dar.presets import RELEASED, TINY

# spec dar.md section 9, one of each pattern
PUBLISHED = [
    "encoder.backbone.cls_token",
    "encoder.backbone.pos_embed",
    "encoder.backbone.patch_embed.proj.weight",
    "encoder.backbone.blocks.23.norm1.weight",
    "encoder.backbone.blocks.0.attn.qkv.bias",
    "encoder.backbone.blocks.0.attn.proj.weight",
    "encoder.backbone.blocks.0.ls1.gamma",
    "encoder.backbone.blocks.0.mlp.fc2.weight",
    "encoder.backbone.norm.bias",
    "encoder.projects.3.bias",
    "encoder.resize_layers.0.weight",
    "encoder.resize_layers.1.weight",
    "encoder.resize_layers.3.bias",
    "encoder.scratch.layer4_rn.weight",
    "encoder.scratch.refinenet4.out_conv.bias",
    "encoder.scratch.refinenet1.resConfUnit1.conv1.weight",
    "encoder.scratch.refinenet4.resConfUnit2.conv2.weight",
    "encoder.layer1.0.weight",
    "encoder.layer1.1.bias",
    "encoder.layer1.3.bias",
    "encoder.layer2.0.weight",
    "encoder.out_layer.0.weight",
    "encoder.out_layer.1.weight",
    "decoder.update.query_tokens",
    "decoder.update.encoder.convd1.weight",
    "decoder.update.p_head.conv2.bias",
    "decoder.update.gru.convz1.weight",
    "decoder.update.gru.convq2.bias",
    "decoder.update.decoder.deconv_layers.6.weight",
    "decoder.update.decoder.deconv_layers.7.running_mean",
    "decoder.update.decoder.conv_layers.0.bias",
    "decoder.update.decoder.conv_layers.1.num_batches_tracked",
    "decoder.update.transdecoder.mid_proj_in.weight",
    "decoder.update.transdecoder.mid_block.0.cross_attn.kv.weight",
    "decoder.update.transdecoder.mid_block.0.context_norm.bias",
    "decoder.update.transdecoder.mid_block.5.skip_linear.weight",
]


def test_published_names_are_tensors_of_the_released_network(meta):
    own = meta(RELEASED).state_dict()
    for name in PUBLISHED:
        assert our_name(f"module.{name}") in own, name
    assert "transformer.mid_block.4.skip_linear.weight" not in own


def test_every_tensor_has_a_published_name_and_comes_back(meta):
    for name in meta(RELEASED).state_dict():
        assert our_name(published_name(name)) == name


def test_dead_tensors_are_known_and_counted(meta):
    own = meta(RELEASED).state_dict()
    dead = dead_shapes(RELEASED)
    for name in dead:
        assert is_dead(f"module.{name}") and our_name(name) is None and name not in own
    assert dead_parameters(RELEASED) == 2_656_826
    assert dead_shapes(TINY) == {}
    assert not any(is_dead(name) for name in PUBLISHED)
    assert our_name("optimizer.state") is None


def test_golden_names_all_map(golden, loop_network):
    own = loop_network().state_dict()
    names = [n[2:] for n in golden("ar_loop") if n.startswith("w.")]
    found = {n: our_name(f"decoder.update.{n}") for n in names}
    assert all(ours in own for ours in found.values() if ours is not None)
    assert {n.split(".")[0] for n, ours in found.items() if ours is None} == {"last_layer_depth"}
