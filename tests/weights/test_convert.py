"""Released file in, checked safetensors out, nothing half written."""

import json
from dataclasses import asdict

import pytest
import torch

from nearfar.errors import ConfigError, OutputError, WeightsError
from nearfar.weights import convert, safe
from nearfar.weights.convert import convert_file
from nearfar.weights.published import read_weights


@pytest.fixture
def released(tmp_path, ppd):
    path = tmp_path / "ppd_moge.pth"
    state = {f"dit.{k}": v for k, v in ppd.state_dict().items()}
    torch.save(state | {"sem_encoder.x": torch.ones(3)}, path)
    return path


def test_ppd_is_converted_with_all_a_loader_needs(tmp_path, released, ppd):
    done = convert_file(released, tmp_path / "out" / "ppd.safetensors")
    assert (done.family, done.encoder, done.preset) == ("ppd", "moge2", "custom")
    assert done.ignored == {"sem_encoder": 1}
    assert done.tensors == len(ppd.state_dict())
    assert done.parameters == sum(p.numel() for p in ppd.parameters())
    tensors, metadata = safe.read_safetensors(done.path)
    assert metadata["nearfar_format"] == "1" and metadata["encoder"] == "moge2"
    assert metadata["licence"] == "not stated" and metadata["entry"] == "ppd-moge2"
    assert metadata["source_sha256"] == safe.sha256_of(released)
    assert json.loads(metadata["config"]) == asdict(ppd.config)
    for name, tensor in ppd.state_dict().items():
        assert torch.equal(tensors[name], tensor)
    again = read_weights(done.path)
    assert again.config == ppd.config and again.encoder == "moge2"
    with pytest.raises(WeightsError, match="encoder moge2, not dav2"):
        read_weights(done.path, encoder="dav2")


@pytest.mark.parametrize(
    ("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_dtypes(tmp_path, released, ppd, name, dtype):
    done = convert_file(released, tmp_path / "ppd.safetensors", dtype=name)
    tensors = safe.read_safetensors(done.path).tensors
    weight = "blocks.0.attn.qkv.weight"
    assert all(t.dtype == dtype for t in tensors.values())
    assert torch.equal(tensors[weight], ppd.state_dict()[weight].to(dtype))


def test_moge2_keeps_its_layout(tmp_path, moge2_file_content, moge2):
    torch.save(moge2_file_content, tmp_path / "moge2.pt")
    done = convert_file(tmp_path / "moge2.pt", tmp_path / "moge2.safetensors")
    assert done.licence == "MIT" and done.encoder == "moge2"
    assert read_weights(done.path).config == moge2.config


def test_converting_our_own_file_changes_the_dtype_only(tmp_path, released):
    first = convert_file(released, tmp_path / "a.safetensors").path
    second = convert_file(first, tmp_path / "b.safetensors", dtype="bf16")
    assert (second.family, second.encoder) == ("ppd", "moge2")
    assert safe.read_metadata(second.path)["entry"] == "ppd-moge2"


def test_nan_and_fp16_overflow_are_refused(tmp_path, released, ppd):
    state = dict(ppd.state_dict())
    target = tmp_path / "out.safetensors"
    state["final_layer.linear.bias"] = torch.full((16,), 1e6)
    torch.save(state, released)
    with pytest.raises(WeightsError, match=r"fp16: 1 of .*final_layer.linear.bias"):
        convert_file(released, target, dtype="fp16")
    state["final_layer.linear.bias"] = torch.full((16,), torch.nan)
    torch.save(state, released)
    with pytest.raises(WeightsError, match="NaN"):
        convert_file(released, target)
    assert not target.exists()


def test_a_full_disk_leaves_the_old_file(tmp_path, released, monkeypatch):
    target = tmp_path / "out.safetensors"
    target.write_bytes(b"old")

    def full(*arguments, **options):
        raise OSError("No space left on device")

    monkeypatch.setattr(safe, "save_file", full)
    with pytest.raises(OutputError, match="No space left"):
        convert.convert_file(released, target)
    assert target.read_bytes() == b"old"


def test_wrong_use(tmp_path, released):
    with pytest.raises(ConfigError, match="unknown 'int8'"):
        convert_file(released, tmp_path / "a.safetensors", dtype="int8")
    with pytest.raises(ConfigError, match="does not end in .safetensors"):
        convert_file(released, tmp_path / "a.pth")
    same = convert_file(released, tmp_path / "a.safetensors").path
    with pytest.raises(ConfigError, match="same file"):
        convert_file(same, same)
