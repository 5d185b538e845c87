"""Runs README's commands in order in a fresh folder, as one who reads it would.

    make demo && .venv/bin/python scripts/check_readme.py            # all: a few minutes
    .venv/bin/python scripts/check_readme.py --folder DIR --first 2  # the first two, kept in DIR

The folder starts with what a clone has after `make demo`: recipes/ and out/. Commands are the lines
of the bash blocks, then the python block; `nearfar` is that of the running Python.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def commands(readme: str) -> list[list[str]]:
    """The commands of a document in order, as words; a python block is one command."""
    found = []
    for language, block in BLOCK.findall(readme):
        if language == "python":
            found.append([sys.executable, "-c", block])
            continue
        for line in block.splitlines():
            if words := shlex.split(line, comments=True):
                own = [sys.executable, "-m", "nearfar.cli"] if words[0] == "nearfar" else words[:1]
                found.append([*own, *words[1:]])
    return found


def shown(command: list[str]) -> str:
    """A command as README has it."""
    if command[1:2] == ["-c"]:
        return "the python block"
    return shlex.join(["nearfar", *command[3:]] if command[1:2] == ["-m"] else command)


def prepare(folder: Path) -> None:
    """What a clone holds after `make demo`, as far as commands need it."""
    (folder / "recipes").symlink_to(ROOT / "recipes")
    run([sys.executable, str(ROOT / "scripts" / "demo.py")], folder)


def run(command: list[str], folder: Path) -> None:
    """Run in the folder; SystemExit with the command and its last words if it fails."""
    place = str(ROOT / "src")
    known = os.environ.get("PYTHONPATH")
    environment = {**os.environ, "PYTHONPATH": f"{place}{os.pathsep}{known}" if known else place}
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    print(f"{time.perf_counter() - started:6.1f} s  {shown(command)}", flush=True)
    if done.returncode:
        sys.exit(f"exit code {done.returncode}: {shown(command)}\n{done.stderr[-2000:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="an empty folder to keep; default: a temporary")
    parser.add_argument("--first", type=int, help="only the first so many commands")
    options = parser.parse_args()
    todo = commands((ROOT / "README.md").read_text(encoding="utf-8"))[: options.first]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder)
        for command in todo:
            run(command, folder)
    print(f"all {len(todo)} commands of README run")


if __name__ == "__main__":
    main()
