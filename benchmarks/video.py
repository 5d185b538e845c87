"""Clips: whether memory and cost stay flat over 2000 frames, and how fast a model goes through one.

    python benchmarks/video.py [-m ppvd-tiny] [--steps N] [--threads 2] [--output FILE]
                               [--frames 2000] [--flat-side 256] [--baseline ppd-tiny] [--quick]

A 256x192 H.264 clip with a cut in its middle goes through `run_clip` into vis and ffv1:

pipeline  2000 frames with a stand-in for the network (a window of 16, key frames 0, 8, 15, next to
          no arithmetic): what reading, windows, cuts, stitching, up-sampling, parts, checkpoints
          and files take; resident memory and processor time after every hundred frames.
flat      The same frames through the model itself, its long side at --flat-side pixels: the same
          memory and times. --quick leaves it out.
speed     The model at the clip's own size: one window to warm up, then two (--quick: one); frames/s
          of the faster one as a user waits and by processor time, and the share of `stitch` in it,
          timed where it is called.
baseline  An image model on every frame at the same size and steps.

A model `untrained` is ppvd-tiny's network and encoder with fresh weights: they take as long as
trained ones. Each part runs in a process of its own. Prints a table and one JSON line; with
--output, a file. Goals: growth from frame 100 on < 100 MB; cost at the end < 1.15 times that at the
beginning; a video model at 3 frames/s on 2 cores; stitching < 5 % of a window.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from stamp import store

GOALS = {"growth_mb": 100.0, "cost_ratio": 1.15, "frames_per_second": 3.0, "stitch_share": 0.05}
SIZE_HW = (192, 256)
RATE = 24
STEP = 100  # frames between two looks at the memory
WINDOWS, SINGLE, QUICK_SINGLE = 2, 16, 4
UNTRAINED = "untrained"


def main() -> None:
    options = read_options()
    if options.part:
        print(json.dumps(PARTS[options.part](options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        options.clip = write_clip(Path(folder) / "clip.mp4", options.frames)
        found = {
            name: in_own_process(name, options)
            for name in PARTS
            if not (options.quick and name == "flat")
        }
    record = {
        "quick": options.quick,
        "size": f"{SIZE_HW[1]}x{SIZE_HW[0]}",
        **found,
        "goals": GOALS,
        "goals_met": goals_met(found),
    }
    print_table(record)
    store("video", record, path=options.output)


def goals_met(found: dict) -> dict:
    """Memory and cost of every long run, speed and stitching of the model."""
    met = {}
    for name in ("pipeline", "flat"):
        if name in found:
            met[f"{name}_growth_mb"] = found[name]["growth_mb"] < GOALS["growth_mb"]
            met[f"{name}_cost_ratio"] = found[name]["cost_ratio"] < GOALS["cost_ratio"]
    speed = found["speed"]
    met["frames_per_second"] = speed["frames_per_second"] >= GOALS["frames_per_second"]
    if speed["stitch_share"] is not None:
        met["stitch_share"] = speed["stitch_share"] < GOALS["stitch_share"]
    return met


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", default=default_model())
    parser.add_argument("--baseline", default="ppd-tiny")
    parser.add_argument("--steps", type=int, default=None, help="default: the model's own")
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--flat-side", type=int, default=SIZE_HW[1], help="px, of `flat`")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--quick", action="store_true", help="fewer frames through the models")
    parser.add_argument("--output", type=Path, default=None)
    parser.add_argument("--part", choices=sorted(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--clip", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def default_model() -> str:
    from nearfar.weights.registry import ENTRIES

    return "ppvd-tiny" if "ppvd-tiny" in ENTRIES else UNTRAINED


def in_own_process(part: str, options: argparse.Namespace) -> dict:
    """What a part finds in a fresh process."""
    command = [sys.executable, __file__, "--part", part, "-m", options.model]
    command += ["--baseline", options.baseline, "--flat-side", str(options.flat_side)]
    command += ["--frames", str(options.frames), "--clip", str(options.clip)]
    command += ["--quick"] * options.quick
    for name in ("threads", "steps"):
        if getattr(options, name) is not None:
            command += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def write_clip(path: Path, frames: int) -> Path:
    """A camera that pans over a wide random texture and back, with one cut in the middle."""
    from nearfar.io.video.encoder import VideoEncoder, VideoForm

    rng = np.random.default_rng(7)
    height, width = SIZE_HW
    coarse = rng.integers(0, 256, (2, height // 16, 3 * width // 16, 3), dtype=np.uint8)
    wide = np.repeat(np.repeat(coarse, 16, axis=1), 16, axis=2)
    form = VideoForm(
        codec="h264",
        size_hw=SIZE_HW,
        rate=Fraction(RATE),
        time_base=Fraction(1, RATE),
        metadata={},
    )
    with VideoEncoder(path, form) as file:
        for number in range(frames):
            place = abs((number * 2) % (4 * width) - 2 * width)
            picture = wide[int(number >= frames // 2), :, place : place + width]
            file.add(picture, Fraction(number, RATE))
    return path


class StandIn:
    """Windows of 16 with key frames 0, 8, 15 and PPVD's stitching; depth from rows and grey."""

    window, stride, default_steps, default_area = 16, 13, 1, SIZE_HW[0] * SIZE_HW[1]

    def prepare(self, image_3HW, *, area):
        return image_3HW.float() / 255

    def predict_window(self, frames_T3hw, *, references, steps, generator):
        from nearfar.models.base import KeyFrames, WindowDepth
        from nearfar.models.ppd.video_predictor import fill_window, stitch
        from nearfar.result import DepthKind

        slots_T3HW = fill_window(frames_T3hw, references, window=self.window)
        rows = torch.linspace(0.6, 0.1, slots_T3HW.shape[2])[None, :, None]
        scale = 1 + 0.1 * torch.rand(1, generator=generator)
        depth_THW = scale * (rows + 0.3 * slots_T3HW.mean(dim=1))
        known = None if references is None else references.depth_Thw
        found = stitch(depth_THW, known, key_frames=(0, 8, 15))
        first = 0 if references is None else 3
        return WindowDepth(
            found.depth_Thw[first : first + len(frames_T3hw)],
            DepthKind.AFFINE_LOG_DEPTH,
            KeyFrames(slots_T3HW[[0, 8, 15]], found.key_depth_Thw),
            found.scale,
            found.shift,
        )


