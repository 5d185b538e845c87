"""Damaged, executable, empty and dead files are refused in one line; good ones come back."""

import collections
import json
import os
import pickle
import zipfile
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from nearfar.errors import OutputError, WeightsError
from nearfar.weights import safe


class Evil:
    """A pickle that runs a command when it is read the unsafe way."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.fixture
def good(tmp_path):
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "a.weight": torch.randn(7, 5, generator=generator),
        "a.bias": torch.zeros(7),
        "half": torch.randn(3, 3, generator=generator).half(),
        "count": torch.tensor(4),
    }
    path = safe.write_safetensors(tmp_path / "good.safetensors", tensors, {"family": "ppd"})
    return path, tensors


def refused(function, *arguments):
    """The message of the WeightsError, which must be one line naming the file."""
    with pytest.raises(WeightsError) as caught:
        function(*arguments)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    return message


def test_round_trip(good):
    path, tensors = good
    found = safe.read_safetensors(path)
    assert found.metadata == {"family": "ppd"} == safe.read_metadata(path)
    assert set(found.tensors) == set(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(found.tensors[name], tensor)
        assert found.tensors[name].dtype == tensor.dtype
    assert not safe.is_pickle(path)


def test_views_and_transposed_tensors_are_written_whole(tmp_path):
    square = torch.arange(12.0).view(3, 4)
    path = safe.write_safetensors(tmp_path / "t.safetensors", {"t": square.T}, {})
    assert torch.equal(safe.read_safetensors(path).tensors["t"], square.T)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda b: b"", "empty"),
        (lambda b: b"hello", "not a safetensors"),
        (lambda b: b"This is text, not weights at all. " * 9, "not a safetensors"),
        (lambda b: b[: len(b) - 10], "truncated"),
        (lambda b: b[:60], "truncated inside its header"),
        (lambda b: b + b"more", "damaged"),
        (lambda b: b[:20] + b"\xff" + b[21:], "damaged header"),
        (lambda b: b.replace(b'"shape":[7,5]', b'"shape":[7,9]'), "damaged"),
        (lambda b: b.replace(b'"dtype":"F16"', b'"dtype":"X16"'), "damaged"),
        (lambda b: (2).to_bytes(8, "little") + b"[]", "not a safetensors"),
    ],
)
def test_damage_is_named(good, damage, words):
    path, _ = good
    content = path.read_bytes()
    assert damage(content) != content
    path.write_bytes(damage(content))
    message = refused(safe.read_safetensors, path)
    assert words in message and path.name in message


def test_missing_file_and_folder(tmp_path):
    assert "no such file" in refused(safe.read_safetensors, tmp_path / "nothing.safetensors")
    assert "cannot be read" in refused(safe.read_safetensors, tmp_path)


def test_a_header_length_that_looks_like_a_pickle_is_still_safetensors(tmp_path):
    # 0x0280 = 640 is how a protocol-2 pickle begins
    for wanted in (0x0280, 0x0380):
        text = b'{"__metadata__":{"x":"' + b"y" * (wanted - 25) + b'"}}'
        path = tmp_path / f"{wanted}.safetensors"
        path.write_bytes(len(text).to_bytes(8, "little") + text)
        assert path.read_bytes()[0] == 0x80
        assert not safe.is_pickle(path)
        assert list(safe.read_metadata(path)) == ["x"]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["plain.pth", "misnamed.safetensors"])
def test_plain_pickles_are_read(tmp_path, zipped, name):
    path = tmp_path / name
    state = collections.OrderedDict(w=torch.arange(3.0), half=torch.ones(2).bfloat16())
    torch.save({"state_dict": state}, path, _use_new_zipfile_serialization=zipped)
    assert safe.is_pickle(path)
    assert torch.equal(safe.read_pickle(path)["state_dict"]["w"], torch.arange(3.0))
    assert "convert" in refused(safe.read_safetensors, path)


@pytest.mark.parametrize("zipped", [True, False])
def test_plain_containers_of_training_scripts_are_no_code(tmp_path, zipped):
    """DAR's script stores its `args`; others paths and numpy numbers. None of it is built."""
    args = Namespace(lr=1e-4, output=Path("runs/dar"), best=np.float64(0.1), mean=np.zeros(3))
    content = {"model": {"w": torch.arange(3.0)}, "args": args, "epoch": 3}
    path = tmp_path / "checkpoint.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    read = safe.read_pickle(path)
    assert torch.equal(read["model"]["w"], torch.arange(3.0))
    assert not hasattr(read["args"], "lr")


def test_code_inside_a_plain_container_is_still_refused(tmp_path):
    witness = tmp_path / "witness"
    path = tmp_path / "checkpoint.pth"
    torch.save({"model": {}, "args": Namespace(lr=Evil(witness))}, path)
    assert "asks for code (posix.system)" in refused(safe.read_pickle, path)
    assert not witness.exists()


