"""`make demo`: two real photos to depth, colors, point cloud and mesh in out/, and how good it is.

The photos ship inside scikit-image, nothing is downloaded. The motorcycle has measured depth
(Middlebury 2014, structured light): the errors of the model stand beside those of two maps that
never saw a photo, all fitted to the truth in the same way. The photos and a pan over the
motorcycle go to out/photos and out/clip: README's commands start from them.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearfar.eval.metrics.image import Scores, aligned_scores, as_log_depth, flat_map, row_ramp
from nearfar.io.atomic import ensure_folder
from nearfar.io.images import write_picture
from nearfar.pipeline.config import DEFAULT_MODEL
from nearfar.pipeline.load import load
from nearfar.pipeline.predict import Model
from nearfar.result import DepthKind, DepthResult

FORMATS = ("png16", "npz", "exr", "vis", "side", "ply", "glb")

FRAMES = 24  # of the pan

# calibration of the motorcycle at the size that scikit-image ships (its docstring)
FOCAL_PX, BASELINE_M, OFFSET_PX = 994.978, 0.193001, 31.086


class Example(NamedTuple):
    """A photo, its field of view if known, and its measured depth in metres (NaN unknown)."""

    name: str
    rgb_HW3: NDArray[np.uint8]
    fov_x_deg: float | None
    truth_HW: NDArray[np.float64] | None


def main() -> None:
    options = read_options()
    started = time.perf_counter()
    model = load(options.model)
    print(f"{model.name} ({model.licence}) loaded in {time.perf_counter() - started:.1f} s")
    for example in (motorcycle(), coffee()):
        show(model, example, options)
    write_pan(motorcycle().rgb_HW3, options.output / "clip")
    print(f"\nAll in {time.perf_counter() - started:.1f} s; look at {options.output}/")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", default=DEFAULT_MODEL)
    parser.add_argument("-o", "--output", type=Path, default=Path("out"))
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resolution", type=int, default=None)
    return parser.parse_args()


def motorcycle() -> Example:
    """The left photo of Middlebury's motorcycle; depth = f * baseline / (disparity + offset)."""
    from skimage.data import stereo_motorcycle

    left, _, disparity = stereo_motorcycle()
    with np.errstate(divide="ignore", invalid="ignore"):
        truth = FOCAL_PX * BASELINE_M / (disparity.astype(np.float64) + OFFSET_PX)
    truth[~np.isfinite(truth) | (truth <= 0)] = np.nan
    fov_x_deg = float(np.degrees(2 * np.arctan(left.shape[1] / 2 / FOCAL_PX)))
    return Example("motorcycle", left, fov_x_deg, truth)


def coffee() -> Example:
    """A cup on a table; nothing is known about its camera or depth."""
    from skimage.data import coffee as photo

    return Example("coffee", photo(), None, None)


def show(model: Model, example: Example, options: argparse.Namespace) -> None:
    """Predict one photo, write every format, print where and how good."""
    write_picture(example.rgb_HW3, ensure_folder(options.output / "photos") / f"{example.name}.png")
    result = model.predict(
        example.rgb_HW3,
        fov_x_deg=example.fov_x_deg,
        steps=options.steps,
        seed=options.seed,
        resolution=options.resolution,
    )
    started = time.perf_counter()
    formats = [name for name in FORMATS if result.is_metric or name not in ("ply", "glb")]
    files = result.save(options.output, formats, stem=example.name)
    height, width = result.size_hw
    camera = "given" if example.fov_x_deg else "guessed"
    fov = "unknown" if result.fov_x_deg is None else f"{result.fov_x_deg:.1f} degrees ({camera})"
    print(
        f"\n{example.name}, {width}x{height}: predicted in {result.seconds:.2f} s, "
        f"written in {time.perf_counter() - started:.1f} s; {result.kind} depth, "
        f"field of view {fov}"
    )
    for path in files:
        print(f"  {path}")
    if example.truth_HW is not None:
        compare(example, result, options.output)


def compare(example: Example, result: DepthResult, output: Path) -> None:
    """Print AbsRel and delta1 beside the flat map and the row ramp; write the truth's colors."""
    truth_HW = example.truth_HW
    known_HW = np.isfinite(truth_HW)
    path = output / f"{example.name}_truth_vis.png"
    truth = DepthResult(depth=truth_HW.astype(np.float32), kind=DepthKind.METRIC, valid=known_HW)
    write_picture(truth.visualise(), path)
    print(f"  {path}\n")
    log_HW = as_log_depth(result.depth, result.kind)
    unknown_HW = ~np.isfinite(log_HW)
    log_HW[unknown_HW] = np.nanmax(log_HW) if not unknown_HW.all() else 0.0
    rows: dict[str, Scores] = {
        result.model: aligned_scores(log_HW, truth_HW, known_HW),
        "flat map": aligned_scores(flat_map(result.size_hw), truth_HW, known_HW),
        "row ramp": aligned_scores(row_ramp(result.size_hw), truth_HW, known_HW),
    }
    print(f"  {'against the measured depth':28}  AbsRel  delta1")
    for name, scores in rows.items():
        print(f"  {name:28}  {scores.abs_rel:6.3f}  {scores.delta1:6.3f}")
    print(
        "  (each map fitted by least squares in ln(metres + 1), scale and shift, so this judges\n"
        f"  shape, not metres; {known_HW.mean():.0%} of the pixels have measured depth"
        + (
            f"; {(unknown_HW & known_HW).sum() / known_HW.sum():.1%} that the model took for sky "
            "count as its farthest)"
            if (unknown_HW & known_HW).any()
            else ")"
        )
    )


def write_pan(rgb_HW3: NDArray[np.uint8], folder: Path) -> None:
    """A window of half the photo's sides, moving from left to right: a clip for `nearfar video`."""
    H, W = (side // 2 for side in rgb_HW3.shape[:2])
    for number, left in enumerate(np.linspace(0, rgb_HW3.shape[1] - W, FRAMES).astype(int)):
        frame_HW3 = np.ascontiguousarray(rgb_HW3[H // 2 : H // 2 + H, left : left + W])
        write_picture(frame_HW3, ensure_folder(folder) / f"{number:03d}.png")


if __name__ == "__main__":
    main()
