"""nearfar eval in this process with a fake model and a small folder; two processes for shares."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from nearfar.eval.results import load_result


@pytest.fixture
def pairs(tmp_path):
    """A folder of four photos with depth, by stem; the fourth has no known depth."""
    folder = tmp_path / "pairs"
    for name in ("rgb", "depth"):
        (folder / name).mkdir(parents=True)
    rows, columns = np.mgrid[0:48, 0:64]
    for i in range(4):
        depth = (6 - rows / 10 + 0.3 * np.sin(columns / (5 + i))).astype(np.float32)
        depth[20:30, 20 + i : 40] = 1.5
        photo = np.stack([255 - depth * 30, depth * 25, columns + i], axis=2).clip(0, 255)
        Image.fromarray(photo.astype(np.uint8)).save(folder / "rgb" / f"{i}.png")
        np.save(folder / "depth" / f"{i}.npy", depth * (i < 3))
    return folder


def test_list_and_show(nearfar):
    ran = nearfar("eval", "list")
    lines = ran.out.splitlines()
    assert ran.code == 0 and any(line.startswith("marigold-nyuv2 ") for line in lines)
    assert all(len(line) <= 80 for line in lines)
    assert any(line.split()[:3] == ["boundary-f1-masked", "ours", "by"] for line in lines)
    facts = json.loads(nearfar("eval", "list", "--json").out)
    assert len(facts) == len(lines) - 2 and {"id", "hash", "accepts"} <= set(facts[0])
    shown = nearfar("eval", "show", "moge-disparity").out
    assert "moge-disparity@1#" in shown and "sets: moge-disparity-nyuv2" in shown
    one = json.loads(nearfar("eval", "show", "moge-disparity-nyuv2", "--json").out)
    assert one["text"]["expected"][0]["model"] == "Depth-Anything-V2-L"
    missing = nearfar("eval", "show", "marigold-nyu")
    assert missing.code == 2 and "Did you mean marigold-nyuv2?" in missing.err


def test_run_compare_recompute(nearfar, pairs, tmp_path, make_model):
    def run(name, *more, **given):
        folder = tmp_path / name
        words = ("eval", "run", "-p", "real-folder", "--root", pairs, "-o", folder, *more)
        return folder, nearfar(*words, **given)

    a, ran = run("a", "--ensemble-size", "2", model=make_model())
    assert ran.code == 0, ran.err
    assert "fake on real-folder@1#" in ran.out and "3 of 4 images, 1 skipped" in ran.out
    result = load_result(a)
    assert result.settings["ensemble_size"] == 2 and result.settings["seed"] == 0
    assert result.metrics["ause_abs_rel"].n == 3 and (a / "report.html").is_file()
    assert result.model["family"] == "affine_log1p" and result.dataset["root"] == "pairs"
    b, ran = run("b", "-m", "flat", "--no-report", "-q")
    assert ran.code == 0 and not (b / "report.html").exists() and not ran.out + ran.err
    facts = load_result(b)
    assert facts.machine["dtype"] == "float64" and facts.dataset["commercial"] is None
    again = run("a", model=make_model())[1]
    assert again.code == 2 and "--resume" in again.err
    compared = nearfar("eval", "compare", a, b)
    assert compared.code == 0 and "a is better" in compared.out, compared.out
    rows = json.loads(nearfar("eval", "compare", a, b, "--json").out)["differences"]
    assert {"metric", "mean", "low", "high", "is_clear"} <= set(rows[0])
    before = (a / "result.json").read_text()
    done = nearfar("eval", "recompute", a)
    assert done.code == 0 and (a / "result.json").read_text() == before
    assert next(iter(result.metrics)) == "abs_rel"


def test_set_limit_and_json(nearfar, pairs, tmp_path, make_model):
    words = ["eval", "run", "-p", "real-folder", "--root", pairs, "-o", tmp_path / "c", "--json"]
    change = ["--set", "mask.max=5.0", "--set", "average.over=images"]
    ran = nearfar(*words, *change, "--limit", 2, "--steps", 3, "--seed", 7, model=make_model())
    table = json.loads(ran.out)
    assert table["protocol"]["id"] == "custom-real-folder" and table["comparable"] is False
    assert len(table["remarks"]) == 2 and table["dataset"]["selected"] == 2
    assert (table["settings"]["steps"], table["settings"]["seed"]) == (3, 7)
    wrong = nearfar(*words, "--set", "mask.maxi=1")
    assert wrong.code == 2 and "Did you mean mask.max?" in wrong.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-m", "flat", "-p", "eigen-metric-nyu"), "accepted are metric"),
        (("-p", "opw"), "opw follows an optical flow that is not in nearfar"),
        (("-p", "moge-scale"), "Name one: moge-scale-nyuv2"),
        (("-p", "real-folder"), "needs its folder"),
        (("-m", "flat", "--ensemble-size", "3"), "means nothing to flat"),
        (("-m", "flat", "--steps", "3"), "means nothing to flat"),
        (("-m", "flat", "--stop-at", "3"), "means nothing to flat"),
        (("-m", "fake", "--guidance-scale", "2"), "guidance_scale: fake makes no guess"),
        (("-m", "flat", "--root", "."), "reads no files"),
    ],
)
def test_what_cannot_work_is_said_before_any_work(nearfar, tmp_path, words, message):
    ran = nearfar("eval", "run", *words, "-o", tmp_path / "run")
    assert ran.code == 2 and message in ran.err
    assert not (tmp_path / "run").exists()


def test_ctrl_c_says_how_to_go_on(nearfar, pairs, tmp_path, make_model):
    model = make_model()
    plain = model.predict

    def stops(image, **options):
        if len(model._predictor.calls) == 2:  # the question about its family was the first
            raise KeyboardInterrupt
        return plain(image, **options)

    model.predict = stops
    words = ("eval", "run", "-p", "real-folder", "--root", pairs, "-o", tmp_path / "run")
    ran = nearfar(*words, model=model)
    assert ran.code == 130 and "--resume" in ran.err
    ran = nearfar(*words, "--resume", model=make_model())
    assert ran.code == 0 and load_result(tmp_path / "run").dataset["evaluated"] == 3


def test_synthetic_needs_no_root(nearfar, tmp_path, monkeypatch):
    monkeypatch.setenv("NEARFAR_CACHE", str(tmp_path / "cache"))
    small = ("--set", "dataset.count=2", "--set", "dataset.options.count='2'")
    size = ("--set", "dataset.options.height='24'", "--set", "dataset.options.width='32'")
    words = ("eval", "run", "-m", "row-ramp", "-p", "synthetic", "-o", tmp_path / "run")
    ran = nearfar(*words, *small, *size, "--no-report")
    assert ran.code == 0, ran.err
    assert load_result(tmp_path / "run").metrics["abs_rel"].n == 2
    assert len(list((tmp_path / "cache").rglob("*.npz"))) == 2


def test_two_processes_give_the_numbers_of_one(nearfar, pairs, tmp_path):
    words = ["eval", "run", "-m", "row-ramp", "-p", "real-folder", "--root", str(pairs)]
    words += ["--no-report", "-o"]
    assert nearfar(*words, tmp_path / "one").code == 0
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "nearfar.cli", *words, str(tmp_path / "two"), "--share", "env"],
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    outputs = [process.communicate(timeout=200)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    one, two = (load_result(tmp_path / name) for name in ("one", "two"))
    assert one.metrics == two.metrics and one.subsets == two.subsets
    assert two.dataset["selected"] == 4
    assert sum("share" in text and "is done" in text for text in outputs) <= 1
