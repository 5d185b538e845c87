"""Calibrate a model's uncertainty on rendered scenes and write it on the card of its weights.

    python scripts/calibrate_uncertainty.py ppd-tiny
    python scripts/calibrate_uncertainty.py runs/ppd_tiny --scenes 64 --check 32 --ensemble-size 8
    python scripts/calibrate_uncertainty.py ppd-tiny --ensemble-start first

Works for every model that draws several hypotheses (8 by default), or knows the spread of a single
one (then 1, as it is used). Gain and floor (pipeline/calibration.py) are
fitted on scenes of FIT_SEED; coverage, calibration error and AUSE before and after are measured in
metres on scenes of CHECK_SEED. Neither is trained on, and neither is what the `synthetic` protocol
judges by. Run it again after every change of the weights or of the default size (the card says
which steps, size and ensemble it holds for). `--ensemble-start` (PPD) calibrates for that start of
the hypotheses and makes it the model's own. `--dry-run` only prints.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.data.scenes.options import SceneOptions
from nearfar.data.scenes.renderer import render_scenes
from nearfar.errors import WeightsError
from nearfar.eval.circumstances import tool_facts
from nearfar.eval.metrics.uncertainty import (
    LEVELS,
    ause_aurg,
    coverage,
    expected_calibration_error,
    propagate_sigma,
)
from nearfar.geometry.alignment import apply_affine, fit_affine
from nearfar.io.atomic import atomic_path
from nearfar.pipeline.calibration import METHOD, Calibration, fit_calibration, residuals
from nearfar.pipeline.config import ENSEMBLE_STARTS
from nearfar.pipeline.predict import Model
from nearfar.result import DepthKind, DepthResult
from nearfar.settings import keep_freed_memory, pick_device, pick_dtype, set_threads
from nearfar.weights.load import OWN_CARD, LoadedModel, load_predictor
from nearfar.weights.registry import EMBEDDED_FOLDER, ENTRIES

SPLIT = "rendered-calibration"
FIT_SEED, CHECK_SEED = 3_000_003, 3_000_004  # no training, validation or protocol uses these
SIZE_HW = (192, 256)
DRAWN = 8  # hypotheses of a model whose single one has no spread
FARTHEST = 80.0  # metres, as in the synthetic protocol


class Scene(NamedTuple):
    """A rendered photo; depth in metres where valid."""

    rgb_HW3: NDArray[np.uint8]
    depth_HW: NDArray[np.float32]
    valid_HW: NDArray[np.bool_]


class Predicted(NamedTuple):
    """A bare prediction (spread not calibrated, no metres unless they are its kind), and truth."""

    result: DepthResult
    depth_HW: NDArray[np.float32]
    valid_HW: NDArray[np.bool_]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name of embedded weights, or folder of a training run")
    parser.add_argument("--scenes", type=int, default=64, help="to fit on")
    parser.add_argument("--check", type=int, default=32, help="to measure on")
    parser.add_argument("--ensemble-size", type=int, help="default: 1 if that has a spread, else 8")
    parser.add_argument("--steps", type=int, help="default: the model's own")
    parser.add_argument("--ensemble-start", choices=ENSEMBLE_STARTS, help="and make it the default")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    options = parser.parse_args()
    keep_freed_memory()
    set_threads(options.threads)
    card_path = card_of(options.model)
    device = pick_device("auto")
    loaded = load_predictor(options.model, device=device, dtype=pick_dtype("auto", device))
    table = calibrate(
        loaded,
        [list(rendered(FIT_SEED, options.scenes)), list(rendered(CHECK_SEED, options.check))],
        ensemble_size=options.ensemble_size,
        steps=options.steps,
        start=options.ensemble_start,
    )
    print(json.dumps(table, indent=1))
    if not options.dry_run:
        write(card_path, table, start=options.ensemble_start)
        print(f"written to {card_path}")


def calibrate(
    loaded: LoadedModel,
    splits: Sequence[list[Scene]],
    *,
    ensemble_size: int | None,
    steps: int | None,
    start: str | None = None,
) -> dict[str, Any]:
    """The card's `uncertainty`: fitted on the first split, measured on the second."""
    model = Model(loaded._replace(entry=dataclasses.replace(loaded.entry, uncertainty={})))
    if ensemble_size is None:
        single = model.predict(splits[0][0].rgb_HW3, steps=steps, metric=False)
        ensemble_size = DRAWN if single.uncertainty is None else 1
    fit, check = (
        list(predictions(model, scenes, ensemble_size=ensemble_size, steps=steps, start=start))
        for scenes in splits
    )
    calibration = fit_calibration([errors_of(one) for one in fit])
    before, after = mean_numbers(check, None), mean_numbers(check, calibration)
    facts = tool_facts()
    return {
        "method": METHOD,
        **dataclasses.asdict(calibration),
        "kind": str(fit[0].result.kind),
        "split": SPLIT,
        "seeds": {"fit": FIT_SEED, "check": CHECK_SEED},
        "scenes": {"fit": len(fit), "check": len(check)},
        "ensemble_size": ensemble_size,
        "steps": fit[0].result.steps,
        "ensemble_start": start or getattr(loaded.predictor, "default_start", "noise"),
        "area": loaded.predictor.default_area,
        "weights_sha256": loaded.sha256,
        "commit": facts["git_commit"][:12] + ("+" if facts["dirty"] else ""),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "coverage_before": before.pop("coverage"),
        "coverage_after": after.pop("coverage"),
        "before": before,
        "after": after,
    }


