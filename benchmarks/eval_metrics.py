"""How fast one image is judged, on one core, against straightforward numpy in the same run.

    OMP_NUM_THREADS=1 python benchmarks/eval_metrics.py [--repeats 15] [--store]

All metrics of a 480x640 pair (goal: under 60 ms), the weighted L1 fit of 64x64 samples (goal: under
1 s), least squares, and the 64x64 masked nearest resize. Every pair of implementations must agree,
or the run fails. Milliseconds: best and median wall time of the repeats, and best processor time
(which a busy machine does not stretch); the ratio is of processor times.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from stamp import RESULTS, store

from nearfar.eval.metrics.image import METRICS, image_metrics
from nearfar.geometry.fits import fit_lstsq_depth
from nearfar.geometry.masked_resize import masked_nearest_source
from nearfar.geometry.robust_fits import l1_affine

SIZE_HW = (480, 640)
GOALS_MS = {"image_metrics": 60.0, "l1_affine": 1000.0}


class Times(NamedTuple):
    """Milliseconds of one call."""

    best: float
    median: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--store", action="store_true", help="write results/eval_metrics.json")
    options = parser.parse_args()

    depth, truth, valid = pair()
    source = masked_nearest_source(valid, (64, 64))
    x, y = (source.take(v).astype(np.float64) for v in (depth, truth))
    cases: dict[str, tuple[Callable[[], Any], Callable[[], Any], int]] = {
        "image_metrics": (
            lambda: list(image_metrics(depth, truth, valid, names=list(METRICS)).values()),
            lambda: plain_metrics(depth, truth, valid),
            options.repeats,
        ),
        "l1_affine": (lambda: l1_affine(x, y, 1 / y)[:3], lambda: plain_l1(x, y, 1 / y), 1),
        "lstsq_depth": (
            lambda: fit_lstsq_depth(depth, truth, valid)[:2],
            lambda: plain_lstsq(depth, truth, valid),
            options.repeats,
        ),
        "masked_resize": (
            lambda: [source_sum(masked_nearest_source(valid, (64, 64)).take(truth))],
            lambda: [source_sum(plain_resize(truth, valid))],
            1,
        ),
    }
    rows: dict[str, object] = {}
    for name, (ours, plain, plain_repeats) in cases.items():
        np.testing.assert_allclose(ours(), plain(), rtol=1e-5, err_msg=name)
        fast, slow = timed(ours, options.repeats), timed(plain, plain_repeats)
        goal = GOALS_MS.get(name)
        rows[name] = {
            "ms": fast._asdict(),
            "numpy_ms": slow._asdict(),
            "times_faster": round(slow.cpu / fast.cpu, 1),
            "goal_ms": goal,
            "is_goal_met": None if goal is None else fast.best < goal,
        }
        print(f"{name:14} {fast.best:9.2f} ms   plain numpy {slow.best:9.2f} ms   goal {goal} ms")
    numbers = {"size_hw": SIZE_HW, "metrics": len(METRICS), "samples": x.size, "rows": rows}
    path = RESULTS / "eval_metrics.json" if options.store else None
    store("eval_metrics", numbers | {"repeats": options.repeats}, path=path)


def pair() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """A prediction with 20 % noise and outliers, its truth, and a mask with a tenth missing."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.5, 10, SIZE_HW).astype(np.float32)
    noise = 0.2 * rng.standard_normal(SIZE_HW) + (rng.random(SIZE_HW) > 0.95)
    return (truth * np.exp(noise)).astype(np.float32), truth, rng.random(SIZE_HW) > 0.1


def timed(call: Callable[[], object], repeats: int) -> Times:
    """Time of single calls, after one to warm up."""
    if repeats > 1:
        call()
    wall, cpu = [], []
    for _ in range(repeats):
        start, start_cpu = time.perf_counter(), time.process_time()
        call()
        wall.append(1e3 * (time.perf_counter() - start))
        cpu.append(1e3 * (time.process_time() - start_cpu))
    return Times(round(min(wall), 3), round(statistics.median(wall), 3), round(min(cpu), 3))


