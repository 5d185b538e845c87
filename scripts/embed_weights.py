"""Take the exported weights of a training run into the package: the file, its card, its hash.

    python scripts/embed_weights.py runs/tiny_encoder tiny_encoder
    python scripts/embed_weights.py runs/ppd_tiny_fine ppd_tiny --after runs/ppd_tiny

`--after` adds the cards of earlier stages, so that the card tells the whole recipe. Only commit
weights that measure better than those they replace (benchmarks/quality_tiny.py).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from sonde.io.atomic import atomic_path
from sonde.weights.registry import EMBEDDED_FOLDER
from sonde.weights.safe import sha256_of

LIMIT_MB = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("name", choices=("tiny_encoder", "ppd_tiny"))
    parser.add_argument("--after", type=Path, action="append", default=[])
    parser.add_argument("--area", type=int, help="network pixels when no resolution is asked for")
    parser.add_argument("--steps", type=int, help="network calls when none are asked for")
    parser.add_argument("--note", help="what the recipes do not tell, for the card")
    options = parser.parse_args()

    weights = (options.run / "weights.safetensors").read_bytes()
    size_mb = len(weights) / 1e6
    if size_mb > LIMIT_MB:
        parser.error(f"{size_mb:.1f} MB is over the {LIMIT_MB} MB of an embedded model")
    card = read_card(options.run)
    card["earlier_stages"] = [read_card(folder) for folder in options.after]
    card["size_mb"] = round(size_mb, 2)
    if options.area:
        card["default_area"] = options.area
    if options.steps:
        card["default_steps"] = options.steps
    if options.note:
        card["note"] = options.note

    EMBEDDED_FOLDER.mkdir(exist_ok=True)
    target = EMBEDDED_FOLDER / f"{options.name}.safetensors"
    with atomic_path(target) as temporary:
        temporary.write_bytes(weights)
    if sha256_of(target) != card["sha256"]:
        parser.error(f"{options.run}: the card's sha256 is not that of its weights; export again")
    with atomic_path(target.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    print(f"{target}: {size_mb:.1f} MB, {card['samples']} samples, {card['seconds']:.0f} s")


def read_card(folder: Path) -> dict[str, object]:
    """The run's card; absolute paths keep their last two parts, since machines differ."""
    return json.loads(
        (folder / "card.json").read_text(encoding="utf-8"),
        object_hook=lambda table: {key: short_path(value) for key, value in table.items()},
    )


def short_path(value: object) -> object:
    if isinstance(value, str) and value.startswith("/"):
        return "/".join(Path(value).parts[-2:])
    return value


if __name__ == "__main__":
    main()
