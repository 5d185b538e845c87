"""The fuzz job in short: no traceback, no hang, bounded memory; and it would tell them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import fuzzing
import pytest

SCRIPT = Path(fuzzing.__file__)


@pytest.mark.parametrize("seed", [20])
def test_hostile_inputs_give_one_line_each(seed):
    """`python tests/fuzzing.py --inputs 1000` is the long one."""
    command = [sys.executable, str(SCRIPT), "--inputs", "210", "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "210 inputs, 0 faults" in done.stdout


def test_faults_of_a_reader_are_counted(monkeypatch):
    def broken(folder):
        def read(path):
            content = path.read_bytes()
            if content == b"1":
                raise KeyError("lost")
            if content == b"2":
                time.sleep(60)
            if content == b"3":
                os._exit(1)

        seeds = [(f"{i}.x", str(i).encode()) for i in range(5)]
        return fuzzing.Kind(seeds, lambda content, rng: content, read)

    monkeypatch.setattr(fuzzing, "HANG_S", 1.0)
    monkeypatch.setattr(fuzzing, "START_S", 5.0)
    monkeypatch.setitem(fuzzing.KINDS, "broken", broken)
    found = fuzzing.fuzz("broken", inputs=5, seed=0)
    assert found.outcomes == {"read": 2, "traceback": 1, "hang": 1, "crash": 1}
    assert "KeyError" in found.told[0] and found.told[1] == "broken 0:2 hang"


def test_an_input_is_the_same_whatever_came_before_it():
    first, again = (
        fuzzing.mutated(bytes(range(200)), fuzzing.np.random.default_rng([3, 9])) for _ in "ab"
    )
    assert first == again != bytes(range(200))