def rendered(seed: int, count: int) -> Iterator[Scene]:
    """Scenes and textures of this seed alone."""
    for index in range(count):
        drawn = render_scenes(
            [index],
            seed=seed,
            size_hw=SIZE_HW,
            device="cpu",
            options=SceneOptions(texture_seed=seed),
        )
        photo = (drawn.image_B3HW[0] * 255).round().byte().permute(1, 2, 0)
        depth = drawn.depth_BHW[0].numpy()
        valid = (depth > 0) & (depth < FARTHEST) & ~drawn.sky_BHW[0].numpy()
        yield Scene(np.ascontiguousarray(photo.numpy()), depth, valid)


def predictions(
    model: Model,
    scenes: Sequence[Scene],
    *,
    ensemble_size: int,
    steps: int | None,
    start: str | None = None,
) -> Iterator[Predicted]:
    """Every scene with noise of its own; pixels that the model takes for sky are left out."""
    for seed, scene in enumerate(scenes):
        result = model.predict(
            scene.rgb_HW3,
            steps=steps,
            ensemble_size=ensemble_size,
            ensemble_start=start,
            seed=seed,
            metric=False,
        )
        if result.uncertainty is None:
            raise WeightsError(model.name, "one hypothesis has no spread to calibrate")
        valid_HW = scene.valid_HW & result.valid
        if valid_HW.any():
            yield Predicted(result, scene.depth_HW, valid_HW)


def errors_of(one: Predicted) -> Any:
    """What `fit_calibration` wants of a scene."""
    result = one.result
    return residuals(result.depth, result.uncertainty, one.depth_HW, one.valid_HW, kind=result.kind)


def mean_numbers(check: Sequence[Predicted], calibration: Calibration | None) -> dict[str, Any]:
    """Coverage by level, calibration error, AUSE and AURG (AbsRel): means over scenes, in metres.

    None: the bare spread.
    """
    rows = []
    for one in check:
        depth_P, truth_P, sigma_P = in_metres(one, calibration)
        shares = coverage(depth_P, truth_P, sigma_P)
        areas = ause_aurg(depth_P, truth_P, sigma_P)
        ece = expected_calibration_error(depth_P, truth_P, sigma_P).ece
        rows.append([*shares.shares, shares.sharpness, ece, areas.ause, areas.aurg])
    means = [round(float(value), 4) for value in np.mean(rows, axis=0)]
    names = ("sharpness", "calibration_error", "ause_abs_rel", "aurg_abs_rel")
    levels = {str(round(100 * level)): share for level, share in zip(LEVELS, means)}
    return {"coverage": levels, **dict(zip(names, means[len(LEVELS) :], strict=True))}


def in_metres(one: Predicted, calibration: Calibration | None) -> tuple[NDArray, NDArray, NDArray]:
    """Depth fitted to the truth, truth, and deviation carried along, of the valid pixels."""
    result, valid_HW = one.result, one.valid_HW
    sigma_HW = result.uncertainty
    assert sigma_HW is not None
    if calibration is not None:
        sigma_HW = calibration.deviation(sigma_HW, result.depth, kind=result.kind)
    scale, metres_HW = 1.0, result.depth
    if result.kind is not DepthKind.METRIC:
        fit = fit_affine(result.depth, one.depth_HW, valid_HW, kind=result.kind)
        scale = fit.scale
        metres_HW = apply_affine(result.depth, scale=scale, shift=fit.shift, kind=result.kind)
    depth_P = np.maximum(metres_HW[valid_HW].astype(np.float64), 1e-3)
    space = "log1p" if result.kind is DepthKind.AFFINE_LOG_DEPTH else "depth"
    sigma_P = propagate_sigma(sigma_HW[valid_HW], space=space, scale=scale, depth=depth_P)
    return depth_P, one.depth_HW[valid_HW].astype(np.float64), sigma_P


def card_of(model: str) -> Path:
    """The card beside the weights that MODEL names; WeightsError if there is none to write on."""
    entry = ENTRIES.get(model)
    if entry is not None:
        path = (EMBEDDED_FOLDER / entry.file).with_suffix(".json")
    else:
        path = Path(model) / OWN_CARD
    if not path.is_file() or (entry is not None and not entry.embedded):
        raise WeightsError(model, "has no card to write on", "Name embedded weights or a run")
    return path


def write(card_path: Path, table: dict[str, Any], *, start: str | None = None) -> None:
    """Put the table on the card, and the start of hypotheses if it was chosen.

    Everything else on the card stays, and it is never half-written.
    """
    card = json.loads(card_path.read_text(encoding="utf-8"))
    card["uncertainty"] = table
    if start is not None:
        card["default_ensemble_start"] = start
    with atomic_path(card_path) as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
