"""nearfar prune: from photos to a smaller file that predicts; resume; every refusal in one line."""

import json

import numpy as np
import pytest
import torch
from micro_ppd import write_micro_ppd
from PIL import Image

from nearfar.cli import run
from nearfar.prune import model as prune_room
from nearfar.weights.safe import read_safetensors


@pytest.fixture
def source(tmp_path):
    return write_micro_ppd(tmp_path / "mine")


@pytest.fixture
def pictures(tmp_path, rgb):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(2):
        Image.fromarray(np.roll(rgb, 20 * i, axis=1)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def prune(source, pictures, capsys):
    """Run `nearfar prune` on the micro model; what is given last counts."""

    def call(*more, output="p.safetensors", calibration=pictures):
        words = ["prune", "-m", source, "-o", source.parent / output]
        words += ["--calibration", calibration, "--packages", 2, "--steps", 1, *more]
        code = run([str(word) for word in words])
        return code, *capsys.readouterr()

    return call


def tensors_of(path):
    return read_safetensors(path)[0]


def test_pruned_file_and_report_and_a_prediction(prune, source, pictures, tmp_path):
    code, out, err = prune("--mode", "structured")
    assert code == 0 and "package 2 finished" in err
    assert "deviation" in out and "heads and neurons are cut out" in out
    path = source.parent / "p.safetensors"
    assert tensors_of(path)["blocks.0.attn.proj.weight"].shape == (32, 16)
    report = json.loads(path.with_suffix(".json").read_text())
    assert report["photos"] == 2 and report["config"]["mode"] == "structured"
    assert len(report["layers"]) == 4 and report["parameters_after"] < report["parameters_before"]
    assert not list(source.parent.glob("*.part.*"))
    words = ["predict", pictures / "0.png", "-m", path, "-o", tmp_path / "out", "--resolution", 96]
    assert run([str(word) for word in words]) == 0
    assert list((tmp_path / "out").glob("0*.png"))


def test_two_of_four_and_quiet(prune, source):
    code, out, err = prune("--mode", "nm", "--nm", "2:4", "-q")
    assert (code, out, err) == (0, "", "")
    weight = tensors_of(source.parent / "p.safetensors")["blocks.1.mlp.fc1.weight"]
    assert ((weight.view(-1, 4) == 0).sum(1) == 2).all()


def test_interrupted_and_resumed_is_the_same_file(prune, source, monkeypatch):
    assert prune(output="whole.safetensors")[0] == 0
    real, calls = prune_room.layer_hessians, []

    def stops(*arguments, **more):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **more)

    monkeypatch.setattr(prune_room, "layer_hessians", stops)
    assert prune()[0] == 130
    part = source.parent / "p.part.safetensors"
    assert part.exists() and not (source.parent / "p.safetensors").exists()
    code, _, err = prune()
    assert code == 2 and "an unfinished pruning" in err
    code, _, err = prune("--resume", "--seed", 1)
    assert code == 2 and "of another pruning" in err
    assert prune("--resume")[0] == 0 and len(calls) == 3 and not part.exists()
    resumed, whole = (
        read_safetensors(source.parent / f"{name}.safetensors") for name in ("p", "whole")
    )
    assert resumed.metadata == whole.metadata
    assert all(torch.equal(tensor, whole.tensors[n]) for n, tensor in resumed.tensors.items())


@pytest.mark.parametrize(
    ("more", "finding"),
    [
        (["--mode", "some"], "mode: 'some'"),
        (["--nm", "2:4"], "--nm: has no use with --mode structured"),
        (["--mode", "nm", "--nm", "24"], "'24' is not like 2:4"),
        (["--method", "wanda"], "does not prune structured"),
        (["--resume", "--overwrite"], "exclude each other"),
        (["-o", "p.pth"], "does not end in .safetensors"),
        (["-o", "elsewhere.safetensors"], "holds the model's own encoder"),
        (["--calibration", "synthetic:many"], "1 to 4096 scenes"),
        (["--calibration", "nowhere"], "nowhere"),
        (["-m", "photo-encoder"], "an encoder"),
        (["-m", "ppvd-tiny"], "ppd_video networks cannot be pruned yet"),
    ],
)
def test_refusals_are_one_line(prune, more, finding):
    code, _, err = prune(*more)
    assert code in (1, 2) and err.count("\n") == 1 and finding in err


def test_flat_and_repeated_prunings_are_refused(prune, source, tmp_path):
    Image.new("RGB", (64, 64), (90, 90, 90)).save(tmp_path / "flat.png")
    code, _, err = prune(calibration=tmp_path / "flat.png")
    assert code == 1 and "the only picture is flat" in err
    assert prune()[0] == 0
    code, _, err = prune()
    assert code == 2 and "already exists" in err
    code, _, err = prune("-m", source.parent / "p.safetensors", output="q.safetensors")
    assert code == 2 and "already smaller than asked" in err
    assert prune("--overwrite")[0] == 0
    code, _, err = prune("--overwrite", output="weights.safetensors")
    assert code == 2 and "the same file as the model" in err
