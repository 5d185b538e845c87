"""Published names, with shapes, of the 324 tensors of VAR and Switti files; nothing allocated."""

import logging
from dataclasses import replace

import pytest
import torch
from golden_tokenizers import FULL_TOPOLOGY, golden, table, under

from nearfar.errors import WeightsError
from nearfar.tokenizers.keys import (
    COUNTER,
    HITS,
    bare_name,
    from_published,
    is_published,
    our_name,
    published_name,
)
from nearfar.tokenizers.presets import PRESETS
from nearfar.tokenizers.vqvae import VQVAE


def published(config):
    with torch.device("meta"):
        state = VQVAE(config).state_dict()
    names = {published_name(name, phi_count=config.phi_count): t for name, t in state.items()}
    return {name: tensor for name, tensor in names.items() if name is not None}


def test_every_published_tensor_has_its_place_and_shape():
    keys = table("published_keys")
    ours = published(PRESETS["switti"])
    assert len(keys) == 324 and len(ours) == 323
    assert {name: list(t.shape) for name, t in ours.items()} | {COUNTER: [10, 4096]} == keys


@pytest.mark.parametrize("phi_count", [0, 1, 3, 4])
def test_config_is_read_from_names_and_shapes(phi_count, caplog):
    config = replace(FULL_TOPOLOGY, phi_count=phi_count, blocks=1)
    found = from_published(published(config), where="x", scales=config.scales)
    assert found.config == config and found.dropped == []
    assert found.tensors.keys() == VQVAE(config).state_dict().keys()
    assert not caplog.records


def test_dropped_names_are_told(caplog):
    weights = under(golden("var_tiny"), "sd.") | {"blocks.0.head": torch.zeros(1)}
    with caplog.at_level(logging.WARNING):
        found = from_published(weights, where="vae.pth", scales=(1, 2, 3, 4))
    assert set(found.dropped) == {"blocks.0.head", COUNTER}
    assert all(name in caplog.text for name in found.dropped) and "vae.pth" in caplog.text
    assert found.tensors[HITS].tolist() == [0] * 64


def test_depthart_files_carry_the_tokenizer_under_prefixes():
    weights = under(golden("var_tiny"), "sd.")
    plain = from_published(weights, where="x", scales=(1, 2, 3, 4))
    nested = {f"vae_proxy.{name}": tensor for name, tensor in weights.items()}
    alone = {
        name.replace("quantize.", "vae_quant_proxy."): tensor
        for name, tensor in weights.items()
        if name.startswith("quantize.")
    }
    assert is_published(nested) and is_published(alone) and not is_published(["head.weight"])
    both = from_published(nested | alone, where="x", scales=(1, 2, 3, 4))
    assert both.config == plain.config and both.tensors.keys() == plain.tensors.keys()
    kept = {n: t for n, t in nested.items() if "vae_proxy.quantize." not in n}  # one alias is kept
    assert from_published(kept | alone, where="x", scales=(1, 2, 3, 4)).tensors.keys() == (
        plain.tensors.keys()
    )
    alone["vae_quant_proxy.embedding.weight"] = torch.zeros(64, 8)
    with pytest.raises(WeightsError, match=r"quantize.embedding.weight comes twice"):
        from_published(nested | alone, where="x")


def test_names_there_and_back():
    assert bare_name("module.vae_proxy.quant_conv.bias") == "quant_conv.bias"
    assert our_name("quantize.quant_resi.qresi.weight") == "quantize.phi.0.weight"
    assert our_name("quantize.quant_resi.qresi_ls.3.bias") == "quantize.phi.3.bias"
    assert our_name("quantize.quant_resi.7.bias") == "quantize.phi.7.bias"
    assert our_name(COUNTER) is None and our_name("word_embed.weight") is None
    assert published_name(HITS, phi_count=4) is None


def test_other_files_are_refused():
    with pytest.raises(WeightsError, match="no VQ-VAE of the VAR family"):
        from_published({"encoder.conv_in.weight": torch.zeros(32, 3, 3, 3)}, where="x.pth")
