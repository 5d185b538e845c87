"""The one command: `python benchmarks/claims NAME [options]`."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as the scripts beside this folder

NAMES = ("dar", "nextscale", "ppd", "video")


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks/claims", description="The papers' claims in miniature."
    )
    parser.add_argument("name", choices=NAMES, help="whose claims; NAME --help shows its options")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="of these claims")
    chosen = parser.parse_args(words)
    import_module(f"claims.{chosen.name}").main(chosen.options)


if __name__ == "__main__":
    main(sys.argv[1:])