def load(name: str, options: argparse.Namespace):
    """A model of clips; an image model is used on every frame."""
    from types import SimpleNamespace

    from nearfar.pipeline.video.load import clip_model
    from nearfar.pipeline.video.windows import Windowed
    from nearfar.settings import keep_freed_memory, pick_device, pick_dtype, set_threads
    from nearfar.weights.load import load_predictor

    keep_freed_memory()
    set_threads(options.threads)
    place = pick_device("auto")
    dtype = pick_dtype("auto", place)
    if name == UNTRAINED:
        entry = SimpleNamespace(name=UNTRAINED, licence="none")
        predictor = untrained(dtype)
        return Windowed(predictor, SimpleNamespace(entry=entry, sha256="0" * 64)), predictor
    loaded = load_predictor(name, device=place, dtype=dtype)
    is_video = callable(getattr(loaded.predictor, "predict_window", None))
    return clip_model(loaded, per_frame=not is_video), loaded.predictor


def untrained(dtype: torch.dtype):
    """ppvd-tiny's network and encoder with small random weights."""
    from nearfar.encoders.tiny_video import PRESETS, TinyVideoEncoder
    from nearfar.models.ppd.presets import VIDEO_PRESETS
    from nearfar.models.ppd.video_network import PPDVideoNetwork
    from nearfar.models.ppd.video_predictor import PPDVideoPredictor

    generator = torch.Generator().manual_seed(0)
    network = PPDVideoNetwork(VIDEO_PRESETS["video_tiny"])
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.02, generator=generator)
    return PPDVideoPredictor(network, TinyVideoEncoder(PRESETS["tiny"]).eval(), dtype=dtype)


def settings(options: argparse.Namespace, *, side: int):
    from nearfar.pipeline.config import PredictConfig
    from nearfar.pipeline.video.config import VideoConfig

    return VideoConfig(predict=PredictConfig(steps=options.steps, resolution=side))


def pipeline(options: argparse.Namespace) -> dict:
    """Memory and cost of a long clip without a network."""
    from types import SimpleNamespace

    from nearfar.pipeline.video.windows import Windowed

    entry = SimpleNamespace(name="stand-in", licence="none")
    model = Windowed(StandIn(), SimpleNamespace(entry=entry, sha256="0" * 64))
    return long_run(model, options, side=SIZE_HW[1])


def flat(options: argparse.Namespace) -> dict:
    """Memory and cost of a long clip with the model."""
    model, _ = load(options.model, options)
    found = long_run(model, options, side=options.flat_side)
    return {"name": options.model, "long_side": options.flat_side, **found}


