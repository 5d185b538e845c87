"""nearfar data list, nearfar data check: what is known of datasets, what is really on the disk."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nearfar.errors import ConfigError, DataError

from .options import refuse_existing
from .progress import counting_bar
from .sheets import SHEET_COLUMNS, Tiles, depth_tile, depth_tiles, write_sheet

if TYPE_CHECKING:
    from nearfar.data.cards import DatasetCard
    from nearfar.data.check import Examination, Located

LIST_SUFFIXES = (".csv", ".jsonl", ".json")
COMMERCIAL = {True: "yes", False: "no", None: "unclear"}
_WIDTH = 80
CommercialOnly = Annotated[
    bool, typer.Option("--commercial-only", help="Refuse data whose licence does not allow it.")
]


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of "WIDTHxHEIGHT"."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        raise ConfigError("--size", f"{text!r} is not WIDTHxHEIGHT", "Write for example 256x192")
    width, height = (int(part) for part in parts)
    if min(width, height) < 8 or max(width, height) > 4096:
        raise ConfigError("--size", f"{text} is out of range", "Use 8 to 4096 pixels a side")
    return height, width


def list_datasets(
    name: Annotated[str | None, typer.Argument(help="Only this dataset, in full.")] = None,
    commercial_only: CommercialOnly = False,
    is_long: Annotated[bool, typer.Option("--long", help="All that is known of each.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show every dataset with a reader, a line each; of one NAME, or with --long, everything."""
    from nearfar.data.catalog import DATASETS, find_dataset

    cards = list(DATASETS.values()) if name is None else [find_dataset(name)]
    if commercial_only and name is not None:
        _require_commercial(cards[0])
    cards = [card for card in cards if card.allows_commercial_use or not commercial_only]
    if as_json:
        typer.echo(json.dumps([_facts(card) for card in cards], indent=2))
    elif is_long or name is not None:
        typer.echo("\n\n".join(_in_full(card) for card in cards))
    else:
        for cells in (("name", "commercial", "place", "splits, official counts"), *_rows(cards)):
            line = "{:15} {:10}  {:8} {}".format(*cells)
            whole = line[: _WIDTH - 5].rpartition(", ")[0]  # the last split that fits
            typer.echo(line if len(line) <= _WIDTH else f"{whole}, ...")
        typer.echo("Details: nearfar data list NAME. To check a copy: nearfar data check DIR.")


def _rows(cards: Sequence[DatasetCard]) -> list[tuple[str, ...]]:
    return [(c.name, COMMERCIAL[c.commercial], c.place, splits(c)) for c in cards]


def _in_full(card: DatasetCard) -> str:
    """Everything a user may want to know of a dataset before looking for it."""
    span = "" if card.range_m is None else " to ".join(f"{m:g}" for m in card.range_m) + " m"
    options = [
        f"{key}={'|'.join(value for value in values if value) or 'TEXT'}"
        for key, values in card.options.items()
    ]
    lines = {
        "licence": card.licence,
        "commercial use": "unclear, treated as no" if card.commercial is None else "",
        "place": card.place,
        "holds": holds(card),
        "range": span,
        "splits": splits(card),
        "size": card.size,
        "options": " ".join(options),
        "look for": card.page,
        "remarks": card.notes,
    }
    lines["commercial use"] = lines["commercial use"] or COMMERCIAL[card.commercial]
    shown = [f"  {key:15} {value}" for key, value in lines.items() if value]
    return "\n".join([f"{card.name}: {card.title}", *shown])


def _require_commercial(card: DatasetCard) -> None:
    """ConfigError unless the licence clearly allows commercial use."""
    if not card.allows_commercial_use:
        finding = f"commercial use: {COMMERCIAL[card.commercial]} (licence: {card.licence})"
        raise ConfigError(f"dataset {card.name}", finding, "Drop --commercial-only")