@pytest.mark.parametrize("writer", ["zip", "legacy", "pickle", "pickle2"])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, writer):
    path, witness = tmp_path / "evil.pth", tmp_path / "witness"
    content = {"w": torch.zeros(2), "x": Evil(witness)}
    if writer.startswith("pickle"):
        content.pop("w")
        path.write_bytes(pickle.dumps(content, protocol=2 if writer == "pickle2" else 4))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=writer == "zip")
    message = refused(safe.read_pickle, path)
    assert "system" in message and "nothing was run" in message
    assert not witness.exists()
    pickle.loads(pickle.dumps(Evil(witness)))  # the bomb itself is live
    assert witness.exists()


def test_damaged_pickles(tmp_path):
    path = tmp_path / "cut.pth"
    torch.save({"w": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:-300])
    assert "damaged" in refused(safe.read_pickle, path)
    torch.save({"w": torch.zeros(9)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:100])
    assert "damaged" in refused(safe.read_pickle, path)
    path.write_bytes(b"\x80\x02garbage")
    assert "damaged" in refused(safe.read_pickle, path)
    torch.save([torch.zeros(2)], path)
    assert "holds a list" in refused(safe.read_pickle, path)


def test_sha256(good):
    path, _ = good
    digest = safe.sha256_of(path)
    assert safe.require_sha256(path, None) == safe.require_sha256(path, digest) == digest
    message = refused(safe.require_sha256, path, "0" * 64)
    assert digest[:12] in message and "000000000000" in message


def test_nan_and_infinity_are_named_and_counted(good):
    _, tensors = good
    safe.require_sound(tensors, "x")
    tensors["a.weight"][3, 2] = torch.nan
    tensors["half"][0, 0] = torch.inf
    message = refused(safe.require_sound, tensors, "x.safetensors")
    assert "2 of 4 tensors hold NaN or infinity (a.weight, half)" in message


def test_large_finite_values_pass():
    safe.require_sound({"w": torch.full((4, 4), 3e38), "h": torch.full((99, 9), 6e4).half()}, "x")


def test_zero_matrices():
    ones, zeros = torch.ones(2, 2), torch.zeros(2, 2)
    safe.require_sound({"a": ones, "b": ones, "c": zeros, "bias": torch.zeros(3)}, "x")
    balanced = torch.tensor([[1.0, -1.0]])
    safe.require_sound({"a": balanced, "b": balanced}, "x")
    assert "2 of 2 weight matrices are all zero (a, b)" in refused(
        safe.require_sound, {"a": zeros, "b": zeros}, "x"
    )
    assert "1 of 2" in refused(safe.require_sound, {"a": ones, "b": zeros}, "x")
    assert "0 of 0" in refused(safe.require_sound, {}, "x")


def test_a_failed_write_leaves_nothing_and_keeps_the_old_file(good, monkeypatch):
    path, _ = good
    before = path.read_bytes()

    def full_disk(tensors, target, metadata):
        target.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(safe, "save_file", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        safe.write_safetensors(path, {"w": torch.ones(2)}, {})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_files_are_readable_like_any_other_new_file(good):
    path, _ = good
    (path.parent / "plain").touch()
    assert path.stat().st_mode == (path.parent / "plain").stat().st_mode


def test_other_writers_files_are_read(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"w": torch.ones(2)}, path)
    assert safe.read_safetensors(path).metadata == {}
    text = json.dumps({"__metadata__": None, "w": {"dtype": "F32", "shape": [1]}}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    assert "damaged header" in refused(safe.read_safetensors, path)


def test_a_zip_that_unpacks_to_more_than_itself_is_refused(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", bytes(300_000_000))
    assert "unpacks to 300 MB, more than the 0 MB" in refused(safe.read_pickle, path)


def test_tensors_that_are_larger_than_their_file_are_refused(tmp_path):
    path = tmp_path / "wide.pth"
    torch.save({"nested": [{"w": torch.zeros(1).expand(10**6, 10**6)}]}, path)
    assert "claims the shape [1000000, 1000000]" in refused(safe.read_pickle, path)
    torch.save({"w": torch.eye(3).to_sparse()}, path)
    assert "sparse" in refused(safe.read_pickle, path)


@pytest.mark.parametrize("offset", ["Infinity", "1e999", '"9"', "null", "[]", "-1", "1" * 5000])
def test_absurd_offsets_are_damage(tmp_path, offset):
    header = f'{{"w": {{"dtype": "F32", "shape": [1], "data_offsets": [0, {offset}]}}}}'.encode()
    path = tmp_path / "absurd.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    refused(safe.read_safetensors, path)


def test_a_deeply_nested_header_is_damage(tmp_path):
    header = b'{"a":' * 50_000
    path = tmp_path / "deep.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert "damaged header" in refused(safe.read_safetensors, path)