def long_run(model, options: argparse.Namespace, *, side: int) -> dict:
    from nearfar.io.video.source import open_clip
    from nearfar.pipeline.video.outputs import Outputs
    from nearfar.pipeline.video.run import ClipJob, run_clip

    marks: list[tuple[int, float, float]] = []  # frames, resident MB, processor seconds
    done = 0

    def look(count: int) -> None:
        nonlocal done
        done += count
        if done % STEP == 0 and done:
            marks.append((done, resident_mb(), time.process_time()))

    with tempfile.TemporaryDirectory() as folder:
        outputs = Outputs(folder=Path(folder), stem="clip", formats=("vis", "ffv1"))
        job = ClipJob(outputs=outputs, config=settings(options, side=side))
        started, begun = time.process_time(), time.perf_counter()
        outcome = run_clip(open_clip(options.clip), model, job, on_frame=look)
        ended, after = time.process_time(), resident_mb()
        seconds = time.perf_counter() - begun
    per_frame = [(b[2] - a[2]) / STEP for a, b in pairwise(marks)]
    quarter = max(1, len(per_frame) // 4)
    early, late = (float(np.median(part)) for part in (per_frame[:quarter], per_frame[-quarter:]))
    memory = [mark[1] for mark in marks]
    return {
        "frames": outcome.frames,
        "cuts": outcome.cuts,
        "memory_at_100_mb": round(memory[0], 1),
        "memory_at_end_mb": round(memory[-1], 1),
        "memory_after_files_mb": round(after, 1),
        "growth_mb": round(max(*memory, after) - memory[0], 1),
        "early_ms_per_frame": round(1000 * early, 2),
        "late_ms_per_frame": round(1000 * late, 2),
        "cost_ratio": round(late / early, 3),
        "files_share": round((ended - marks[-1][2]) / (ended - started), 3),
        "drawing_ms_per_frame": round(1000 * (marks[-1][2] - started) / outcome.frames, 2),
        "frames_per_second": round(outcome.frames / seconds, 2),
        "threads": torch.get_num_threads(),
    }


class Stopwatch:
    """A function with the processor seconds spent in it."""

    def __init__(self, work) -> None:
        self._work, self.seconds = work, 0.0

    def __call__(self, *arguments, **options):
        start = time.process_time()
        result = self._work(*arguments, **options)
        self.seconds += time.process_time() - start
        return result


def speed(options: argparse.Namespace) -> dict:
    """Frames a second of the model at the clip's size, from clip file to depth of every frame."""
    from nearfar.models.ppd import video_predictor

    model, predictor = load(options.model, options)
    if model.per_frame:
        return {**pace(model, options, first=1, each=single(options)), "stitch_share": None}
    watch = video_predictor.stitch = Stopwatch(video_predictor.stitch)
    windows = 1 if options.quick else WINDOWS
    found = pace(model, options, first=predictor.window, each=predictor.stride, parts=windows)
    share = watch.seconds / found["processor_s"]
    return {**found, "windows": windows, "stitch_share": round(share, 5)}


def baseline(options: argparse.Namespace) -> dict:
    """The same of an image model on every frame."""
    model, _ = load(options.baseline, options)
    return pace(model, options, first=1, each=single(options))


def single(options: argparse.Namespace) -> int:
    return QUICK_SINGLE if options.quick else SINGLE


def pace(model, options: argparse.Namespace, *, first: int, each: int, parts: int = 1) -> dict:
    """After `first` frames, the fastest of `parts` stretches of `each` frames."""
    from itertools import islice

    from nearfar.io.video.source import open_clip

    config = settings(options, side=SIZE_HW[1])
    count = first + parts * each
    stream = model.stream(islice(open_clip(options.clip).frames(), count), config)
    for _ in islice(stream, first):
        pass
    walls, busy = [], []
    for _ in range(parts):
        wall, cpu = time.perf_counter(), time.process_time()
        frames = sum(1 for _ in islice(stream, each))
        walls.append(time.perf_counter() - wall)
        busy.append(time.process_time() - cpu)
        assert frames == each
    return {
        "name": model.name,
        "per_frame": model.per_frame,
        "steps": model.steps(config),
        "frames": parts * each,
        "frames_per_second": round(each / min(walls), 3),
        "frames_per_processor_second": round(each / min(busy), 3),
        "processor_s": round(sum(busy), 3),
        "processor_s_per_frame": round(min(busy) / each, 4),
        "threads": torch.get_num_threads(),
        "memory_mb": round(resident_mb(), 1),
    }


def resident_mb() -> float:
    """Resident memory of this process now, MiB."""
    import resource

    try:
        fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
        return int(fields[1]) * resource.getpagesize() / (1 << 20)
    except OSError:  # not Linux: the peak instead
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


def print_table(record: dict) -> None:
    for name in ("pipeline", "flat"):
        if name not in record:
            continue
        part = record[name]
        what = "no network" if name == "pipeline" else f"{part['name']} at {part['long_side']} px"
        print(f"{part['frames']} frames of {record['size']}, {what}:")
        print(
            f"  memory {part['memory_at_100_mb']:.0f} MB at frame 100, "
            f"{part['memory_at_end_mb']:.0f} at the end, "
            f"{part['memory_after_files_mb']:.0f} after the files: grows by {part['growth_mb']:.1f}"
        )
        print(
            f"  {part['early_ms_per_frame']:.1f} ms a frame at the beginning, "
            f"{part['late_ms_per_frame']:.1f} at the end ({part['cost_ratio']:.2f}); "
            f"files {100 * part['files_share']:.0f} % of all"
        )
    for name in ("speed", "baseline"):
        part = record[name]
        how = "per frame" if part["per_frame"] else "by windows"
        print(
            f"{name}: {part['name']} {how}, {part['steps']} steps, {part['threads']} threads: "
            f"{part['frames_per_second']:.2f} frames/s, "
            f"{part['frames_per_processor_second']:.2f} per second of one core"
        )
    share = record["speed"]["stitch_share"]
    if share is not None:
        print(f"stitching: {100 * share:.3f} % of a window")
    print(f"goals met: {record['goals_met']}\n")


PARTS = {"pipeline": pipeline, "flat": flat, "speed": speed, "baseline": baseline}


if __name__ == "__main__":
    main()
