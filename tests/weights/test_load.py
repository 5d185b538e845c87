"""From name, folder or file to a predictor that runs; and every reason not to."""

import json
import time
from dataclasses import asdict

import huggingface_hub
import pytest
import torch
from micro_weights import filled, own_metadata, ppd_config

from nearfar.encoders.depth_anything_v2 import DepthAnythingV2
from nearfar.encoders.dinov2 import DinoV2Config
from nearfar.encoders.photo import PRESETS as PHOTO
from nearfar.encoders.photo import PhotoEncoder
from nearfar.encoders.tiny import TinyEncoder
from nearfar.errors import ConfigError, WeightsError
from nearfar.models.ppd.network import PPDNetwork
from nearfar.models.ppd.presets import MICRO_PHOTO
from nearfar.predict_config import PredictConfig
from nearfar.weights import registry
from nearfar.weights.convert import convert_file
from nearfar.weights.licences import require_licences
from nearfar.weights.load import load_encoder, load_predictor, obtain
from nearfar.weights.safe import sha256_of, write_safetensors


@pytest.fixture
def folder(tmp_path, ppd, tiny):
    """A folder as a user keeps it: weights and the encoder they were trained with."""
    path = tmp_path / "mine"
    metadata = own_metadata("ppd", "tiny", asdict(ppd.config), preset="custom")
    write_safetensors(path / "weights.safetensors", ppd.state_dict(), metadata)
    write_safetensors(
        path / "encoder.safetensors", tiny.state_dict(), own_metadata("tiny_encoder", "")
    )
    return path


@pytest.fixture
def embedded(tmp_path, monkeypatch, tiny):
    """Micro files in place of those the package ships, with their cards."""
    path = tmp_path / "embedded"
    monkeypatch.setattr(registry, "EMBEDDED_FOLDER", path)
    network, encoder = PPDNetwork(MICRO_PHOTO), PhotoEncoder(PHOTO["micro"])
    for name, part, kind, preset in (
        ("ppd_tiny", network, "ppd", "micro_photo"),
        ("photo_encoder", encoder, "photo_encoder", "micro"),
    ):
        state = filled(part).state_dict()
        halves = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
        about = own_metadata(kind, "photo", preset=preset)
        write_safetensors(path / f"{name}.safetensors", halves, about)
    metadata = own_metadata("tiny_encoder", "")
    write_safetensors(path / "tiny_encoder.safetensors", tiny.state_dict(), metadata)
    for file in list(path.iterdir()):
        file.with_suffix(".json").write_text(json.dumps({"sha256": sha256_of(file)}))
    return path


def predict(model, size_hw=(64, 96), steps=2, area=64 * 96):
    image = torch.rand(3, *size_hw, generator=torch.Generator().manual_seed(0))
    generators = [torch.Generator().manual_seed(7)]
    config = PredictConfig(steps=steps)
    return model.predictor.predict(image, config, area=area, generators=generators)


def test_folder_to_prediction(folder):
    model = load_predictor(folder)
    assert model.sha256 == sha256_of(folder / "weights.safetensors")
    assert model.entry.name == "mine" and model.entry.licence == "Apache-2.0"
    assert model.entry.encoder == "tiny" and not model.entry.embedded
    found = predict(model)
    assert torch.isfinite(found.depth_Shw).all() and found.depth_Shw.std() > 0
    assert found.reference is not None and found.reference.name == "tiny"
    again = predict(load_predictor(str(folder / "weights.safetensors")))
    assert torch.equal(found.depth_Shw, again.depth_Shw)


def test_a_training_run_works_at_the_size_it_was_trained_at(folder):
    card = {"recipe": {"data": {"crop": [48, 64]}}, "validation": {"abs_rel": 0.2}}
    (folder / "card.json").write_text(json.dumps(card))
    model = load_predictor(folder)
    assert model.predictor.default_area == 48 * 64
    assert model.entry.metrics == {"abs_rel": 0.2}
    assert model.entry.sha256 == model.sha256 == sha256_of(folder / "weights.safetensors")
    whole = {"recipe": {"data": {"crop": [0, 0], "size": [64, 96]}}}  # as rendered
    (folder / "card.json").write_text(json.dumps(whole))
    assert load_predictor(folder).predictor.default_area == 64 * 96
    (folder / "card.json").write_text("{")
    with pytest.raises(WeightsError, match="the card is unreadable"):
        load_predictor(folder)


def test_embedded_by_name(embedded):
    model = load_predictor("ppd-tiny", dtype=torch.bfloat16)
    assert model.entry.name == "ppd-tiny" and model.entry.embedded
    assert model.sha256 == model.entry.sha256
    assert model.predictor.network.x_embedder.proj.weight.dtype == torch.bfloat16
    weight = model.predictor.encoder.decoder.maps.weight
    assert weight.dtype == torch.float32  # the encoder stays exact
    assert model.predictor.default_area == registry.ENTRIES["ppd-tiny"].area
    assert torch.isfinite(predict(model).depth_Shw).all()
    for network in (model.predictor.network, model.predictor.encoder):
        assert not network.training
        assert not any(p.requires_grad or p.is_meta for p in network.parameters())


