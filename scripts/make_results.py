"""Writes docs/results.md from the results stored in benchmarks/results/eval.

python scripts/make_results.py                     # write the document again
python scripts/make_results.py --add out/eval/RUN  # store a finished run first, then write
python scripts/make_results.py --check             # exit 1 if the document is not current
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nearfar.eval.compare import markdown, read_results, stored_name
from nearfar.eval.results import RESULT_FILE, load_result
from nearfar.io.atomic import atomic_path, ensure_folder

ROOT = Path(__file__).resolve().parents[1]
STORED = ROOT / "benchmarks" / "results" / "eval"
DOCUMENT = ROOT / "docs" / "results.md"
INTRODUCTION = """# Results

Made by `scripts/make_results.py` from the files in `benchmarks/results/eval`; do not edit by hand.
Every number belongs to a protocol (id@version#hash, see [evaluation.md](evaluation.md)): the same
name with another hash is another measurement. In brackets: 95 % interval, resampled by scene. Two
models whose intervals overlap may still differ clearly on the same images: `nearfar eval compare`
tells. `flat` and `row-ramp` see no photo; a model near them has learnt little more than which way
is up. A table holds the models of one machine (processor, threads, dtype), because seconds and
memory belong to it.
"""


def document(stored: Path) -> str:
    """The whole text of docs/results.md."""
    return f"{INTRODUCTION}\n{markdown(read_results(stored))}\n"


def add(run: Path, stored: Path) -> Path:
    """Copy the result of a run into the stored ones; returns its path there.

    Its command must hold in any clone: one with a path of this machine is refused.
    """
    source = run / RESULT_FILE if run.is_dir() else run
    result = load_result(source)
    words = str(result.tool.get("command", "")).split()
    if any(Path(word).is_absolute() for word in words):
        sys.exit(f"{source}: its command names a path of this machine; run it with relative ones")
    target = stored / stored_name(result)
    ensure_folder(stored)
    with atomic_path(target) as temporary:
        temporary.write_bytes(source.read_bytes())
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--add", type=Path, nargs="+", default=[], help="run folders to store")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--stored", type=Path, default=STORED)
    parser.add_argument("--document", type=Path, default=DOCUMENT)
    options = parser.parse_args()
    for run in options.add:
        print(add(run, options.stored))
    text = document(options.stored)
    if options.check:
        current = options.document.read_text(encoding="utf-8") if options.document.exists() else ""
        if current != text:
            sys.exit(f"{options.document} is not current: run python scripts/make_results.py")
        return
    with atomic_path(options.document) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(options.document)


if __name__ == "__main__":
    main()