def holds(card: DatasetCard) -> str:
    """What a dataset has beside photos and depth, in words."""
    parts = {
        "synthetic": card.synthetic,
        "video": card.video,
        "poses": card.has_pose,
        "sky": card.has_sky,
        "dense": card.dense,
        "no metres": not card.metric,
    }
    return ", ".join(name for name, is_so in parts.items() if is_so) or "photos, depth"


def splits(card: DatasetCard) -> str:
    """The splits with their official counts, where they are known."""
    counts = card.expected_counts
    return ", ".join(f"{s} {counts[s]}" if s in counts else s for s in card.splits)


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckOptions:
    """The options of `nearfar data check`."""

    path: Annotated[
        Path, typer.Argument(help="Folder, tar or zip of a dataset, or an own CSV or JSONL list.")
    ]
    dataset: Annotated[
        str | None,
        typer.Option(help="Name of `nearfar data list`; default: recognized by its layout."),
    ] = None
    split: Annotated[str | None, typer.Option(help="Default: the dataset's first.")] = None
    list_file: Annotated[Path | None, typer.Option("--list", help="List of the samples.")] = None
    option: Annotated[
        list[str], typer.Option("--option", help="NAME=VALUE of the reader; may be repeated.")
    ] = field(default_factory=list)
    samples: Annotated[int, typer.Option(min=1, help="Samples read, spread over the set.")] = 20
    sheet: Annotated[Path | None, typer.Option(help="Contact sheet to write (PNG).")] = None
    overwrite: Annotated[bool, typer.Option(help="Replace a sheet that exists.")] = False
    commercial_only: CommercialOnly = False
    size: Annotated[str, typer.Option(help="Own lists: WIDTHxHEIGHT of training.")] = "256x192"


