import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nearfar import read
from nearfar.cli import run
from nearfar.cli.train import note, sheet, stop_signals
from nearfar.train.validation import Compared
from nearfar.train.watch import StepReport

ROOT = Path(__file__).parents[2]
RECIPE = """
[model]
kind = "tiny_encoder"
preset = "micro"
[data]
source = "folder"
path = "list.csv"
[train]
steps = 2
[log]
folder = "run"
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.toml").write_text(RECIPE)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train"], "no recipe given"),
        (["train", "none.toml"], "no such recipe"),
        (["train", "r.toml", "train.stepz=1"], "Did you mean steps?"),
        (["train", "r.toml", "train.steps=x"], "It must be a whole number"),
        (["train", "r.toml", "model.kind=none"], "unknown kind"),
        (["train", "r.toml", "--resume", "--overwrite"], "Choose one"),
        (["train", "--export", "nowhere"], "no checkpoint"),
    ],
)
def test_misuse_is_one_line_and_exit_2(recipe, capsys, arguments, words):
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not (recipe / "run").exists()


def test_a_dry_run_prints_memory_and_writes_nothing(recipe, capsys):
    assert run(["train", "r.toml", "--dry-run", "--gpus", "4", "data.crop=[32,48]"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tiny_encoder micro: ") and "activations" in lines[2]
    assert [line.split("  ")[0] for line in lines[3:5]] == ["1 GPU", "4 GPUs, DDP"]
    assert lines[5].startswith("train.shard is not for this kind")
    assert not (recipe / "run").exists()


def test_two_steps_of_dar_are_a_model_that_predicts(tmp_path, capsys):
    """The recipe as it is, made short: rendered scenes, training, export, metres in a PNG."""
    run_folder, photo = tmp_path / "run", tmp_path / "photo.png"
    short = "train.steps=2 train.warmup=1 train.batch_size=2 train.threads=1 data.count=8"
    short += " data.shard=4 data.validation_count=2 log.validate_every=0 log.tensorboard=false"
    recipe = str(ROOT / "recipes" / "dar_tiny.toml")
    assert run(["train", recipe, *short.split(), f"log.folder={run_folder}"]) == 0
    Image.fromarray(np.arange(60 * 90 * 3, dtype=np.uint8).reshape(60, 90, 3)).save(photo)
    out = ["-o", str(tmp_path / "out"), "--save", "png16,npz"]
    assert run(["predict", str(photo), "-m", str(run_folder), *out]) == 0
    result = read(tmp_path / "out" / "photo_depth.npz")
    assert (result.kind, result.model, result.metric_reference) == ("metric", "run", "run")
    assert (tmp_path / "out" / "photo_depth.png").exists()  # millimetres
    capsys.readouterr()
    out = ["-o", str(tmp_path / "other"), "--steps", "2"]
    assert run(["predict", str(photo), "-m", str(run_folder), *out]) == 2
    error = capsys.readouterr().err
    assert "steps: 2, but DAR runs its K steps once" in error and error.count("\n") == 1


def test_first_signal_asks_second_interrupts_and_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with stop_signals() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


def test_sheet_shows_photo_truth_and_prediction_in_equal_colors():
    depth = np.tile(np.linspace(1, 9, 24, dtype=np.float32), (16, 1))
    valid = np.ones((16, 24), bool)
    one = Compared(np.full((16, 24, 3), 0.5, np.float32), depth, depth.copy(), valid)
    picture = sheet([one, one, one])
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    photo, truth, guess = (picture[:16, start : start + 24] for start in (0, 26, 52))
    assert (photo == 128).all() and (truth == guess).all() and truth.std() > 10


def test_note_behind_the_bar():
    text = note(StepReport(3, 10, 0.12345, 17.25, 3725.4))
    assert text == "loss 0.1235  17.2 samples/s  1:02:05 left"
