"""How good the embedded model is: real photo, held-out rendered scenes, own pairs if given.

    python benchmarks/quality_tiny.py [-m ppd-tiny] [--scenes 32] [--pairs FOLDER]

Every map is fitted to the truth by least squares in ln(metres + 1) (scale and shift), so this
judges shape. Beside the model stand its encoder alone, a flat map and a ramp over image rows.
`--pairs`: folder with index.json as in our development kit (rgb, npz with depth and mask,
scene_id); averaged by scene. Prints a table, then one JSON line, and stores it in results/.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from stamp import RESULTS, store
from torch import Tensor

from nearfar.data.scenes.options import SceneOptions
from nearfar.data.scenes.renderer import render_scenes
from nearfar.eval.metrics.image import Scores, aligned_scores, as_log_depth, flat_map, row_ramp
from nearfar.io.images import read_image
from nearfar.pipeline.load import load
from nearfar.pipeline.predict import Model
from nearfar.settings import keep_freed_memory
from nearfar.weights.load import load_encoder

HELD_OUT_SEED = 2_000_003  # never used in training, nor for validation during training
SCENE_SIZE = (192, 256)
NETWORK_AREA = 96 * 128

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float64]]


class Pair(NamedTuple):
    """A photo with its depth in metres; `scene` groups photos of one place."""

    scene: str
    rgb_HW3: NDArray[np.uint8]
    depth_HW: NDArray[np.float64]
    valid_HW: NDArray[np.bool_]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", default="ppd-tiny")
    parser.add_argument("--encoder", default="photo-encoder")
    parser.add_argument("--scenes", type=int, default=32)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--store", action="store_true", help="write results/quality_tiny.json")
    options = parser.parse_args()
    keep_freed_memory()

    sets = {"motorcycle (real)": list(motorcycle()), "rendered": list(rendered(options.scenes))}
    if options.pairs:
        sets["pairs (real)"] = list(pairs(options.pairs))
    table = {
        set_name: {name: mean_scores(predict, members)._asdict() for name, predict in rows.items()}
        for rows in [predictors(options.model, options.encoder)]
        for set_name, members in sets.items()
    }
    for set_name, rows in table.items():
        print(f"\n{set_name:32} AbsRel  delta1   (n = {len(sets[set_name])})")
        for name, scores in rows.items():
            print(f"  {name:30} {scores['abs_rel']:6.3f}  {scores['delta1']:6.3f}")
    numbers = {"sets": table, "scenes": options.scenes, "seed": HELD_OUT_SEED}
    store("quality_tiny", numbers, path=RESULTS / "quality_tiny.json" if options.store else None)


def predictors(model_name: str, encoder_name: str) -> dict[str, Predict]:
    """Name to function from a photo to ln(depth + 1) [H,W]."""
    model = load(model_name)
    encoder = load_encoder(encoder_name, device=torch.device("cpu"), dtype=torch.float32)
    return {
        f"{model_name}, {counted(model.default_steps, 'step')}": of_model(model, ensemble_size=1),
        f"{model_name}, median of 8": of_model(model, ensemble_size=8),
        f"{encoder_name} alone": of_encoder(encoder),
        "row ramp": lambda rgb_HW3: row_ramp(rgb_HW3.shape[:2]),
        "flat map": lambda rgb_HW3: flat_map(rgb_HW3.shape[:2]),
    }


def of_model(model: Model, **settings: Any) -> Predict:
    """A model's maps with these settings."""

    def predict(rgb_HW3: NDArray[np.uint8]) -> NDArray[np.float64]:
        result = model.predict(rgb_HW3, metric=False, **settings)
        return as_log_depth(result.depth, result.kind)

    return predict


def of_encoder(encoder: Any) -> Predict:
    """An encoder's own metres."""

    def predict(rgb_HW3: NDArray[np.uint8]) -> NDArray[np.float64]:
        with torch.inference_mode():
            guess = encoder.metric(as_batch(rgb_HW3))
        return np.log1p(guess.depth_BHW[0].double().numpy())

    return predict


def as_batch(rgb_HW3: NDArray[np.uint8]) -> Tensor:
    """The photo [1,3,H,W], 0..1."""
    return torch.from_numpy(rgb_HW3.copy()).permute(2, 0, 1)[None].float() / 255


def counted(count: int, noun: str) -> str:
    """1 step, 2 steps."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def mean_scores(predict: Predict, members: list[Pair]) -> Scores:
    """Scores averaged inside scenes, then over scenes."""
    by_scene: dict[str, list[Scores]] = defaultdict(list)
    for pair in members:
        log_HW = predict(pair.rgb_HW3)
        known_HW = pair.valid_HW & np.isfinite(log_HW)
        by_scene[pair.scene].append(aligned_scores(log_HW, pair.depth_HW, known_HW))
    means = [np.mean(scores, axis=0) for scores in by_scene.values()]
    return Scores(*(float(value) for value in np.mean(means, axis=0)))


def motorcycle() -> Iterator[Pair]:
    """Middlebury's motorcycle from scikit-image (f 994.978 px, baseline 193.001 mm)."""
    from skimage.data import stereo_motorcycle

    left, _, disparity = stereo_motorcycle()
    known = np.isfinite(disparity)
    depth = 994.978 * 0.193001 / (np.where(known, disparity, 1.0) + 31.086)
    yield Pair("motorcycle", left, depth, known & (depth > 0))


def rendered(count: int) -> Iterator[Pair]:
    """Held-out scenes with held-out textures."""
    batch = render_scenes(
        range(count),
        seed=HELD_OUT_SEED,
        size_hw=SCENE_SIZE,
        device=torch.device("cpu"),
        options=SceneOptions(texture_seed=HELD_OUT_SEED),
    )
    for index in range(count):
        rgb_HW3 = (batch.image_B3HW[index] * 255).round().byte().permute(1, 2, 0).numpy()
        depth = batch.depth_BHW[index].double().numpy()
        yield Pair(str(index), rgb_HW3, depth, (depth > 0) & (depth < 80))


def pairs(folder: Path) -> Iterator[Pair]:
    """Real pairs of a development kit."""
    for entry in json.loads((folder / "index.json").read_text(encoding="utf-8"))["pairs"]:
        arrays = np.load(folder / entry["npz"])
        depth = arrays["depth"].astype(np.float64)
        rgb_HW3 = read_image(folder / entry["rgb"]).rgb_HW3
        yield Pair(entry["scene_id"], rgb_HW3, depth, arrays["mask"] & (depth > 0))


if __name__ == "__main__":
    main()