def check(context: typer.Context, chosen: CheckOptions) -> None:
    """Count, identify and read samples: ranges, warnings, broken files, contact sheet.

    Of an own list every line is read; of a dataset --samples of them. Exit code 1 if any is broken.
    """
    refuse_existing(chosen.sheet, overwrite=chosen.overwrite)
    is_own_list = chosen.path.suffix.lower() in LIST_SUFFIXES and not chosen.path.is_dir()
    if chosen.dataset is None and is_own_list:
        _check_list(chosen)
        return
    from nearfar.data.check import examine

    found_at = _locate(chosen)
    if chosen.commercial_only:
        _require_commercial(found_at.card)
    with counting_bar() as bar:
        task = bar.add_task("samples", total=chosen.samples)
        found = examine(
            found_at,
            samples=chosen.samples,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    _print_findings(found)
    if chosen.sheet is not None and found.tiles:
        write_sheet(
            [depth_tile(t.rgb_HW3, t.depth_HW, t.depth_HW > 0) for t in found.tiles], chosen.sheet
        )
        typer.echo(f"{chosen.sheet}: contact sheet")
    if found.broken or not found.read:
        raise typer.Exit(1)


def _locate(chosen: CheckOptions) -> Located:
    """The dataset named, or the one whose layout fits."""
    from nearfar.data.catalog import find_dataset, open_dataset
    from nearfar.data.check import Located, locate

    if chosen.dataset is None:
        if chosen.option:
            raise ConfigError("--option", "needs --dataset", "Say which reader it is for")
        return locate(chosen.path, split=chosen.split, list_file=chosen.list_file)
    card = find_dataset(chosen.dataset)
    split = chosen.split or card.splits[0]
    options = dict(_named(text) for text in chosen.option)
    root = chosen.path if card.needs_files else None
    dataset = open_dataset(
        card.name, root, split=split, list_file=chosen.list_file, options=options
    )
    return Located(card, split, dataset)


def _print_findings(found: Examination) -> None:
    """The findings as lines; broken samples on standard error."""
    from nearfar.data.check import warnings_of

    card, identity = found.card, found.identity
    whose = f"official ({identity.official})" if identity.official else "custom"
    expected = "" if found.expected is None else f" of {found.expected} official"
    use = COMMERCIAL[card.commercial]
    typer.echo(f"dataset      {card.name}: {card.title}")
    typer.echo(f"licence      {card.licence}; commercial use: {use}")
    typer.echo(f"split        {found.split}: {found.count}{expected} samples")
    typer.echo(f"fingerprint  {identity.sha256[:16]}, {whose}")
    for message in found.broken:
        typer.echo(f"nearfar: {message}", err=True)
    typer.echo(f"read         {found.read} of {found.read + len(found.broken)} samples")
    if found.read:
        sizes = ", ".join(f"{s[1]}x{s[0]}" for s, _ in found.sizes_hw.most_common(4))
        typer.echo(f"sizes        {sizes}{', ...' if len(found.sizes_hw) > 4 else ''}")
        parts = ", ".join(f"{name} {count}" for name, count in sorted(found.has.items()))
        typer.echo(f"with         {parts or 'photo and depth only'}")
        unit = "m" if set(found.kinds) == {"metric"} else f"({', '.join(found.kinds)})"
        levels = ", ".join(f"{p} % {v:.4g}" for p, v in found.percentiles().items())
        typer.echo(f"depth        {levels or 'none'} {unit if levels else ''}".rstrip())
        invalid = 100 * (1 - sum(found.valid) / len(found.valid))
        sky = f", sky {100 * sum(found.sky) / len(found.sky):.1f} %" if found.sky else ""
        typer.echo(f"pixels       without depth {invalid:.1f} %{sky}")
    for warning in warnings_of(found):
        typer.echo(f"warning      {warning}")


def _check_list(chosen: CheckOptions) -> None:
    """Read every line of an own list: counts, depth range, broken lines, contact sheet."""
    from nearfar.data.folder import FolderDataset
    from nearfar.data.sample import stack_samples

    faults: list[DataError] = []
    data = FolderDataset(chosen.path, parse_size(chosen.size), faults=faults)
    for fault in faults:
        typer.echo(f"nearfar: {fault}", err=True)
    tiles: list[Tiles] = []
    broken, with_camera, known = 0, 0, 0.0
    low, high = math.inf, 0.0
    with counting_bar() as bar:
        for index in bar.track(range(len(data)), description="lines"):
            try:
                sample = data.sample(index)
            except DataError as error:
                broken += 1
                typer.echo(f"nearfar: {error}", err=True)
                continue
            depth = sample.depth_HW[sample.valid_HW]
            low, high = min(low, float(depth.min())), max(high, float(depth.max()))
            known += float(sample.valid_HW.float().mean())
            with_camera += sample.fov_x_deg == sample.fov_x_deg
            if chosen.sheet is not None and len(tiles) < 4 * SHEET_COLUMNS:
                tiles += depth_tiles(stack_samples([sample]))
    good = len(data) - broken
    total = len(data) + len(faults)
    typer.echo(f"{good} of {total} lines are valid, {with_camera} with a camera")
    if good:
        typer.echo(
            f"depth {low:.3f} to {high:.3f} m, known in {100 * known / good:.1f} % of pixels"
        )
    if chosen.sheet is not None and tiles:
        write_sheet(tiles, chosen.sheet)
        typer.echo(f"{chosen.sheet}: contact sheet")
    if broken or faults:
        raise typer.Exit(1)


def _named(text: str) -> tuple[str, str]:
    """Name and value of NAME=VALUE."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise ConfigError("--option", f"{text!r} is not NAME=VALUE", "Write for example gt=filled")
    return name, value


def _facts(card: DatasetCard) -> dict[str, Any]:
    """A card as plain values."""
    return {
        "name": card.name,
        "title": card.title,
        "licence": card.licence,
        "commercial": card.commercial,
        "place": card.place,
        "synthetic": card.synthetic,
        "video": card.video,
        "has_pose": card.has_pose,
        "has_sky": card.has_sky,
        "dense": card.dense,
        "metric": card.metric,
        "range_m": card.range_m,
        "splits": list(card.splits),
        "counts": dict(card.expected_counts),
        "options": {name: list(values) for name, values in card.options.items()},
        "size": card.size,
        "notes": card.notes,
    }
