"""The root: fast, torch-free help; one-line errors; exit codes; lazy verbs."""

import os
import subprocess
import sys

import pytest

from nearfar import __version__
from nearfar.cli import VERBS, Services, run
from nearfar.errors import ConfigError, InputError, WeightsError


def python(code, *, stdin=None):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, input=stdin, timeout=60
    )


def test_help_is_fast_and_lists_all_verbs_without_torch():
    code = "import sys; from nearfar.cli import run; run(['--help']); print('torch' in sys.modules)"
    seconds = []  # of processor time: other processes must not fail this test
    for _ in range(3):
        before = os.times()
        done = python(code)
        after = os.times()
        seconds.append(sum(after[2:4]) - sum(before[2:4]))
    assert done.stdout.splitlines()[-1] == "False"
    for verb, (_, _, line) in VERBS.items():
        assert verb in done.stdout
        assert line in done.stdout
    assert min(seconds) < 0.5, seconds


def test_no_arguments_is_help(nearfar):
    ran = nearfar()
    assert ran.code == 0
    assert "Usage: nearfar" in ran.out


def test_version(nearfar):
    assert nearfar("--version")[:2] == (0, f"{__version__}\n")


def test_a_working_folder_that_is_gone_is_one_line(tmp_path):
    (tmp_path / "gone").mkdir()
    code = "import os, sys; os.rmdir('../gone'); from nearfar.cli import run; sys.exit(run(['-h']))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path / "gone"
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith("nearfar: error: working folder: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nope"], "No such command 'nope'"),
        (["predikt"], "predict"),
        (["--nope"], "No such option"),
        (["predict"], "Missing argument"),
        (["predict", "x", "--steps", "four"], "'--steps'"),
        (["predict", "x", "--color"], "No such option: --color"),
    ],
)
def test_wrong_usage_is_one_line_and_two(nearfar, arguments, words):
    ran = nearfar(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert len(ran.err.splitlines()) == 1
    assert ran.err.startswith("nearfar: error: ")
    assert words in ran.err
    assert "--help" in ran.err


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (ConfigError("a", "b", "c"), 2, "a: b. c"),
        (InputError("a", "b"), 1, "a: b."),
        (WeightsError("two\nlines", "b"), 1, "two\\nlines: b."),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_errors_are_one_line_with_their_code(capsys, tmp_path, rgb, fault, code, said):
    from PIL import Image

    Image.fromarray(rgb).save(tmp_path / "p.png")

    def load(*args, **kwargs):
        raise fault

    arguments = ["predict", str(tmp_path / "p.png"), "-o", str(tmp_path / "out")]
    assert run(arguments, services=Services(load=load)) == code
    assert capsys.readouterr().err == f"nearfar: error: {said}\n"
    assert not (tmp_path / "out").exists()


def test_a_closed_pipe_is_quiet():
    reader = f"'{sys.executable}' -m nearfar.cli --help"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {reader} | true"], capture_output=True, text=True
    )
    assert done.returncode in (1, 141)  # 1: rich saw it first
    assert done.stderr == ""
