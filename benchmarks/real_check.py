"""How good models are on real RGB-D pairs of your own, by place, beside maps that see no photo.

    python benchmarks/real_check.py --root FOLDER [-m ppd-tiny ...] [--sheet sheet.png] [--store]

FOLDER holds index.json: {"pairs": [{"name", "rgb", "npz", "scene_id", "scene", "sparse"}, ...]}
with npz keys depth (metres, 0 = unknown) and mask; scikit-image's motorcycle joins as a place
of its own. Every map is fitted in ln(metres + 1) by least squares, then judged: AbsRel, delta1,
boundary F1 (only where `sparse` is false), share of flying pixels at edges, and the share of images
on which the row ramp has the lower AbsRel. Means inside a scene_id first, then over scenes. The
sheet shows photo, truth, prediction of the first model, and its uncertainty. Nothing here is for
choosing a final model: pairs looked at often are no test set any more.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from stamp import RESULTS, store

from nearfar.eval.metrics.edges import boundary_f1, flying_pixel_rate
from nearfar.eval.metrics.image import (
    abs_rel,
    align_log1p,
    as_log_depth,
    delta1,
    flat_map,
    row_ramp,
)
from nearfar.geometry.upsample import upsample_guided
from nearfar.io.images import read_image, write_picture
from nearfar.pipeline.load import load
from nearfar.pipeline.predict import Model
from nearfar.settings import keep_freed_memory
from nearfar.viz.colormap import apply_colormap
from nearfar.viz.panel import contact_sheet
from nearfar.weights.load import load_encoder

FLAT, RAMP = "flat map", "row ramp"
NUMBERS = ("abs_rel", "delta1", "boundary_f1", "flying", "worse_than_ramp", "missing", "seconds")
NEAREST = 1e-3  # metres; a fitted map may fall below zero
TILE_WIDTH = 240


class Pair(NamedTuple):
    """A photo with its depth; `scene_id` groups photos of one place, `place` kinds of places."""

    name: str
    scene_id: str
    place: str
    is_dense: bool
    rgb_HW3: NDArray[np.uint8]
    depth_HW: NDArray[np.float64]
    valid_HW: NDArray[np.bool_]


class Guess(NamedTuple):
    """ln(depth + 1) up to scale and shift, NaN where nothing is said; its spread, if known."""

    log_HW: NDArray[np.float64]
    spread_HW: NDArray[np.float64] | None = None


Predict = Callable[[NDArray[np.uint8]], Guess]
Scores = dict[str, float]


def main() -> None:
    options = read_options()
    keep_freed_memory()
    members = list(pairs(options.root)) + ([] if options.no_motorcycle else [motorcycle()])
    rows = predictors(options.model, options.encoder, options.ensemble_size)
    scores, tiles = evaluate(members, rows, shown=next(iter(rows)))
    places = groups(members)
    table = {
        place: {
            name: mean_over_scenes([members[n] for n in chosen], [lines[n] for n in chosen])
            for name, lines in scores.items()
        }
        for place, chosen in places.items()
    }
    for place, lines in table.items():
        title = f"{place} (n = {len(places[place])})"
        print(f"\n{title:36}", *(f"{name.replace('_', ' ')[:9]:>9}" for name in NUMBERS))
        for name, line in lines.items():
            print(f"  {name:34}", *(f"{line[number]:9.3f}" for number in NUMBERS))
    if options.sheet:
        write_picture(contact_sheet(tiles, columns=4, gap=4), options.sheet)
    numbers = {"places": without_nan(table), "models": options.model, "pairs": len(members)}
    if options.store:
        numbers["images"] = {
            name: without_nan({pair.name: line for pair, line in zip(members, lines)})
            for name, lines in scores.items()
        }
    store("real_check", numbers, path=RESULTS / "real_check.json" if options.store else None)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="folder with index.json")
    parser.add_argument("-m", "--model", action="append", help="name or file; may be repeated")
    parser.add_argument("--encoder", default="photo-encoder", help="'' leaves its rows out")
    parser.add_argument("--ensemble-size", type=int, default=4, help="1 leaves its rows out")
    parser.add_argument("--sheet", type=Path, help="contact sheet to write (PNG)")
    parser.add_argument("--no-motorcycle", action="store_true")
    parser.add_argument("--store", action="store_true", help="write results/real_check.json")
    options = parser.parse_args()
    options.model = options.model or ["ppd-tiny"]
    return options


def predictors(models: Sequence[str], encoder: str, ensemble_size: int) -> dict[str, Predict]:
    """Name of a row to its function from photo to guess; the ensemble of the first model leads."""
    rows: dict[str, Predict] = {}
    for name in models:
        model = load(name)
        for size in sorted({ensemble_size, 1}, reverse=True):
            label = f"median of {size}" if size > 1 else "single"
            rows[f"{Path(name).stem}, {label}"] = generative(model, size)
    if encoder:
        rows |= {
            f"{encoder} alone, {way}": discriminative(encoder, way)
            for way in ("bilinear", "guided")
        }
    rows[RAMP] = lambda rgb_HW3: Guess(row_ramp(rgb_HW3.shape[:2]))
    rows[FLAT] = lambda rgb_HW3: Guess(flat_map(rgb_HW3.shape[:2]))
    return rows


def generative(model: Model, ensemble_size: int) -> Predict:
    def predict(rgb_HW3: NDArray[np.uint8]) -> Guess:
        result = model.predict(rgb_HW3, ensemble_size=ensemble_size, metric=False)
        return Guess(as_log_depth(result.depth, result.kind), result.uncertainty)

    return predict


def discriminative(name: str, way: str) -> Predict:
    """The encoder's own depth, brought to the photo's size as `way` says."""
    encoder = load_encoder(name)

    def predict(rgb_HW3: NDArray[np.uint8]) -> Guess:
        image_B3HW = torch.from_numpy(rgb_HW3.copy()).permute(2, 0, 1)[None].float() / 255
        small_B3HW = encoder.to_working_size(image_B3HW)
        with torch.inference_mode():
            guess = encoder.metric(image_B3HW if way == "bilinear" else small_B3HW)
        depth = guess.depth_BHW[0].numpy()
        if way == "guided":
            depth = upsample_guided(depth, small_B3HW[0].permute(1, 2, 0).numpy(), rgb_HW3)
        return Guess(np.log1p(depth.astype(np.float64)))

    return predict


def evaluate(
    members: Sequence[Pair], rows: dict[str, Predict], *, shown: str
) -> tuple[dict[str, list[Scores]], list[NDArray[np.uint8]]]:
    """Scores of every row for every pair, and the tiles of the sheet for the row `shown`."""
    scores: dict[str, list[Scores]] = {name: [] for name in rows}
    tiles: list[NDArray[np.uint8]] = []
    for number, pair in enumerate(members, start=1):
        print(f"{number}/{len(members)} {pair.name}", file=sys.stderr)
        ramp = judge(pair, rows[RAMP])[0]["abs_rel"]
        for name, predict in rows.items():
            line, metres_HW, guess = judge(pair, predict)
            line["worse_than_ramp"] = float(line["abs_rel"] > ramp)
            scores[name].append(line)
            if name == shown:
                tiles += sheet_row(pair, metres_HW, guess.spread_HW)
    return scores, tiles


def judge(pair: Pair, predict: Predict) -> tuple[Scores, NDArray[np.float64], Guess]:
    """The scores of one guess, its fitted metres (NaN where it says nothing), and itself."""
    started = time.perf_counter()
    guess = predict(pair.rgb_HW3)
    seconds = time.perf_counter() - started
    known_HW = pair.valid_HW & np.isfinite(guess.log_HW)
    metres_HW = np.maximum(align_log1p(guess.log_HW, pair.depth_HW, known_HW), NEAREST)
    filled_HW = np.where(np.isfinite(metres_HW), metres_HW, NEAREST)  # never read: not in the mask
    f1 = float("nan")
    if pair.is_dense:
        f1 = boundary_f1(filled_HW, pair.depth_HW, valid_HW=known_HW).f1
    scores = {
        "abs_rel": abs_rel(metres_HW, pair.depth_HW, known_HW),
        "delta1": delta1(metres_HW, pair.depth_HW, known_HW),
        "boundary_f1": f1,
        "flying": flying_pixel_rate(filled_HW, pair.depth_HW, known_HW).rate,
        "missing": 1 - np.count_nonzero(known_HW) / np.count_nonzero(pair.valid_HW),
        "seconds": seconds,
    }
    return scores, metres_HW, guess


def groups(members: Sequence[Pair]) -> dict[str, list[int]]:
    """Places (with their number of scenes) to the numbers of their pairs; "all" first."""
    chosen: dict[str, list[int]] = {"all": list(range(len(members)))}
    for number, pair in enumerate(members):
        chosen.setdefault(pair.place, []).append(number)
    scenes = {place: len({members[n].scene_id for n in ns}) for place, ns in chosen.items()}
    return {f"{place}, {scenes[place]} scenes": ns for place, ns in chosen.items()}


def mean_over_scenes(members: Sequence[Pair], scores: Sequence[Scores]) -> Scores:
    """Means inside scenes, then over scenes; NaN (no dense truth) counts in neither."""
    by_scene: dict[str, list[list[float]]] = defaultdict(list)
    for pair, line in zip(members, scores):
        by_scene[pair.scene_id].append([line[name] for name in NUMBERS])
    means = [mean_of_known(np.array(lines)) for lines in by_scene.values()]
    return dict(zip(NUMBERS, mean_of_known(np.array(means)).tolist()))


def mean_of_known(values_PK: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over rows without NaN; NaN where a column has nothing else."""
    known = ~np.isnan(values_PK)
    total = np.where(known, values_PK, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def without_nan(value: object) -> object:
    """The same tables with None for NaN, as JSON wants it."""
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and np.isnan(value) else value


def sheet_row(
    pair: Pair, metres_HW: NDArray[np.float64], spread_HW: NDArray[np.floating] | None
) -> list[NDArray[np.uint8]]:
    """Photo, truth, prediction in the same colors, and uncertainty (bright = unsure)."""
    log_truth = np.log(np.where(pair.valid_HW, pair.depth_HW, 1.0))
    low, high = np.quantile(log_truth[pair.valid_HW], (0.02, 0.98))

    def colors(log_HW: NDArray[np.float64], known_HW: NDArray[np.bool_]) -> NDArray[np.uint8]:
        picture = apply_colormap(np.clip((log_HW - low) / max(high - low, 1e-6), 0, 1), "spectral")
        return np.where(known_HW[..., None], picture, 0).astype(np.uint8)

    known_HW = np.isfinite(metres_HW)
    guess = colors(np.log(np.where(known_HW, metres_HW, 1.0)), known_HW)
    unsure = np.zeros_like(guess)
    if spread_HW is not None:
        top = np.nanquantile(spread_HW, 0.98)
        unsure = apply_colormap(np.nan_to_num(spread_HW) / max(float(top), 1e-9), "inferno")
    step = max(1, -(-pair.rgb_HW3.shape[1] // TILE_WIDTH))
    shown = (pair.rgb_HW3, colors(log_truth, pair.valid_HW), guess, unsure)
    return [np.ascontiguousarray(picture[::step, ::step]) for picture in shown]


def pairs(folder: Path) -> Iterator[Pair]:
    """The pairs that index.json of a folder names."""
    for entry in json.loads((folder / "index.json").read_text(encoding="utf-8"))["pairs"]:
        with np.load(folder / entry["npz"]) as arrays:
            depth, mask = arrays["depth"].astype(np.float64), arrays["mask"].astype(bool)
        valid = mask & np.isfinite(depth) & (depth > 0)
        yield Pair(
            name=entry["name"],
            scene_id=entry.get("scene_id", entry["name"]),
            place=entry.get("scene", "unknown"),
            is_dense=not entry.get("sparse", True),
            rgb_HW3=read_image(folder / entry["rgb"]).rgb_HW3,
            depth_HW=np.where(valid, depth, 0.0),
            valid_HW=valid,
        )


def motorcycle() -> Pair:
    """Middlebury's motorcycle from scikit-image (f 994.978 px, baseline 193.001 mm)."""
    from skimage.data import stereo_motorcycle

    left, _, disparity = stereo_motorcycle()
    known = np.isfinite(disparity)
    depth = 994.978 * 0.193001 / (np.where(known, disparity, 1.0) + 31.086)
    valid = known & (depth > 0)
    depth = np.where(valid, depth, 0.0)
    return Pair("motorcycle", "motorcycle", "motorcycle", True, left, depth, valid)


if __name__ == "__main__":
    main()
