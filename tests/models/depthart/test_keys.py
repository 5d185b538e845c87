"""Every published name maps or is dropped by name; what a file is, is read from its keys."""

import pytest
import torch

from nearfar.errors import WeightsError
from nearfar.models.depthart.keys import TOKENIZER, from_published, our_name
from nearfar.models.depthart.network import DepthARTNetwork
from nearfar.models.depthart.presets import PRESETS


def published(name):
    """Every tensor of a published VAR file of this preset, on the meta device (spec 5)."""
    config = PRESETS[name]
    width, tokens = config.width, config.tokenizer.token_count
    shapes = {
        "pos_start": (1, 1, width),
        "pos_1LC": (1, tokens, width),
        "lvl_1L": (1, tokens),
        "attn_bias_for_masking": (1, 1, tokens, tokens),
        "word_embed.weight": (width, 32),
        "word_embed.bias": (width,),
        "class_emb.weight": (1001, width),
        "lvl_embed.weight": (10, width),
        "head_nm.ada_lin.1.weight": (2 * width, width),
        "head_nm.ada_lin.1.bias": (2 * width,),
        "head.weight": (4096, width),
        "head.bias": (4096,),
    }
    if config.modulation == "shared":
        shapes["shared_ada_lin.1.weight"] = (6 * width, width)
        shapes["shared_ada_lin.1.bias"] = (6 * width,)
    for i in range(config.depth):
        block = {
            "attn.q_bias": (width,),
            "attn.v_bias": (width,),
            "attn.zero_k_bias": (width,),
            "attn.mat_qkv.weight": (3 * width, width),
            "attn.proj.weight": (width, width),
            "attn.proj.bias": (width,),
            "ffn.fc1.weight": (4 * width, width),
            "ffn.fc1.bias": (4 * width,),
            "ffn.fc2.weight": (width, 4 * width),
            "ffn.fc2.bias": (width,),
        }
        if config.attention == "l2_norm":
            block["attn.scale_mul_1H11"] = (1, config.heads, 1, 1)
        if config.modulation == "shared":
            block["ada_gss"] = (1, 1, 6, width)
        else:
            block["ada_lin.1.weight"] = (6 * width, width)
            block["ada_lin.1.bias"] = (6 * width,)
        shapes |= {f"blocks.{i}.{key}": shape for key, shape in block.items()}
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


@pytest.mark.parametrize("name", ["depthart", "d16", "d20", "d24", "d30", "d36"])
def test_published_files_are_recognized_by_their_keys(name, caplog):
    found = from_published({"trainer": {"var_wo_ddp": published(name)}}, where="x.pth")
    assert found.config == PRESETS[name]
    with torch.device("meta"):
        network = DepthARTNetwork(found.config)
    expected = {
        key: tensor.shape
        for key, tensor in network.state_dict().items()
        if key.startswith("transformer.")
    }
    assert {key: tensor.shape for key, tensor in found.tensors.items()} == expected
    constants = {"lvl_1L", "attn_bias_for_masking"}
    constants |= {f"blocks.{i}.attn.zero_k_bias" for i in range(found.config.depth)}
    assert set(found.dropped) == constants
    assert not caplog.records  # they are computed again: `models convert` counts them, once


def test_depthart_release_drops_the_scales_of_l2_attention_aloud(caplog):
    found = from_published(published("d16"), where="var_d16.pth", attention="plain")
    assert found.config == PRESETS["depthart"]
    assert sum(name.endswith("scale_mul_1H11") for name in found.dropped) == 16
    assert "blocks.3.attn.scale_mul_1H11 is not part of this network" in caplog.text
    with pytest.raises(WeightsError, match="no scale_mul_1H11"):
        from_published(published("depthart"), where="x", attention="l2_norm")


def test_a_depthart_file_holds_its_tokenizer_once_or_twice(files):
    file = files.whole("depthart")
    assert {"normalizer.alpha", "normalizer.beta"} <= set(file)
    twice = file | {
        f"vae_quant_proxy.{name.removeprefix('quantize.')}": tensor
        for name, tensor in files.weights("tokenizers/var_tiny").items()
        if name.startswith("quantize.")
    }
    one, two = (from_published(f, where="model", scales=files.scales) for f in (file, twice))
    assert any(name.startswith(TOKENIZER) for name in one.tensors)
    assert one.tensors.keys() == two.tensors.keys()
    assert {"normalizer.alpha", "normalizer.beta", "lvl_1L"} <= set(one.dropped)
    alone = {k: v for k, v in twice.items() if not k.startswith("vae_proxy.quantize.")}
    third = from_published(alone, where="model", scales=files.scales)
    assert all(torch.equal(third.tensors[k], one.tensors[k]) for k in one.tensors)


def test_other_files_are_named(files):
    var = {k: v for k, v in files.whole("depthart").items() if not k.startswith("vae_")}
    alone = from_published(var, where="v.pth", scales=files.scales)
    assert not any(name.startswith(TOKENIZER) for name in alone.tensors)
    with pytest.raises(WeightsError, match="a VQ-VAE alone"):
        from_published(files.weights("tokenizers/var_tiny"), where="vae.pth")
    with pytest.raises(WeightsError, match="4 scales of 30 tokens"):
        from_published(var, where="v.pth")
    wrong = files.whole("depthart")
    wrong["head.weight"] = wrong["head.weight"][:32]
    with pytest.raises(WeightsError, match="tokenizer has 64 codes .* transformer 32"):
        from_published(wrong, where="v.pth", scales=files.scales)
    del var["word_embed.weight"]
    with pytest.raises(WeightsError, match="'word_embed.weight' is missing"):
        from_published(var, where="v.pth", scales=files.scales)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("blocks.3.attn.q_bias", "transformer.blocks.3.attn.q_bias"),
        ("shared_ada_lin.1.bias", "transformer.shared_ada_lin.1.bias"),
        ("vae_proxy.quant_conv.bias", "tokenizer.quant_conv.bias"),
        ("vae_quant_proxy.embedding.weight", "tokenizer.quantize.embedding.weight"),
        ("blocks.3.attn.zero_k_bias", None),
        ("normalizer.alpha", None),
        ("quantize.embedding.weight", None),
    ],
)
def test_names(name, ours):
    assert our_name(name) == ours
