"""Released checkpoints by the names of their tensors; parts and other sizes are refused by name."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from nearfar.encoders.dinov2 import DinoV2Config
from nearfar.errors import WeightsError
from nearfar.models.dar import keys as dar_keys
from nearfar.models.dar.network import new_network as new_dar
from nearfar.models.dar.presets import RELEASED
from nearfar.models.var_depth.presets import COMPAT
from nearfar.models.var_depth.transformer import SwittiTransformer
from nearfar.tokenizers.config import VQConfig
from nearfar.tokenizers.keys import published_name
from nearfar.tokenizers.presets import SWITTI, VAR
from nearfar.tokenizers.vqvae import VQVAE
from nearfar.weights.convert import convert_file
from nearfar.weights.families import NETWORKS
from nearfar.weights.load import load_predictor
from nearfar.weights.networks import build, fill
from nearfar.weights.published import read_weights
from nearfar.weights.released import flatten

SMALL_VQ = VQConfig(channels=32, multipliers=(1, 1), blocks=1, code_width=8, codebook=16)


def test_flatten_takes_the_prefixes_off_and_remembers_them():
    flat = flatten({"state_dict": {"module.pipeline.dit.x": torch.ones(1), "y": 3}}, "file")
    assert list(flat.tensors) == ["x"]
    assert flat.prefixes == {"module.", "pipeline.", "dit."}


def vq_file(seed=0):
    """A small VQ-VAE under released names, its counter included."""
    generator = torch.Generator().manual_seed(seed)
    file = {"quantize.ema_vocab_hit_SV": torch.zeros(10, 16)}
    for name, tensor in VQVAE(SMALL_VQ).state_dict().items():
        released = published_name(name, phi_count=SMALL_VQ.phi_count)
        if released is not None:
            file[released] = torch.randn(tensor.shape, generator=generator)
    return file


def test_the_scales_of_a_tokenizer_are_those_of_its_file_name(tmp_path):
    file = vq_file()
    for name, scales, entry in (
        ("vae_ch160v4096z32.pth", VAR.scales, "var-vae"),
        ("vqvae_switti.safetensors", SWITTI.scales, "switti-vae"),
        ("other.pth", VAR.scales, ""),
    ):
        torch.save(file, tmp_path / name)
        found = read_weights(tmp_path / name)
        assert (found.family, found.entry) == ("depth_tokenizer", entry)
        assert found.config == replace(SMALL_VQ, scales=scales)
        assert found.ignored == {"quantize.ema_vocab_hit_SV": 1}
        with pytest.raises(WeightsError, match="a tokenizer, not a depth model"):
            load_predictor(tmp_path / name)


@pytest.fixture
def switti_file():
    """A thin Switti that speaks of the released tokenizer's codes and scales."""
    config = replace(COMPAT, width=64, depth=1, heads=1, context_width=24, pooled_width=16)
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = {n: t.shape for n, t in SwittiTransformer(config).state_dict().items()}
    file = {n: torch.randn(shape, generator=generator) for n, shape in shapes.items()}
    return config, file | {"lvl_1L": torch.zeros(1, 5, dtype=torch.int64)}


def test_switti_is_converted_but_predicts_nothing(tmp_path, switti_file):
    config, file = switti_file
    torch.save({"state_dict": {f"module.{n}": t for n, t in file.items()}}, tmp_path / "s.pth")
    done = convert_file(tmp_path / "s.pth", tmp_path / "ours.safetensors")
    again = read_weights(done.path)
    assert (again.family, again.config) == ("switti", config)
    assert again.tensors.keys() == {f"transformer.{n}" for n in file if n != "lvl_1L"}
    for path in (tmp_path / "s.pth", done.path):
        with pytest.raises(WeightsError, match="a Switti file, which makes images of texts"):
            load_predictor(path)
    file["head.weight"] = file["head.weight"][:99]
    torch.save(file, tmp_path / "s.pth")
    with pytest.raises(WeightsError, match=r"codes, code width, scales 99, 32, 10.*has 4096, 32"):
        read_weights(tmp_path / "s.pth")


