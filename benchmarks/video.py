"""Clips: whether memory and cost stay flat over 2000 frames, and how fast a model goes through one.

    python benchmarks/video.py [--quick] [-m ppd-tiny] [--frames 2000] [--threads 2] [--output FILE]

flat    A 256x192 H.264 clip of 2000 frames through `run_clip` into vis and ffv1, with a stand-in
        for the network (a window of 16, key frames 0, 8, 15, next to no arithmetic): what reading,
        windows, cuts, stitching, up-sampling, parts, checkpoints and files take. Resident memory
        at frame 100 and after every hundred; processor time per frame around 100 and at the end;
        the share of writing the files from the parts.
model   The same clip through a model: a video model by windows, an image model on every frame, for
        16 + 13 frames (--quick: one window, or 4 frames); frames/s at the clip's size.
stitch  Scale, shift and their application to a window (PPVD's `stitch`, 16 maps at 256x192), in
        processor time, and its share of a window's where the model is a video model.

Each part runs in a process of its own. Prints a table and one JSON line; with --output, a file.
Goals: growth from frame 100 to 2000 < 100 MB; cost at the end < 1.15 times that at the beginning;
a video model at 3 frames/s on 2 cores; stitching < 5 % of a window.
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
MODEL_FRAMES, QUICK_FRAMES, QUICK_SINGLE = 29, 16, 4


def main() -> None:
    options = read_options()
    if options.part:
        print(json.dumps(PARTS[options.part](options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        options.clip = write_clip(Path(folder) / "clip.mp4", options.frames)
        flat = in_own_process("flat", options)
        model = in_own_process("model", options)
    stitching = in_own_process("stitch", options)
    share = None
    if not model["per_frame"]:
        share = round(stitching["processor_s"] / model["window_processor_s"], 4)
    met = {
        "growth_mb": flat["growth_mb"] < GOALS["growth_mb"],
        "cost_ratio": flat["cost_ratio"] < GOALS["cost_ratio"],
    }
    if not model["per_frame"]:
        met["frames_per_second"] = model["frames_per_second"] >= GOALS["frames_per_second"]
        met["stitch_share"] = share is not None and share < GOALS["stitch_share"]
    record = {
        "quick": options.quick,
        "size": f"{SIZE_HW[1]}x{SIZE_HW[0]}",
        "flat": flat,
        "model": model,
        "stitch": {**stitching, "share_of_a_window": share},
        "goals": GOALS,
        "goals_met": met,
    }
    print_table(record)
    store("video", record, path=options.output)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", default="ppd-tiny")
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--quick", action="store_true", help="fewer frames through the model")
    parser.add_argument("--output", type=Path, default=None)
    parser.add_argument("--part", choices=sorted(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--clip", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def in_own_process(part: str, options: argparse.Namespace) -> dict:
    """What a part finds in a fresh process."""
    command = [sys.executable, __file__, "--part", part, "-m", options.model]
    command += ["--frames", str(options.frames), "--clip", str(options.clip)]
    command += ["--quick"] * options.quick
    if options.threads is not None:
        command += ["--threads", str(options.threads)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def write_clip(path: Path, frames: int) -> Path:
    """A camera that pans over a wide random texture and back, with one cut in the middle."""
    from sonde.io.video.encoder import VideoEncoder, VideoForm

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
        from sonde.models.base import KeyFrames, WindowDepth
        from sonde.models.ppd.video_align import stitch
        from sonde.models.ppd.video_windows import fill_window
        from sonde.result import DepthKind

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


def flat(options: argparse.Namespace) -> dict:
    """Memory and cost of a long clip without a network."""
    from types import SimpleNamespace

    from sonde.io.video.source import open_clip
    from sonde.pipeline.video.config import VideoConfig
    from sonde.pipeline.video.outputs import Outputs
    from sonde.pipeline.video.run import ClipJob, run_clip
    from sonde.pipeline.video.windows import Windowed

    entry = SimpleNamespace(name="stand-in", licence="none")
    model = Windowed(StandIn(), SimpleNamespace(entry=entry, sha256="0" * 64))
    marks: list[tuple[int, float, float]] = []  # frames, resident MB, processor seconds
    done = 0

    def look(count: int) -> None:
        nonlocal done
        done += count
        if done % STEP == 0 and done:
            marks.append((done, resident_mb(), time.process_time()))

    with tempfile.TemporaryDirectory() as folder:
        outputs = Outputs(folder=Path(folder), stem="clip", formats=("vis", "ffv1"))
        job = ClipJob(outputs=outputs, config=VideoConfig())
        started = time.process_time()
        outcome = run_clip(open_clip(options.clip), model, job, on_frame=look)
        ended, after = time.process_time(), resident_mb()
    per_frame = [(b[2] - a[2]) / STEP for a, b in pairwise(marks)]
    quarter = max(1, len(per_frame) // 4)
    early, late = (float(np.median(part)) for part in (per_frame[:quarter], per_frame[-quarter:]))
    memory = [mark[1] for mark in marks]
    drawn = marks[-1][2] - started
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
        "drawing_ms_per_frame": round(1000 * drawn / outcome.frames, 2),
    }


def model(options: argparse.Namespace) -> dict:
    """Speed of a model on the first frames of the clip."""
    from itertools import islice

    from sonde.io.video.source import open_clip
    from sonde.pipeline.video.config import VideoConfig
    from sonde.pipeline.video.load import clip_model
    from sonde.settings import pick_device, pick_dtype, set_threads
    from sonde.weights.load import load_predictor

    threads = set_threads(options.threads)
    place = pick_device("auto")
    loaded = load_predictor(options.model, device=place, dtype=pick_dtype("auto", place))
    per_frame = not callable(getattr(loaded.predictor, "predict_window", None))
    chosen = clip_model(loaded, per_frame=per_frame)
    count = MODEL_FRAMES
    if options.quick:
        count = QUICK_SINGLE if per_frame else QUICK_FRAMES
    clip = open_clip(options.clip)
    warm_up = 1 if per_frame else 0
    for _ in chosen.stream(islice(clip.frames(), warm_up), VideoConfig()):
        pass
    wall, busy = time.perf_counter(), time.process_time()
    frames = sum(1 for _ in chosen.stream(islice(clip.frames(), count), VideoConfig()))
    wall, busy = time.perf_counter() - wall, time.process_time() - busy
    windows = 1 if count <= QUICK_FRAMES else 2
    return {
        "name": options.model,
        "per_frame": per_frame,
        "frames": frames,
        "frames_per_second": round(frames / wall, 2),
        "processor_s_per_frame": round(busy / frames, 3),
        "window_processor_s": round(busy / windows, 3),
        "threads": threads,
        "memory_mb": round(resident_mb(), 1),
    }


def stitching(options: argparse.Namespace) -> dict:
    """Processor seconds of joining one window to the ones before."""
    from sonde.models.ppd.video_align import stitch

    generator = torch.Generator().manual_seed(0)
    depth_THW = torch.rand(16, *SIZE_HW, generator=generator)
    times = []
    for _ in range(20):
        start = time.process_time()
        stitch(depth_THW, 2 * depth_THW[[0, 8, 15]], key_frames=(0, 8, 15))
        times.append(time.process_time() - start)
    return {"processor_s": round(float(np.median(times)), 5)}


def resident_mb() -> float:
    """Resident memory of this process now, MiB."""
    import resource

    try:
        fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
        return int(fields[1]) * resource.getpagesize() / (1 << 20)
    except OSError:  # not Linux: the peak instead
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


def print_table(record: dict) -> None:
    flat, model = record["flat"], record["model"]
    print(f"{flat['frames']} frames of {record['size']}, no network:")
    print(
        f"  memory {flat['memory_at_100_mb']:.0f} MB at frame 100, {flat['memory_at_end_mb']:.0f} "
        f"at the end, {flat['memory_after_files_mb']:.0f} after the files: "
        f"grows by {flat['growth_mb']:.1f}"
    )
    print(
        f"  {flat['early_ms_per_frame']:.1f} ms a frame at the beginning, "
        f"{flat['late_ms_per_frame']:.1f} at the end ({flat['cost_ratio']:.2f}); "
        f"files {100 * flat['files_share']:.0f} % of all"
    )
    how = "per frame" if model["per_frame"] else "by windows"
    print(f"{model['name']} {how}: {model['frames_per_second']:.2f} frames/s")
    share = record["stitch"]["share_of_a_window"]
    of_window = "" if share is None else f", {100 * share:.2f} % of a window"
    print(f"stitching: {1000 * record['stitch']['processor_s']:.1f} ms a window{of_window}")
    print(f"goals met: {record['goals_met']}\n")


PARTS = {"flat": flat, "model": model, "stitch": stitching}


if __name__ == "__main__":
    main()
