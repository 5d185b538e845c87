"""What the flow adds to its encoder's map: error, edges and flying pixels on held-out scenes.

    python benchmarks/edges_tiny.py [-m ppd-tiny] [--encoder NAME] [--scenes 32] [--steps 1 2 4]

The scenes of quality_tiny.py at 192x256, where the photo's size is the network's. Every map is
fitted to the truth by least squares in ln(metres + 1); boundary F1 and the share of flying pixels
are those of `nearfar.eval.metrics.edges`. The second row is what the flow starts from. Prints a
table, then one JSON line.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from numpy.typing import NDArray
from quality_tiny import (
    HELD_OUT_SEED,
    Pair,
    Predict,
    as_batch,
    counted,
    of_encoder,
    of_model,
    rendered,
)
from stamp import RESULTS, store

from nearfar.eval.metrics.edges import boundary_f1, flying_pixel_rate
from nearfar.eval.metrics.image import abs_rel, align_log1p, delta1
from nearfar.models.ppd.anchor import anchor_of
from nearfar.pipeline.load import load
from nearfar.settings import keep_freed_memory
from nearfar.weights.load import load_encoder

COLUMNS = ("abs_rel", "delta1", "boundary_f1", "precision", "recall", "flying")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", default="ppd-tiny", help="name or weights file")
    parser.add_argument("--encoder", default="photo-encoder", help="name or weights file")
    parser.add_argument("--scenes", type=int, default=32)
    parser.add_argument("--steps", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--store", action="store_true", help="write results/edges_tiny.json")
    options = parser.parse_args()
    keep_freed_memory()

    pairs = list(rendered(options.scenes))
    table = {}
    for name, predict in predictors(options.model, options.encoder, options.steps).items():
        table[name] = dict(zip(COLUMNS, mean_row(predict, pairs)))
        print(f"{name:32} " + "  ".join(f"{key} {value:.3f}" for key, value in table[name].items()))
    numbers = {"rows": table, "scenes": options.scenes, "seed": HELD_OUT_SEED}
    store("edges_tiny", numbers, path=RESULTS / "edges_tiny.json" if options.store else None)


def predictors(model_name: str, encoder_name: str, steps: list[int]) -> dict[str, Predict]:
    """Row name to function from a photo to ln(depth + 1) [H,W]."""
    encoder = load_encoder(encoder_name, device=torch.device("cpu"), dtype=torch.float32)
    model = load(model_name, encoder=encoder_name)

    def snapped(rgb_HW3: NDArray[np.uint8]) -> NDArray[np.float64]:
        with torch.inference_mode():
            image_B3HW = as_batch(rgb_HW3)
            anchor = anchor_of(encoder.metric(image_B3HW), image_B3HW)
            return anchor.log_depth(anchor.map_B1HW)[0, 0].double().numpy()

    rows = {"encoder alone": of_encoder(encoder), "encoder, edges made steps": snapped}
    return rows | {counted(count, "step"): of_model(model, steps=count) for count in steps}


def mean_row(predict: Predict, pairs: list[Pair]) -> list[float]:
    """The means of COLUMNS over scenes (flying: over those that have an edge)."""
    rows = []
    for pair in pairs:
        log_HW = predict(pair.rgb_HW3)
        valid_HW = pair.valid_HW & np.isfinite(log_HW)
        metres_HW = align_log1p(log_HW, pair.depth_HW, valid_HW)
        metres_HW = np.where(valid_HW, metres_HW, 1.0)
        edges = boundary_f1(metres_HW, pair.depth_HW, valid_HW=valid_HW)
        flying = flying_pixel_rate(metres_HW, pair.depth_HW, valid_HW).rate
        scores = (
            abs_rel(metres_HW, pair.depth_HW, valid_HW),
            delta1(metres_HW, pair.depth_HW, valid_HW),
        )
        rows.append([*scores, edges.f1, edges.precision, edges.recall, flying])
    return [float(value) for value in np.nanmean(rows, axis=0)]


if __name__ == "__main__":
    main()
