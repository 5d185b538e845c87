"""Files without the stem they share: whole again when read, refused on another stem."""

import json
from dataclasses import asdict

import pytest
import torch
from micro_weights import filled, own_metadata

from nearfar.encoders.tiny_video import TinyVideoConfig, TinyVideoEncoder
from nearfar.errors import WeightsError
from nearfar.models.dar.network import new_network
from nearfar.models.dar.presets import MICRO_PHOTO
from nearfar.weights import registry
from nearfar.weights.load import load_encoder, load_predictor
from nearfar.weights.safe import read_safetensors, sha256_of, write_safetensors
from nearfar.weights.shared_stem import with_stem, without_stem


@pytest.fixture
def stem_file(tmp_path, monkeypatch, tiny):
    """A micro encoder as the package's tiny-encoder."""
    monkeypatch.setattr(registry, "EMBEDDED_FOLDER", tmp_path / "embedded")
    path = tmp_path / "embedded" / "tiny_encoder.safetensors"
    write_safetensors(path, tiny.state_dict(), own_metadata("tiny_encoder", "tiny"))
    path.with_suffix(".json").write_text(json.dumps({"sha256": sha256_of(path)}))
    return path


@pytest.fixture
def network(tiny):
    made = filled(TinyVideoEncoder(TinyVideoConfig(stem=tiny.config, pairs=1)), seed=5)
    made.stem.load_state_dict(tiny.state_dict())
    return made


def written(folder, network, stem_sha256):
    """The network's file as the export writes it."""
    state = without_stem("tiny_video_encoder", network.state_dict(), stem_sha256)
    metadata = own_metadata(
        "tiny_video_encoder", "tiny_video", asdict(network.config), preset="custom",
        encoder_sha256=stem_sha256,
    )  # fmt: skip
    return write_safetensors(folder / "video.safetensors", state, metadata)


def test_the_stem_is_left_out_and_comes_back(tmp_path, stem_file, network):
    path = written(tmp_path, network, sha256_of(stem_file))
    assert not any(name.startswith("stem.") for name in read_safetensors(path).tensors)
    found = load_encoder(path)
    assert isinstance(found, TinyVideoEncoder)
    expected = network.state_dict()
    assert found.state_dict().keys() == expected.keys()
    assert all(torch.equal(t, expected[n]) for n, t in found.state_dict().items())


def test_an_own_stem_stays_in_the_file(tmp_path, stem_file, network):
    path = written(tmp_path, network, "0" * 64)
    assert set(read_safetensors(path).tensors) == set(network.state_dict())
    stem_file.unlink()
    assert isinstance(load_encoder(path), TinyVideoEncoder)
    state = {"stem.weight": torch.ones(1)}
    assert without_stem("ppd", state, "0" * 64) == state
    assert without_stem("tiny_video_encoder", state, "") == state


def test_a_stem_that_was_trained_on_stays_in_the_file(stem_file, network):
    state = network.state_dict()
    name = next(n for n, t in state.items() if n.startswith("stem.") and t.is_floating_point())
    moved = {**state, name: state[name] + 0.1}
    assert without_stem("tiny_video_encoder", moved, sha256_of(stem_file)) == moved
    fewer = {n: t for n, t in state.items() if n != name}
    assert without_stem("tiny_video_encoder", fewer, sha256_of(stem_file)) == fewer


def test_dar_shares_its_frozen_photo_encoder(stem_file, tiny):
    state = {f"encoder.backbone.{n}": t for n, t in tiny.state_dict().items()}
    state["head.weight"] = torch.ones(2)
    kept = without_stem("dar", state, sha256_of(stem_file))
    assert list(kept) == ["head.weight"]
    whole = with_stem(stem_file, "dar", kept, sha256_of(stem_file))
    assert whole.keys() == state.keys()
    assert all(torch.equal(t, state[n]) for n, t in whole.items())
    with pytest.raises(WeightsError, match="leaves its stem to tiny-encoder or photo-encoder"):
        with_stem(stem_file, "dar", kept, "0" * 64)


def test_dar_shares_the_photo_encoder_too(tmp_path, stem_file):
    network = new_network(MICRO_PHOTO, generator=torch.Generator().manual_seed(0))
    backbone = network.encoder.backbone.half().float()  # as an embedded file holds it
    path = stem_file.with_name("photo_encoder.safetensors")
    halves = {n: t.half() if t.is_floating_point() else t for n, t in backbone.state_dict().items()}
    write_safetensors(path, halves, own_metadata("photo_encoder", "photo"))
    state = network.state_dict()
    kept = without_stem("dar", state, sha256_of(path))
    assert kept and not any(name.startswith("encoder.backbone.") for name in kept)
    metadata = own_metadata(
        "dar", "", asdict(MICRO_PHOTO), preset="custom", encoder_sha256=sha256_of(path)
    )
    file = write_safetensors(tmp_path / "dar.safetensors", kept, metadata)
    found = load_predictor(file).predictor.network.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(t, state[n]) for n, t in found.items())


def test_another_stem_in_the_package_is_refused(tmp_path, stem_file, network):
    path = written(tmp_path, network, sha256_of(stem_file))
    state = {name: tensor + 1 for name, tensor in network.stem.state_dict().items()}
    write_safetensors(stem_file, state, own_metadata("tiny_encoder", "tiny"))
    with pytest.raises(WeightsError, match="leaves its stem to .*, file .* which is not here"):
        load_encoder(path)
