"""Released checkpoints are recognized whatever wraps them, and look-alikes are refused."""

import pytest
import torch
from micro_weights import DINO, MOGE, filled, own_metadata
from safetensors.torch import save_file

from nearfar.errors import ConfigError, WeightsError
from nearfar.models.depthart.config import DepthARTConfig
from nearfar.models.depthart.network import new_network
from nearfar.models.ppd.config import PPDVideoConfig
from nearfar.models.ppd.video_network import new_video_network
from nearfar.tokenizers.config import VQConfig
from nearfar.tokenizers.keys import published_name
from nearfar.weights.convert import convert_file
from nearfar.weights.load import load_predictor
from nearfar.weights.published import read_weights
from nearfar.weights.safe import write_safetensors

WRAPPINGS = {
    "bare": lambda s: s,
    "dit": lambda s: {f"dit.{k}": v for k, v in s.items()},
    "lightning": lambda s: {
        "epoch": 3,
        "global_step": 10,
        "state_dict": {f"pipeline.dit.{k}": v for k, v in s.items()},
    },
    "ddp": lambda s: {"model": {f"module.dit.{k}": v for k, v in s.items()}},
    "twice": lambda s: {
        "model": {"state_dict": {f"module.pipeline.dit.{k}": v for k, v in s.items()}}
    },
    "compiled": lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_ppd_in_every_wrapping(tmp_path, ppd, wrapping):
    path = tmp_path / "ppd_moge.pth"
    torch.save(WRAPPINGS[wrapping](dict(ppd.state_dict())), path)
    found = read_weights(path)
    assert (found.family, found.encoder, found.entry) == ("ppd", "moge2", "ppd-moge2")
    assert found.config == ppd.config
    assert found.preset == "custom" and found.ignored == {}
    assert found.tensors.keys() == ppd.state_dict().keys()
    for name, tensor in ppd.state_dict().items():
        assert torch.equal(found.tensors[name], tensor)


def test_parts_beside_the_network_are_counted(tmp_path, ppd):
    state = {f"dit.{k}": v for k, v in ppd.state_dict().items()}
    state |= {f"sem_encoder.blocks.{i}.weight": torch.ones(2) for i in range(5)}
    state |= {"pipeline.sem_encoder.cls_token": torch.ones(2)}
    path = tmp_path / "ppd.pth"
    torch.save(state, path)
    found = read_weights(path)
    assert found.ignored == {"sem_encoder": 6}
    assert found.encoder == "dav2" and len(found.tensors) == len(ppd.state_dict())


def test_plain_safetensors_are_recognized_too(tmp_path, ppd):
    path = tmp_path / "mine.safetensors"
    save_file({f"dit.{k}": v for k, v in ppd.state_dict().items()}, path)
    assert read_weights(path, encoder="moge2").config == ppd.config


def test_the_encoder_of_ppd_must_be_told_or_named(tmp_path, ppd):
    path = tmp_path / "epoch_7.pth"
    torch.save(dict(ppd.state_dict()), path)
    with pytest.raises(
        WeightsError, match="nearfar models convert --encoder dav2 or --encoder moge2"
    ):
        read_weights(path)
    assert read_weights(path, encoder="dav2").encoder == "dav2"
    with pytest.raises(ConfigError, match="unknown tag 'dinov3'"):
        read_weights(path, encoder="dinov3")
    released = path.rename(tmp_path / "ppd_moge.pth")
    with pytest.raises(WeightsError, match="for encoder moge2, not dav2"):
        read_weights(released, encoder="dav2")


def test_video_files_are_recognized(tmp_path):
    config = PPDVideoConfig(width=32, heads=2, semantics_width=48, grid_hw=(3, 3))
    network = filled(new_video_network(config, generator=torch.Generator().manual_seed(0)))
    state = {f"dit_video.{k}": v for k, v in network.state_dict().items()}
    path = tmp_path / "ppvd.pth"
    torch.save(state | {"sem_encoder.register_token": torch.zeros(1)}, path)
    found = read_weights(path)
    assert (found.family, found.encoder, found.config) == ("ppd_video", "pi3", config)
    assert set(found.tensors) == set(network.state_dict()) and found.entry == "ppvd"
    bare = {k.removeprefix("dit_video."): v for k, v in state.items()}
    torch.save(bare, path)
    assert read_weights(path, encoder="pi3").family == "ppd_video"
    with pytest.raises(WeightsError, match="a file of pi3, not moge2|of pi3, not moge2"):
        read_weights(path, encoder="moge2")
    del bare["pos_embed"]
    torch.save(bare, path)
    with pytest.raises(WeightsError, match="pos_embed' is missing"):
        read_weights(path)


def test_depth_anything(tmp_path, dav2):
    path = tmp_path / "depth_anything_v2_vitb.pth"
    state = dict(dav2.state_dict())
    state["pretrained.mask_token"] = torch.zeros(1, 64)
    state |= {f"depth_head.projects.{i}.weight": torch.ones(1) for i in range(4)}
    torch.save(state, path)
    found = read_weights(path)
    assert (found.family, found.encoder, found.config) == ("depth_anything_v2", "dav2", DINO)
    assert found.ignored == {"mask_token": 1, "depth_head": 4}
    assert found.licence == "CC BY-NC 4.0" and found.entry == "dav2-vitb"
    assert found.tensors.keys() == dav2.state_dict().keys()


def test_a_bare_dinov2_must_be_vouched_for(tmp_path, dav2):
    path = tmp_path / "dinov2_vitl14.pth"
    torch.save({k.removeprefix("pretrained."): v for k, v in dav2.state_dict().items()}, path)
    with pytest.raises(WeightsError, match="bare DINOv2"):
        read_weights(path)
    assert read_weights(path, encoder="dav2").config == DINO
    with pytest.raises(WeightsError, match="of dav2, not moge2"):
        read_weights(path, encoder="moge2")


def test_moge2_with_its_own_config(tmp_path, moge2, moge2_file_content):
    path = tmp_path / "moge2.pt"
    torch.save(moge2_file_content, path)
    found = read_weights(path)
    assert (found.family, found.encoder, found.config) == ("moge2", "moge2", MOGE)
    assert found.ignored == {"image_mean": 1, "image_std": 1, "mask_token": 1}
    assert found.licence == "MIT"
    assert found.tensors.keys() == moge2.state_dict().keys()


def test_the_name_of_ppds_copy_of_moge2_keeps_its_token_grid(tmp_path, moge2_file_content):
    for name, rounding in [("moge2.pt", "down"), ("model.pt", "nearest")]:
        torch.save(moge2_file_content, tmp_path / name)
        convert_file(tmp_path / name, tmp_path / "own.safetensors")
        for path in (tmp_path / name, tmp_path / "own.safetensors"):
            assert read_weights(path).config.grid_rounding == rounding


def test_moge2_semantics_only_and_half_files(tmp_path, moge2_file_content):
    path = tmp_path / "moge2.pt"
    model = moge2_file_content["model"]
    torch.save(model, path)
    with pytest.raises(WeightsError, match="decoder tensors .* without a model_config"):
        read_weights(path)
    torch.save({k: v for k, v in model.items() if k.startswith("encoder.")}, path)
    found = read_weights(path).config
    assert not found.is_metric and found.intermediate_layers == (0, 1, 2, 3)
    assert found.dim_out == 24


def test_other_color_statistics_are_refused(tmp_path, moge2_file_content):
    moge2_file_content["model"]["encoder.image_mean"] += 0.1
    torch.save(moge2_file_content, tmp_path / "moge2.pt")
    with pytest.raises(WeightsError, match="image_mean is"):
        read_weights(tmp_path / "moge2.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weird": torch.zeros(2), "names": torch.zeros(2)}, "2 tensors of no known network"),
        ({"epoch": 3}, "holds no tensors"),
        ({"register_token": torch.zeros(1)}, "pos_embed' is missing"),
        ({"x_embedder.proj.weight": torch.zeros(8, 4, 16, 16)}, "q_norm.weight' is missing"),
        ({"a": torch.ones(1), "dit.a": torch.ones(1)}, "a comes twice"),
    ],
)
def test_strange_content_is_named(tmp_path, content, message):
    path = tmp_path / "ppd.pth"
    torch.save(content, path)
    with pytest.raises(WeightsError, match=message):
        read_weights(path)