@pytest.fixture
def dar_file(monkeypatch):
    """A small DAR under the public code's names, dead tensors included."""
    config = replace(
        RELEASED,
        vit=DinoV2Config(width=64, depth=4, heads=1, grid=4),
        neck_widths=(8, 8, 16, 16),
        layers=3,
        width=32,
        heads=2,
        token_width=32,
        memory_width=32,
        context_width=16,
        decoder_width=8,
        hidden_width=16,
        bin_width=8,
    )
    monkeypatch.setitem(NETWORKS["dar"].presets, "released", config)
    network = new_dar(config, generator=torch.Generator().manual_seed(0))
    file = {dar_keys.published_name(n): t for n, t in network.state_dict().items()}
    dead = {n: torch.ones(shape) for n, shape in dar_keys.dead_shapes(config).items()}
    return network, file | dead


def test_dar_as_its_public_code_saves_it(tmp_path, dar_file, caplog):
    network, file = dar_file
    wrapped = {"model": {f"module.{n}": t for n, t in file.items()}, "epoch": 3}
    torch.save(wrapped | {"args": Namespace(lr=3e-5)}, tmp_path / "dar.pth")
    found = read_weights(tmp_path / "dar.pth")
    assert (found.family, found.encoder, found.preset) == ("dar", "", "released")
    assert found.tensors.keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(found.tensors[name], tensor)
    assert sum(found.ignored.values()) == len(dar_keys.dead_shapes(network.config))
    assert "no tensor tells its range; taken as 0.001..10 m" in caplog.text


def test_a_dar_of_another_preset_is_refused(tmp_path, dar_file):
    file = dar_file[1]
    name = "decoder.update.query_tokens"
    torch.save(file | {name: torch.zeros(1, 5, 7)}, tmp_path / "dar.pth")
    with pytest.raises(WeightsError, match=r"query_tokens \[1, 5, 7\].*of another preset; known"):
        read_weights(tmp_path / "dar.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {
                "adapter_state_dict": {"conv.weight": torch.ones(1)},
                "static_prefix_context_scales": torch.ones(10, 8, 4),
                "prefix_mode": "static",
            },
            "the adapter of VAR-Depth alone",
        ),
        (
            {"unet_state_dict": {"mid_block.resnets.0.conv1.weight": torch.ones(1)}},
            "the second stage of VAR-Depth alone",
        ),
    ],
)
def test_parts_are_named(tmp_path, content, message):
    torch.save(content, tmp_path / "part.pt")
    with pytest.raises(WeightsError, match=message):
        read_weights(tmp_path / "part.pt")


def test_pi3_is_converted_and_its_heads_are_left_out(tmp_path, caplog):
    golden = load_file(Path(__file__).parents[1] / "golden" / "ppd" / "pi3_tiny.safetensors")
    state = {k.removeprefix("sd."): v for k, v in golden.items() if k.startswith("sd.")}
    source = tmp_path / "pi3.safetensors"
    save_file(state | {"point_head.proj.weight": torch.ones(3)}, source)
    done = convert_file(source, tmp_path / "out.safetensors")
    assert (done.family, done.encoder, done.tensors) == ("pi3", "pi3", len(state) - 2)
    assert done.ignored["point_head.proj.weight"] == done.ignored["image_mean"] == 1
    assert done.licence == "CC BY-NC 4.0" and "point_head (1)" in caplog.text
    again = read_weights(tmp_path / "out.safetensors")
    assert again.config.trunk.width == 48 and again.config.registers == 5
    clip = golden["images"][None]
    network = fill(build("pi3", again.config), again.tensors)
    torch.testing.assert_close(
        network.clip_semantics(clip)[0], golden["semantics"], atol=1e-5, rtol=0
    )
