"""Take the exported weights of a training run into the package: the file, its card, its hash.

    python scripts/embed_weights.py runs/tiny_encoder tiny_encoder
    python scripts/embed_weights.py runs/ppd_photo ppd_tiny
    python scripts/embed_weights.py runs/depthart_tiny depthart_tiny --after runs/depth_tokenizer

`--after` adds the cards of earlier stages, so that the card tells the whole recipe. Only commit
weights that measure better than those they replace (benchmarks/quality_tiny.py).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nearfar.errors import WeightsError
from nearfar.family import WeightsEntry
from nearfar.io.atomic import atomic_path
from nearfar.weights import registry
from nearfar.weights.registry import ENTRIES
from nearfar.weights.safe import read_metadata, sha256_of

LIMIT_MB = 25
NAMES = {Path(entry.file).stem: entry for entry in ENTRIES.values() if entry.embedded}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--after", type=Path, action="append", default=[])
    parser.add_argument("--area", type=int, help="network pixels when no resolution is asked for")
    parser.add_argument("--steps", type=int, help="network calls when none are asked for")
    parser.add_argument("--guidance", type=float, help="guidance scale when none is asked for")
    parser.add_argument("--mode", help="how VAR-Depth chooses codes (models/var_depth/sample.py)")
    parser.add_argument("--note", help="what the recipes do not tell, for the card")
    options = parser.parse_args()

    more = {
        "default_area": options.area,
        "default_steps": options.steps,
        "default_guidance": options.guidance,
        "default_mode": options.mode,
        "note": options.note,
    }
    try:
        card = embed(options.run, NAMES[options.name], after=options.after, more=more)
    except WeightsError as error:
        parser.error(str(error))
    print(
        f"{options.name}: {card['size_mb']} MB, {card['samples']} samples, {card['seconds']:.0f} s"
    )


def embed(
    run: Path, entry: WeightsEntry, *, after: Sequence[Path], more: Mapping[str, object]
) -> dict[str, Any]:
    """Copy weights and card into the package; WeightsError if they are not what the entry says.

    more: what the card says besides, where it is set. The file stands whole beside its card or
    not at all.
    """
    source = run / "weights.safetensors"
    metadata = read_metadata(source)
    for what in ("family", "preset", "encoder"):
        found, wanted = metadata.get(what, ""), getattr(entry, what)
        if found != wanted:
            raise WeightsError(source, f"{what} {found!r}, but {entry.name} is {wanted!r}")
    weights = source.read_bytes()
    size_mb = len(weights) / 1e6
    if size_mb > LIMIT_MB:
        raise WeightsError(source, f"{size_mb:.1f} MB, an embedded model has {LIMIT_MB} at most")
    card = read_card(run)
    if sha256_of(source) != card["sha256"]:
        raise WeightsError(source, "the card's sha256 is not that of the weights", "Export again")
    card["earlier_stages"] = [read_card(folder) for folder in after]
    card["size_mb"] = round(size_mb, 2)
    card |= {key: value for key, value in more.items() if value}
    folder = registry.EMBEDDED_FOLDER
    folder.mkdir(exist_ok=True)
    target = folder / entry.file
    with atomic_path(target) as temporary:
        temporary.write_bytes(weights)
    with atomic_path(target.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return card


def read_card(folder: Path) -> dict[str, Any]:
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