def test_missing_blocks_are_counted(tmp_path, ppd):
    state = {k: v for k, v in ppd.state_dict().items() if not k.startswith("blocks.1.mlp")}
    torch.save(state, tmp_path / "ppd.pth")
    with pytest.raises(WeightsError, match=r"4 missing \(blocks.1.mlp.fc1.weight"):
        read_weights(tmp_path / "ppd.pth")


def test_our_own_format(tmp_path, tiny, ppd):
    path = tmp_path / "own.safetensors"
    write_safetensors(path, tiny.state_dict(), own_metadata("tiny_encoder", ""))
    found = read_weights(path, encoder="tiny")
    assert (found.family, found.encoder, found.licence) == ("tiny_encoder", "tiny", "Apache-2.0")
    write_safetensors(path, tiny.state_dict(), own_metadata("tiny_encoder", "", nearfar_format="2"))
    with pytest.raises(WeightsError, match="format 2, this version reads 1"):
        read_weights(path)
    write_safetensors(path, ppd.state_dict(), own_metadata("ppd", "tiny", preset="tiny"))
    with pytest.raises(WeightsError, match="of other shape"):
        read_weights(path)


@pytest.fixture
def depthart_file():
    """A small DepthART as released: transformer, `vae_proxy.`, constants, normalizer."""
    vq = VQConfig(channels=32, multipliers=(1, 1), blocks=1, code_width=8, codebook=16)
    config = DepthARTConfig(width=64, depth=2, heads=1, classes=3, tokenizer=vq)
    network = new_network(config, generator=torch.Generator().manual_seed(0))
    file = {"normalizer.alpha": torch.ones(1), "lvl_1L": torch.zeros(1, 680, dtype=torch.int64)}
    file |= {f"blocks.{i}.attn.zero_k_bias": torch.zeros(64) for i in range(2)}
    for name, tensor in network.state_dict().items():
        part, _, rest = name.partition(".")
        released = published_name(rest, phi_count=4) if part == "tokenizer" else rest
        if released is not None:
            file["vae_proxy." * (part == "tokenizer") + released] = tensor
    return config, file


