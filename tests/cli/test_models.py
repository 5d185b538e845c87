"""nearfar models: the table, facts as JSON, conversion, licences, exit codes."""

import json
import subprocess
import sys

import pytest
import torch

from nearfar.cli import run
from nearfar.models.ppd.config import PPDConfig
from nearfar.models.ppd.network import PPDNetwork
from nearfar.weights import registry
from nearfar.weights.safe import read_metadata

OWN_EMBEDDED_FOLDER = registry.EMBEDDED_FOLDER


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NEARFAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "EMBEDDED_FOLDER", tmp_path / "embedded")
    return tmp_path / "cache"


@pytest.fixture
def released(tmp_path):
    network = PPDNetwork(PPDConfig(width=16, depth=2, heads=2, semantics_width=8))
    generator = torch.Generator().manual_seed(0)
    state = {
        f"dit.{k}": torch.randn(v.shape, generator=generator)
        for k, v in network.state_dict().items()
    }
    path = tmp_path / "ppd.pth"
    torch.save(state | {"sem_encoder.x": torch.ones(1)}, path)
    return path


def test_list_shows_every_entry_whole_within_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(registry, "EMBEDDED_FOLDER", OWN_EMBEDDED_FOLDER)
    assert run(["models", "list"]) == 0
    shown = capsys.readouterr().out
    for name, entry in registry.ENTRIES.items():
        assert name in shown and entry.licence in shown
        assert entry.encoder in shown
    assert "embedded" in shown and "…" not in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_list_json_is_complete_and_honest(capsys):
    assert run(["models", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() == registry.ENTRIES.keys()
    assert rows["ppd-dav2"]["sha256"] == "not pinned"
    assert rows["ppd-dav2"]["metrics"]["NYUv2"] == "4.1/97.7"
    assert rows["dav2-vitl"]["commercial"] is False and rows["ppd-moge2"]["commercial"] is None
    assert rows["ppd-moge2"]["path"] is None


def test_info_by_name(capsys):
    assert run(["models", "info", "moge2-vitl"]) == 0
    text = capsys.readouterr().out
    assert "MIT" in text and "not pinned" in text and "Ruicheng/moge-2-vitl-normal" in text
    assert run(["models", "info", "moge2-vitl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["family"] == "moge2"


def test_info_of_a_card(capsys, tmp_path):
    (tmp_path / "embedded").mkdir()
    (tmp_path / "embedded" / "ppd_tiny.safetensors").write_bytes(b"123")
    card = {"sha256": "ab" * 32, "metrics": {"abs_rel": 0.25}}
    (tmp_path / "embedded" / "ppd_tiny.json").write_text(json.dumps(card))
    assert run(["models", "info", "ppd-tiny"]) == 0
    text = capsys.readouterr().out
    assert "ab" * 32 in text and '"abs_rel": 0.25' in text


def test_unknown_name_names_the_nearest_in_one_line(capsys):
    assert run(["models", "info", "ppd-tinny"]) == 2
    error = capsys.readouterr().err
    assert "Did you mean ppd-tiny?" in error and error.count("\n") == 1


def test_get_asks_for_the_licence(capsys, cache):
    assert run(["models", "get", "ppd-dav2"]) == 1
    error = capsys.readouterr().err
    assert "dav2-vitl (CC BY-NC 4.0)" in error and "--accept-license" in error
    assert error.count("\n") == 1 and not (cache / "licences.json").exists()


def test_get_offline_is_one_line_with_the_way_out(capsys, cache, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert run(["models", "get", "ppd-moge2"]) == 1
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1
    assert str(cache / "weights" / "ppd_moge.pth") in shown.err


def test_get_of_what_is_here_says_where(capsys, tmp_path):
    (tmp_path / "embedded").mkdir()
    (tmp_path / "embedded" / "tiny_encoder.safetensors").touch()
    assert run(["models", "get", "tiny-encoder"]) == 0
    assert "tiny_encoder.safetensors" in capsys.readouterr().out


def test_convert(capsys, tmp_path, released):
    target = tmp_path / "out.safetensors"
    assert run(["models", "convert", str(released), "-o", str(target), "--dtype", "bf16"]) == 0
    text = capsys.readouterr().out
    assert "encoder dav2" in text and "left out: sem_encoder, 1 tensors" in text
    assert read_metadata(target)["encoder"] == "dav2"
    assert run(["models", "info", str(target), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["source"] == "ppd.pth"
    assert run(["models", "convert", str(released), "-o", str(target)]) == 2
    assert "already exists" in capsys.readouterr().err
    assert run(["models", "convert", str(released), "-o", str(target), "--overwrite"]) == 0


def test_convert_needs_the_encoder_where_nothing_tells_it(capsys, tmp_path, released):
    other = released.rename(tmp_path / "mine.pth")
    target = tmp_path / "out.safetensors"
    assert run(["models", "convert", str(other), "-o", str(target)]) == 1
    assert "--encoder dav2 or --encoder moge2" in capsys.readouterr().err
    assert not target.exists()
    assert run(["models", "convert", str(other), "-o", str(target), "--encoder", "moge2"]) == 0
    assert read_metadata(target)["encoder"] == "moge2"


def test_convert_of_a_malicious_pickle(capsys, tmp_path):
    path, witness = tmp_path / "ppd.pth", tmp_path / "witness"

    class Evil:
        def __reduce__(self):
            return __import__("os").system, (f"touch {witness}",)

    torch.save({"x": Evil()}, path)
    assert run(["models", "convert", str(path), "-o", str(tmp_path / "o.safetensors")]) == 1
    error = capsys.readouterr().err
    assert "nothing was run" in error and error.count("\n") == 1
    assert not witness.exists() and not (tmp_path / "o.safetensors").exists()


def test_list_is_quick_and_needs_no_torch():
    program = (
        "import sys, time, nearfar.cli; code = nearfar.cli.run(['models', 'list']);"
        "print(code, 'torch' in sys.modules, time.process_time())"
    )
    seconds = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        code, torch_loaded, spent = done.stdout.split()[-3:]
        assert (code, torch_loaded) == ("0", "False"), done.stderr
        seconds.append(float(spent))  # processor time: tests share the machine
    assert min(seconds) < 0.9  # 0.25 s alone
