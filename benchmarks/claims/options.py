"""Options that every claim has: how long, how often, on what, and where the numbers go."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from stamp import RESULTS

from nearfar.settings import keep_freed_memory, set_threads

from .training import DTYPES, faster_dtype


def new_parser(
    name: str, doc: str, *, seconds: float, test: int, size: Sequence[int] = (96, 128)
) -> argparse.ArgumentParser:
    """The shared options with the defaults of a claim; `doc` is the docstring of its module."""
    parser = argparse.ArgumentParser(
        prog=f"benchmarks/claims {name}", description=doc.splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="1 seed, seconds each: does it run?")
    parser.add_argument(
        "--seconds", type=float, default=seconds, help="of the processor, a training"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--test", type=int, default=test, help="how many to judge on")
    parser.add_argument("--size", type=int, nargs=2, default=list(size), help="height width")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS / f"claims_{name}.json")
    return parser


def add_scenes(parser: argparse.ArgumentParser) -> None:
    """How many rendered scenes to train on; they lie in shards of 256."""
    parser.add_argument("--scenes", type=int, default=4096, help="to train on")
    parser.set_defaults(shard=256)


def add_arms(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """Which arms to train, and in what precision."""
    parser.add_argument("--only", nargs="+", choices=names, default=list(names), metavar="NAME")
    parser.add_argument("--dtype", choices=DTYPES, default=faster_dtype(), help="of the training")


def read(
    parser: argparse.ArgumentParser, words: Sequence[str], *, quick: Mapping[str, object]
) -> argparse.Namespace:
    """The options; with --quick one seed, the values of `quick`, and no file. Sets the threads."""
    options = parser.parse_args(words)
    if options.quick:
        vars(options).update({"seeds": 1, "output": None, **quick})
    keep_freed_memory()
    set_threads(options.threads)
    return options