def test_depthart_with_its_tokenizer(tmp_path, depthart_file):
    config, file = depthart_file
    save_file(file, tmp_path / "model.safetensors")
    weights = read_weights(tmp_path / "model.safetensors")
    assert (weights.family, weights.config, weights.encoder) == ("depthart", config, "")
    assert weights.ignored == {"normalizer.alpha": 1, "lvl_1L": 1, "blocks.*.attn.zero_k_bias": 2}
    done = convert_file(tmp_path / "model.safetensors", tmp_path / "ours.safetensors")
    again = read_weights(done.path)
    assert again.config == config and again.preset == "custom"
    assert all(torch.equal(again.tensors[n], t) for n, t in weights.tensors.items())


def test_a_var_file_is_no_depthart(tmp_path, depthart_file):
    var = {n: t for n, t in depthart_file[1].items() if not n.startswith("vae_proxy.")}
    for content in (var, {"trainer": {"var_wo_ddp": var}}):
        torch.save(content, tmp_path / "var_d16.pth")
        found = read_weights(tmp_path / "var_d16.pth")
        assert (found.family, found.encoder, found.entry) == ("var", "", "var-d16")
        left_out = {"normalizer.alpha", "lvl_1L", *(n for n in var if n.endswith("zero_k_bias"))}
        assert found.tensors.keys() == {f"transformer.{n}" for n in var if n not in left_out}
        with pytest.raises(WeightsError, match="var_d16.pth: a VAR file.*no tokenizer in it"):
            load_predictor(tmp_path / "var_d16.pth")