def test_embedded_files_must_be_what_their_cards_say(embedded, ppd):
    target = embedded / "ppd_tiny.safetensors"
    card = target.with_suffix(".json").read_text()
    target.with_suffix(".json").unlink()
    with pytest.raises(WeightsError, match="its card is missing"):
        load_predictor("ppd-tiny")
    target.with_suffix(".json").write_text(card)
    content = bytearray(target.read_bytes())
    content[-1] ^= 1
    target.write_bytes(content)
    with pytest.raises(WeightsError, match="expected .*Install|sha256 is"):
        load_predictor("ppd-tiny")
    target.unlink()
    with pytest.raises(WeightsError, match="missing in this installation"):
        load_predictor("ppd-tiny")


def test_encoders_by_name_and_file(embedded, folder, dav2, tmp_path):
    assert isinstance(load_encoder("tiny-encoder"), TinyEncoder)
    path = tmp_path / "depth_anything_v2_vits.pth"
    torch.save(dict(dav2.state_dict()), path)
    encoder = load_encoder(path, dtype=torch.bfloat16)
    assert isinstance(encoder, DepthAnythingV2)
    assert encoder.pretrained.cls_token.dtype == torch.bfloat16
    with pytest.raises(WeightsError, match="of family ppd, not an encoder"):
        load_encoder(folder / "weights.safetensors")
    with pytest.raises(WeightsError, match="an encoder .tiny_encoder., not a depth model"):
        load_predictor(folder / "encoder.safetensors")


def test_the_wrong_encoder_is_refused_by_its_tag(folder, dav2, tmp_path):
    other = tmp_path / "depth_anything_v2_vits.pth"
    torch.save(dict(dav2.state_dict()), other)
    with pytest.raises(WeightsError, match="trained with encoder 'tiny', not 'dav2'"):
        load_predictor(folder, encoder=other)


def test_another_file_of_the_same_encoder_is_told(folder, ppd, caplog):
    right = sha256_of(folder / "encoder.safetensors")
    for trained_with in (right, "ab" * 32):
        about = own_metadata("ppd", "tiny", asdict(ppd.config), encoder_sha256=trained_with)
        write_safetensors(folder / "weights.safetensors", ppd.state_dict(), about)
        load_predictor(folder)
        told = f"trained with encoder file abababababab..., this one is {right[:12]}..."
        assert (told in caplog.text) == (trained_with != right)


def test_an_encoder_of_another_width_is_refused(folder):
    wide = filled(PPDNetwork(ppd_config(64)))
    metadata = own_metadata("ppd", "tiny", asdict(wide.config))
    write_safetensors(folder / "weights.safetensors", wide.state_dict(), metadata)
    with pytest.raises(WeightsError, match="takes semantics 64 wide, this tiny encoder gives 48"):
        load_predictor(folder)


def test_a_file_under_a_name_must_be_that_model(cache, ppd):
    metadata = own_metadata("ppd", "dav2", asdict(ppd.config))
    path = cache / "weights" / "ppd-moge2.safetensors"
    write_safetensors(path, ppd.state_dict(), metadata)
    with pytest.raises(WeightsError, match="encoder 'dav2', but ppd-moge2 needs 'moge2'"):
        load_predictor("ppd-moge2")


