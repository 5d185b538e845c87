"""scripts/mix_weights.py: shared tensors are mixed, the others stay, strangers are refused."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from nearfar.errors import WeightsError
from nearfar.weights.safe import read_safetensors, write_safetensors

SCRIPT = Path(__file__).parents[2] / "scripts" / "mix_weights.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mix_weights", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_shared_tensors_are_mixed_and_own_ones_stay(script, tmp_path, monkeypatch):
    run, model = tmp_path / "run", tmp_path / "model.safetensors"
    run.mkdir()
    own = {"a": torch.full((2,), 4.0).half(), "temporal": torch.full((3,), 7.0)}
    write_safetensors(run / "weights.safetensors", own, {"family": "ppd_video"})
    write_safetensors(model, {"a": torch.zeros(2), "other": torch.ones(1)}, {})
    out = tmp_path / "deep" / "mixed"
    words = ["mix_weights.py", str(run), str(model), "--share", "0.25", "-o", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    script.main()
    tensors, metadata = read_safetensors(out / "weights.safetensors")
    assert metadata["family"] == "ppd_video"
    assert tensors["a"].dtype == torch.float16
    assert tensors["a"].tolist() == [1.0, 1.0]
    assert tensors["temporal"].tolist() == [7.0, 7.0, 7.0]
    assert set(tensors) == {"a", "temporal"}


@pytest.mark.parametrize("model", [{"a": torch.zeros(3)}, {"b": torch.zeros(2)}])
def test_strangers_are_refused(script, model):
    with pytest.raises(WeightsError, match="shape|in common"):
        script.mix({"a": torch.zeros(2)}, model, share=0.5)


def test_a_wrong_share_is_one_line(script, tmp_path, monkeypatch, capsys):
    words = ["mix_weights.py", str(tmp_path), "ppd-tiny", "--share", "2", "-o", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        script.main()
    assert ended.value.code == 2
    assert "--share 2.0: not within 0 and 1" in capsys.readouterr().err