def plain_metrics(depth: NDArray, truth: NDArray, valid: NDArray[np.bool_]) -> list[float]:
    """Every metric by its own formula over the masked pixels, nothing shared."""

    def masked() -> tuple[NDArray, NDArray]:
        return depth[valid].astype(np.float64), truth[valid].astype(np.float64)

    def mean(formula: Callable[[NDArray, NDArray], NDArray]) -> float:
        return float(np.mean(formula(*masked())))

    def ratio(d: NDArray, g: NDArray, eps: float = 0.0) -> NDArray:
        return np.maximum(d / (g + eps), g / (d + eps))

    def log_moments() -> tuple[float, float]:
        return mean(lambda d, g: (np.log(d) - np.log(g)) ** 2), mean(
            lambda d, g: np.log(d) - np.log(g)
        )

    def silog(weight: float, factor: float) -> float:
        square, middle = log_moments()
        return factor * float(np.sqrt(square - weight * middle**2))

    powers = (0.5, 1, 2, 3)
    return [
        mean(lambda d, g: np.abs(d - g) / g),
        mean(lambda d, g: (d - g) ** 2 / g),
        mean(lambda d, g: (d - g) ** 2) ** 0.5,
        mean(lambda d, g: (np.log(d) - np.log(g)) ** 2) ** 0.5,
        mean(lambda d, g: np.abs(np.log10(d) - np.log10(g))),
        *(mean(lambda d, g, k=k: ratio(d, g) < 1.25**k) for k in powers),
        mean(lambda d, g: (1 / d - 1 / g) ** 2) ** 0.5,
        silog(1, 100),
        mean(lambda d, g: np.abs(d - g)),
        mean(lambda d, g: (d - g) ** 2),
        silog(0.5, 1),
        silog(0.85, 10),
        100 * float(np.std(np.subtract(*map(np.log, masked())), ddof=1)),
        mean(lambda d, g: np.abs(d - g) / (g + 1e-5)),
        *(mean(lambda d, g, k=k: ratio(d, g, 1e-5) < 1.25**k) for k in powers),
        mean(lambda d, g: np.abs(d - g) / (g + 1e-6)),
        *(mean(lambda d, g, k=k: ratio(d, g) > 1.25**k) for k in powers[1:]),
        *(mean(lambda d, g, t=t: ratio(d, g) > t) for t in (1.02, 1.05, 1.1)),
        mean(lambda d, g: d <= 0),
    ]


def plain_l1(x: NDArray, y: NDArray, w: NDArray) -> tuple[float, float, float]:
    """Every anchor in turn: a weighted median of slopes, and its loss."""
    best = (0.0, 0.0, np.inf)
    for anchor in range(x.size):
        dx, dy = x - x[anchor], y - y[anchor]
        dx, dy = np.abs(dx), np.where(dx < 0, -dy, dy)
        slopes = dy / np.maximum(dx, 1e-7)
        order = np.argsort(slopes)
        running = np.cumsum((w * dx)[order])
        slope = slopes[order[np.argmax(2 * running >= running[-1])]]
        loss = float(np.sum(w * np.abs(slope * dx - dy)))
        if loss < best[2]:
            best = (float(slope), float(y[anchor] - slope * x[anchor]), loss)
    return best


def plain_lstsq(depth: NDArray, truth: NDArray, valid: NDArray[np.bool_]) -> list[float]:
    """numpy.linalg.lstsq on the design matrix."""
    p, g = depth[valid].astype(np.float64), truth[valid].astype(np.float64)
    return list(np.linalg.lstsq(np.stack([p, np.ones_like(p)], axis=1), g, rcond=None)[0])


def plain_resize(values: NDArray, valid: NDArray[np.bool_]) -> NDArray:
    """Pixel by pixel: the valid pixel nearest to each center within its window."""
    height, width = valid.shape
    step_y, step_x = max(1.0, height / 64), max(1.0, width / 64)
    places = np.linspace(0.5 / 64, 1 - 0.5 / 64, 64).astype(np.float32)
    taken = []
    for v in places:
        for u in places:
            y, x = v * np.float32(height), u * np.float32(width)
            top = int(np.rint(y - np.float32(step_y / 2)))
            left = int(np.rint(x - np.float32(step_x / 2)))
            rows = slice(max(0, top), top + int(np.ceil(step_y)))
            columns = slice(max(0, left), left + int(np.ceil(step_x)))
            ys, xs = np.nonzero(valid[rows, columns])
            if ys.size:
                ys, xs = ys + rows.start, xs + columns.start
                far = (ys + np.float32(0.5) - y) ** 2 + (xs + np.float32(0.5) - x) ** 2
                taken.append(values[ys[far.argmin()], xs[far.argmin()]])
    return np.array(taken)


def source_sum(values: NDArray) -> float:
    """One number that shows whether the same pixels were taken, in the same order."""
    return float(values.astype(np.float64) @ np.arange(1, values.size + 1))


if __name__ == "__main__":
    main()