def test_user_copies_of_released_files_are_converted_once(cache, moge2_file_content, monkeypatch):
    """ppd_moge.pth and moge2.pt put in the cache folder: converted, run, metric."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    weights = cache / "weights"
    weights.mkdir(parents=True)
    torch.save(moge2_file_content, weights / "moge2.pt")
    network = filled(PPDNetwork(ppd_config(24, patch_size=8)))
    state = {f"dit.{k}": v for k, v in network.state_dict().items()}
    torch.save({"state_dict": state}, weights / "ppd_moge.pth")
    model = load_predictor("ppd-moge2")
    assert (weights / "ppd-moge2.safetensors").exists()
    assert (weights / "moge2-vitl.safetensors").exists()
    assert (weights / "ppd_moge.pth").exists()  # the user's own copy stays
    model.predictor.metric_encoder = None  # 3600 tokens: not for a test
    assert torch.isfinite(predict(model).depth_Shw).all()
    (weights / "ppd_moge.pth").unlink()
    assert obtain(registry.ENTRIES["ppd-moge2"]) == weights / "ppd-moge2.safetensors"


def test_downloads_are_converted_and_not_kept_twice(cache, moge2_file_content, monkeypatch):
    def download(repo, name, *, local_dir):
        local_dir.mkdir(parents=True)
        torch.save(moge2_file_content, local_dir / name)
        return str(local_dir / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    path = obtain(registry.ENTRIES["moge2-vitl"])
    left = sorted(p.name for p in path.parent.iterdir() if p.is_file())
    assert left == ["moge2-vitl.safetensors", "moge2.pt.origin.json"]
    assert load_encoder("moge2-vitl").config.is_metric


def test_offline_and_absent(monkeypatch, cache):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match=r"put it at .*weights/ppd_moge.pth"):
        load_predictor("ppd-moge2")


def test_non_commercial_weights_are_asked_for_before_anything_else(monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("downloaded before the licence was accepted")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", never)
    for load, name in ((load_predictor, "ppd-dav2"), (load_encoder, "dav2-vitl")):
        with pytest.raises(WeightsError, match=r"dav2-vitl \(CC BY-NC 4.0\)"):
            load(name)


def test_own_copies_of_non_commercial_files_ask_too(tmp_path, dav2):
    path = tmp_path / "depth_anything_v2_vitl.pth"
    torch.save(dict(dav2.state_dict()), path)
    converted = convert_file(path, tmp_path / "renamed.safetensors").path
    for file in (path, converted):
        with pytest.raises(WeightsError, match=r"dav2-vitl \(CC BY-NC"):
            load_encoder(file)
    load_encoder(path, accept_license=True)
    load_encoder(converted)  # accepted once
    require_licences([registry.ENTRIES["dav2-vitl"]], accept=False)


def test_unknown_names_and_paths(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean ppd-tiny"):
        load_predictor("ppd-tinyy")
    with pytest.raises(WeightsError, match="no such file"):
        load_predictor("models/ppd.pth")
    with pytest.raises(WeightsError, match="no such file"):
        load_predictor(tmp_path / "nothing.safetensors")
    with pytest.raises(WeightsError, match="holds 0 files of weights"):
        load_predictor(tmp_path)


def test_folders_with_one_or_several_files(folder):
    only = (folder / "weights.safetensors").rename(folder / "ppd.safetensors")
    assert load_predictor(folder).entry.name == "ppd"
    (folder / "other.safetensors").write_bytes(only.read_bytes())
    with pytest.raises(WeightsError, match=r"holds 2 files of weights \(other"):
        load_predictor(folder)


@pytest.mark.parametrize("damage", ["nan", "zero", "cut", "misfit"])
def test_bad_weights_do_not_load(folder, ppd, damage):
    path = folder / "weights.safetensors"
    state = {name: tensor.clone() for name, tensor in ppd.state_dict().items()}
    words = {"nan": "1 of .* tensors hold NaN", "zero": "all zero", "cut": "truncated"}
    if damage == "nan":
        state["blocks.0.mlp.fc1.weight"][3, 3] = torch.nan
    elif damage == "zero":
        state = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    elif damage == "misfit":
        del state["blocks.1.attn.proj.bias"]
    write_safetensors(path, state, own_metadata("ppd", "tiny", asdict(ppd.config)))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=words.get(damage, r"1 missing \(blocks.1.attn.proj")):
        load_predictor(folder)


def test_semantics_only_encoder_gives_no_metres(folder, tmp_path):
    encoder = filled(DepthAnythingV2(DinoV2Config(width=64, depth=1, heads=1, grid=3)), seed=5)
    torch.save(dict(encoder.state_dict()), tmp_path / "depth_anything_v2_vits.pth")
    network = filled(PPDNetwork(ppd_config(64, patch_size=8)))
    metadata = own_metadata("ppd", "dav2", asdict(network.config))
    path = write_safetensors(tmp_path / "p" / "w.safetensors", network.state_dict(), metadata)
    model = load_predictor(path, encoder=tmp_path / "depth_anything_v2_vits.pth")
    assert model.predictor.metric_encoder is None
    assert predict(model).reference is None


def test_loading_the_size_we_ship_is_quick(tmp_path, monkeypatch):
    """Both nets at their real size in fp16: the budget is 3 s; hashing and checks included."""
    from nearfar.models.ppd.presets import PRESETS as PPD

    monkeypatch.setattr(registry, "EMBEDDED_FOLDER", tmp_path)
    for name, network, family, preset in [
        ("ppd_tiny", PPDNetwork(PPD["tiny_photo"]), "ppd", "tiny_photo"),
        ("photo_encoder", PhotoEncoder(PHOTO["photo"]), "photo_encoder", "photo"),
    ]:
        state = filled(network).half().state_dict()
        metadata = own_metadata(family, "photo", preset=preset)
        path = write_safetensors(tmp_path / f"{name}.safetensors", state, metadata)
        path.with_suffix(".json").write_text(json.dumps({"sha256": sha256_of(path)}))
    start = time.process_time()  # the machine is shared with other tests
    load_predictor("ppd-tiny", dtype=torch.bfloat16)
    assert time.process_time() - start < 3
