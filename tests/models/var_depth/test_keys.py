import logging
from dataclasses import replace

import pytest
import torch

from nearfar.errors import WeightsError
from nearfar.models.var_depth.condition import RGBConditionAdapter
from nearfar.models.var_depth.keys import from_adapter, from_switti, from_upsampler, is_switti
from nearfar.models.var_depth.network import VarDepthNetwork, new_network
from nearfar.models.var_depth.pixel_upsampler import DepthUNet
from nearfar.models.var_depth.presets import COMPAT
from nearfar.tokenizers.config import VQConfig

FIVE = VQConfig(
    channels=32, multipliers=(1, 2), blocks=1, code_width=8, codebook=64, scales=(1, 2, 3, 4, 6)
)
BASE = replace(COMPAT, tokenizer=FIVE, upsampler="none")


@pytest.fixture
def published(golden):
    tensors = {k[2:]: v for k, v in golden("model_tiny").items() if k.startswith("w.")}
    return tensors | {
        "lvl_1L": torch.zeros(1, 66, dtype=torch.int64),
        "attn_bias_for_masking": torch.zeros(1, 1, 66, 66),
    }


def test_every_published_name_of_switti_has_a_place(published_keys):
    shapes = published_keys["switti"]
    names = {n: s for n, s in shapes.items() if not n.startswith("blocks.")}
    for index in range(published_keys["depth"]):
        for name, shape in shapes.items():
            if name.startswith("blocks.0."):
                names[name.replace("blocks.0.", f"blocks.{index}.", 1)] = shape
    tensors = {n: torch.empty(s, device="meta") for n, s in names.items()}
    part = from_switti(tensors, where="switti")
    assert part.config == COMPAT
    assert sorted(part.dropped) == ["attn_bias_for_masking", "lvl_1L"]
    with torch.device("meta"):
        network = VarDepthNetwork(COMPAT)
    own = {n: t.shape for n, t in network.state_dict().items() if n.startswith("transformer.")}
    assert own == {n: t.shape for n, t in part.tensors.items()}


def test_sizes_are_read_and_dropped_names_are_told(published, caplog):
    wrapped = {"model": {f"module.{n}": t for n, t in published.items()}}
    wrapped["model"]["module.text_encoder.weight"] = torch.zeros(2)
    with caplog.at_level(logging.WARNING):
        part = from_switti(wrapped, where="file.pt", base=BASE, heads=2)
    config = part.config
    assert (config.width, config.depth, config.heads, config.ffn) == (32, 2, 2, "swiglu")
    assert config.has_crop and not config.is_causal
    assert [record.message.split()[1] for record in caplog.records] == ["text_encoder.weight"]
    with torch.device("meta"):
        network = VarDepthNetwork(config)
    assert not network.load_state_dict(part.tensors, strict=False, assign=True).unexpected_keys


def test_other_files_are_refused_in_one_line(published):
    with pytest.raises(WeightsError, match="VAR or DepthART"):
        from_switti({"class_emb.weight": torch.zeros(1)}, where="var_d16.pth")
    with pytest.raises(WeightsError, match="no Switti"):
        from_switti({"a": torch.zeros(1)}, where="x")
    with pytest.raises(WeightsError, match="codes, code width, scales 64, 8, 5"):
        from_switti(published, where="x", heads=2)  # beside the tokenizer of 4096 codes
    del published["blocks.0.ada_lin.1.weight"]
    published.pop("head.weight")
    with pytest.raises((WeightsError, KeyError)):
        from_switti(published, where="x", base=BASE, heads=2)
    assert not is_switti(["word_embed.weight"])


def released(mode):
    with torch.device("meta"):
        adapter = RGBConditionAdapter(context_width=2048, pooled_width=1280, scales=10)
    static = torch.empty(10, 8, 2048, device="meta")
    return {
        "format_version": 2,
        "adapter_state_dict": adapter.state_dict(),
        "static_prefix_context_scales": static,
        "prefix_context_scales": static,
        "optimizer_state_dict": {},
        "step": 30000,
        "prefix_mode": mode,
        "train_version": "v2",
    }


def test_adapter_files_fit_and_say_their_mode(published_keys, caplog):
    with caplog.at_level(logging.WARNING):
        part = from_adapter(released("hybrid_conditional"), where="adapter_prefix.pt")
    assert {n.removeprefix("prompt.adapter.") for n in part.tensors} == {
        *published_keys["adapter"],
        "prompt.static_prefix_KMD",
    }
    dropped = ["format_version", "optimizer_state_dict", "step", "train_version"]
    assert sorted(part.dropped) == dropped and len(caplog.records) == len(dropped)
    with torch.device("meta"):
        network = VarDepthNetwork(replace(part.config, depth=1))
    assert not network.load_state_dict(part.tensors, strict=False, assign=True).unexpected_keys


def test_released_inference_gave_mode_none_a_prefix():
    assert from_adapter(released("none"), where="x").config.prefix_mode == "none"
    as_released = from_adapter(released("none"), where="x", as_released=True)
    assert as_released.config.prefix_mode == "static"
    with pytest.raises(WeightsError, match="prefix_mode"):
        from_adapter(released("other"), where="x")
    with pytest.raises(WeightsError, match="adapter_prefix"):
        from_adapter({"step": 3}, where="x")


def test_second_stage_fits(published_keys, caplog):
    with torch.device("meta"):
        tensors = DepthUNet((64, 128, 256, 256)).state_dict()
    assert {n: list(t.shape) for n, t in tensors.items()} == published_keys["unet"]
    with caplog.at_level(logging.WARNING):
        part = from_upsampler({**tensors, "ema.decay": torch.zeros(1)}, where="unet")
    assert part.dropped == ["ema.decay"] and "ema.decay" in caplog.text
    with torch.device("meta"):
        network = VarDepthNetwork(replace(COMPAT, depth=1))
    assert not network.load_state_dict(part.tensors, strict=False, assign=True).unexpected_keys
    with pytest.raises(WeightsError, match="second stage"):
        from_upsampler({"a": torch.zeros(1)}, where="x")


def test_own_weights_round_trip_under_published_names(golden):
    network = new_network(
        replace(BASE, width=32, depth=1, heads=2, context_width=8, pooled_width=8),
        generator=torch.Generator().manual_seed(2),
    )
    names = network.state_dict()
    plain = {n[12:]: t for n, t in names.items() if n.startswith("transformer.")}
    part = from_switti(plain, where="own", base=BASE, heads=2)
    assert part.config == network.config
    assert all(torch.equal(names[n], t) for n, t in part.tensors.items())
