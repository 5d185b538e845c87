"""ppd-tiny on a real 640x480 photo: loading, prediction and memory, bfloat16 beside float32.

    python benchmarks/predict_tiny.py [--model ppd-tiny] [--steps N] [--repeats 5] [--threads 2]

Each way runs in a process of its own, so that its peak memory and its loading time are its own:
ours   as the command line does it on this machine (--dtype auto, see docs/conventions.md)
plain  the same network with float32 weights, which `auto` also takes where bfloat16 is slow
Loading is what `nearfar.load` takes after torch is imported; prediction is `Model.predict` from the
PNG file to the DepthResult at the photo's size, the first call (warm-up) apart from the median.
One network call a map (--steps 1) and the median of 8 maps are timed the same way; the cost of 8
is in times that of one, in processor time too, which a busy machine does not change as much. Where
the model can start its maps in several ways (--ensemble-start), each is timed beside its own.
Prints a table and one JSON line; writes benchmarks/results/predict_tiny.json.
Goals on 2 cores: prediction < 2 s, one step < 0.5 s, 8 maps < 4 times one, loading < 3 s besides
torch, peak < 1.5 GB.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
GOALS = {
    "predict_s": 2.0,
    "one_step_s": 0.5,
    "ensemble_cost": 4.0,
    "load_s": 3.0,
    "peak_mb": 1500.0,
}
ENSEMBLE = 8
WAYS = {"ours": "auto", "plain": "fp32"}
SIZE_HW = (480, 640)


def main() -> None:
    options = read_options()
    if options.way:
        print(json.dumps(measure(options)))
        return
    record: dict = {
        "model": options.model,
        "photo": f"{SIZE_HW[1]}x{SIZE_HW[0]}",
        "repeats": options.repeats,
        "ways": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        photo = write_photo(Path(folder) / "photo.png")
        for way in WAYS:
            record["ways"][way] = in_own_process(way, photo, options)
    ours, plain = record["ways"]["ours"], record["ways"]["plain"]
    record["speedup"] = round(plain["predict_s"] / ours["predict_s"], 2)
    record["goals"] = GOALS
    record["goals_met"] = {name: ours[name] < goal for name, goal in GOALS.items()}
    record["threads"], record["steps"] = ours["threads"], ours["steps"]
    print_table(record)
    from stamp import store  # loads torch, which the measured processes time themselves

    store("predict_tiny", record, path=options.output)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ppd-tiny")
    parser.add_argument("--steps", type=int, default=None, help="default: the model's own")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--resolution", type=int, default=None, help="default: the model's own")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument(
        "--output", type=Path, default=ROOT / "benchmarks" / "results" / "predict_tiny.json"
    )
    parser.add_argument("--way", choices=sorted(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--photo", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def write_photo(path: Path) -> Path:
    """A 640x480 part of scikit-image's motorcycle."""
    from skimage.data import stereo_motorcycle

    from nearfar.io.images import write_picture

    height, width = SIZE_HW
    write_picture(stereo_motorcycle()[0][:height, :width], path)
    return path


def in_own_process(way: str, photo: Path, options: argparse.Namespace) -> dict:
    """What `measure` finds in a fresh process."""
    command = [sys.executable, __file__, "--way", way, "--photo", str(photo)]
    command += ["--model", options.model, "--repeats", str(options.repeats)]
    for name in ("steps", "resolution", "threads"):
        if getattr(options, name) is not None:
            command += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(options: argparse.Namespace) -> dict:
    """Seconds and memory of one way, in this process."""
    start = time.perf_counter()
    import torch

    torch_s = time.perf_counter() - start
    start = time.perf_counter()
    import nearfar
    from nearfar.settings import set_threads

    threads = set_threads(options.threads)
    model = nearfar.load(options.model, dtype=WAYS[options.way])
    load_s = time.perf_counter() - start
    steps = options.steps or model.default_steps
    seconds, processor = timed(model, options, steps=steps)
    one_step_s, one_step_processor = timed(model, options, steps=1)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    several_s, several_processor = timed(model, options, steps=steps, ensemble_size=ENSEMBLE)
    one, several = statistics.median(seconds[1:]), statistics.median(several_s[1:])
    one_busy = statistics.median(processor[1:])
    starts = {}
    for start in starts_of(model):
        these = timed(model, options, steps=steps, ensemble_size=ENSEMBLE, ensemble_start=start)
        wall, busy = (statistics.median(values[1:]) for values in these)
        costs = {"cost": wall / one, "processor_cost": busy / one_busy}
        starts[start] = {name: round(value, 2) for name, value in costs.items()}
    return {
        "dtype": str(next(model.networks["network"].parameters()).dtype).removeprefix("torch."),
        "steps": steps,
        "import_torch_s": round(torch_s, 3),
        "load_s": round(load_s, 3),
        "first_predict_s": round(seconds[0], 3),
        "predict_s": round(one, 3),
        "predict_best_s": round(min(seconds[1:]), 3),
        "predict_processor_s": round(one_busy, 3),
        "one_step_s": round(statistics.median(one_step_s[1:]), 3),
        "one_step_processor_s": round(statistics.median(one_step_processor[1:]), 3),
        "ensemble_s": round(several, 3),
        "ensemble_cost": round(several / one, 2),
        "ensemble_processor_cost": round(statistics.median(several_processor[1:]) / one_busy, 2),
        "ensemble_starts": starts,
        "peak_mb": round(peak_mb, 1),
        "threads": threads,
        "torch": torch.__version__,
        "weights_sha256": model.weights_sha256,
    }


def starts_of(model) -> tuple[str, ...]:
    """The starts of later maps that the model can be asked for; none if it has one way only."""
    from nearfar.errors import ConfigError
    from nearfar.pipeline.config import ENSEMBLE_STARTS, PredictConfig

    try:
        model.require(PredictConfig(ensemble_start=ENSEMBLE_STARTS[0]))
    except ConfigError:
        return ()
    return ENSEMBLE_STARTS


def timed(model, options: argparse.Namespace, **settings) -> tuple[list[float], list[float]]:
    """Wall and processor seconds of each call, the warm-up first."""
    seconds, processor = [], []
    for _ in range(options.repeats + 1):
        start, busy = time.perf_counter(), time.process_time()
        result = model.predict(options.photo, resolution=options.resolution, **settings)
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - busy)
    assert result.size_hw == SIZE_HW
    return seconds, processor


def print_table(record: dict) -> None:
    print(f"{record['model']}, {record['steps']} steps, {record['photo']} photo")
    columns = (
        "import_torch_s",
        "load_s",
        "first_predict_s",
        "predict_s",
        "predict_processor_s",
        "one_step_s",
        "ensemble_cost",
        "peak_mb",
    )
    print(f"{'':8}" + "".join(f"{name:>21}" for name in columns))
    for way, values in record["ways"].items():
        print(f"{way:8}" + "".join(f"{values[name]:21.2f}" for name in columns))
        for start, costs in values["ensemble_starts"].items():
            print(f"{'':8}{ENSEMBLE} maps, start {start}: {costs}")
    goals = ", ".join(f"{name} < {goal:g}" for name, goal in GOALS.items())
    met = "met" if all(record["goals_met"].values()) else f"not met: {record['goals_met']}"
    print(f"speed-up {record['speedup']}; goals {goals}: {met}\n")


if __name__ == "__main__":
    main()
