"""Writes tests/golden/seed0: what every embedded model says of one photo with default options.

python scripts/make_seed0.py          # after new weights, or a change of numbers that is meant
python scripts/make_seed0.py --check  # exit 1 if a map has other bytes than when it was stored

Bytes are a promise on one machine: a refactoring stores them before its first commit and checks
them after each. Another processor rounds otherwise; there tests/house/test_seed0.py compares with a
tolerance. A second writing keeps the photo of the first.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode

import nearfar
from nearfar.eval.circumstances import machine_facts
from nearfar.io.atomic import atomic_path, ensure_folder
from nearfar.io.video.clip import ClipFrame
from nearfar.pipeline.video.config import VideoConfig
from nearfar.pipeline.video.load import load_video
from nearfar.result import DepthResult
from nearfar.settings import set_threads

STORED = Path(__file__).parents[1] / "tests" / "golden" / "seed0"
PHOTO_MODELS = ("ppd-tiny", "depthart-tiny", "var-depth-tiny", "dar-tiny")
CLIP_MODELS = ("ppvd-tiny",)
WIDTH, HEIGHT = 144, 96
# Of scikit-image's coffee, left, top, right, bottom. In the whole of it a code that depthart-tiny
# draws lies so near a tie that rounding decides; here nothing does, with weights moved by 3e-6.
BOX = (24, 16, 600, 400)
FRAMES, FRAME_WIDTH, MOVES_BY = 5, 128, 4  # a clip: crops of the photo, a camera that turns right
KEPT = 8  # values of each stream
NEAR = 1e-3  # of a map's range: a pixel this close counts as the same


class Streams(NamedTuple):
    """What was drawn while a model answered, the first values of each.

    uniform: of the torch generator as the first draw found it, exact on every processor. drawn: by
    that first draw. seeded: [K,n] of each numpy generator that was made.
    """

    uniform: NDArray[np.float32]
    drawn: NDArray[Any]
    seeded: NDArray[np.float64]


class Answer(NamedTuple):
    """depth: [H,W], of a clip [T,H,W], float32. facts: kind, steps, seed, hash of the weights."""

    depth: NDArray[np.float32]
    facts: dict[str, Any]
    streams: Streams


class Difference(NamedTuple):
    """Shares of the stored map's range; a pixel that only one of them knows is infinitely off."""

    within: float  # share of the pixels that are within NEAR
    median: float
    largest: float


class Listening(TorchFunctionMode):
    """While active, writes down what generators give, whoever asks them; changes no number."""

    def __init__(self) -> None:
        super().__init__()
        nothing = np.zeros(0, np.float32)
        self.streams = Streams(nothing, nothing, np.zeros((0, KEPT)))
        self._patch = patch("numpy.random.default_rng", self._default_rng)

    def __enter__(self) -> Listening:
        self._make = np.random.default_rng
        self._patch.start()
        super().__enter__()
        return self

    def __exit__(self, *fault: Any) -> None:
        super().__exit__(*fault)
        self._patch.stop()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        generator = (kwargs or {}).get("generator")
        if generator is None or self.streams.uniform.size:
            return function(*args, **(kwargs or {}))
        twin = torch.Generator()
        twin.set_state(generator.get_state())
        drawn = function(*args, **kwargs)
        self.streams = self.streams._replace(
            uniform=torch.rand(KEPT, generator=twin).numpy(),
            drawn=drawn.flatten()[:KEPT].clone().numpy(),
        )
        return drawn

    def _default_rng(self, *seed: Any) -> np.random.Generator:
        row = self._make(*seed).random((1, KEPT))
        self.streams = self.streams._replace(seeded=np.concatenate([self.streams.seeded, row]))
        return self._make(*seed)


def small_photo() -> NDArray[np.uint8]:
    """A cup of coffee [96,144,3]."""
    from PIL import Image
    from skimage.data import coffee

    photo = Image.fromarray(coffee())
    return np.asarray(photo.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box=BOX))


def clip_of(photo_HW3: NDArray[np.uint8]) -> list[ClipFrame]:
    """Five overlapping crops of the photo as a clip."""
    lefts = range(0, FRAMES * MOVES_BY, MOVES_BY)
    return [
        ClipFrame(
            index=i,
            time=Fraction(i),
            rgb_HW3=np.ascontiguousarray(photo_HW3[:, left : left + FRAME_WIDTH]),
        )
        for i, left in enumerate(lefts)
    ]


def answer(name: str, photo_HW3: NDArray[np.uint8]) -> Answer:
    """What a model says of the photo, or of the clip made of it: CPU, float32, all else default."""
    found: list[DepthResult]
    if name in CLIP_MODELS:
        clip_model = load_video(name, device="cpu", dtype="fp32")
        with Listening() as heard:
            items = clip_model.stream(iter(clip_of(photo_HW3)), VideoConfig())
            found = [item.result for item in items]
        depth = np.stack([result.depth for result in found])
    else:
        model = nearfar.load(name, device="cpu", dtype="fp32")
        with Listening() as heard:
            found = [model.predict(photo_HW3)]
        depth = found[0].depth
    first = found[0]
    facts = {
        "kind": str(first.kind),
        "steps": first.steps,
        "seed": first.seed,
        "weights_sha256": first.weights_sha256,
    }
    return Answer(depth, facts, heard.streams)


def sha256(depth: NDArray[np.float32]) -> str:
    """SHA-256 of a map's little-endian float32 bytes."""
    return hashlib.sha256(np.ascontiguousarray(depth, "<f4").tobytes()).hexdigest()


def difference(depth: NDArray[np.float32], stored: NDArray[np.float32]) -> Difference:
    """How far a map is from the stored one of the same shape."""
    known = np.isfinite(stored)
    span = float(np.ptp(stored[known]))
    off = np.abs(depth.astype(np.float64) - stored) / span
    off[~known & ~np.isfinite(depth)] = 0
    off[known != np.isfinite(depth)] = np.inf
    return Difference(float(np.mean(off <= NEAR)), float(np.median(off)), float(off.max()))


def machine() -> dict[str, Any]:
    """What equal bytes hang on besides our own code."""
    return {
        "processor": machine_facts()["processor"],
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
    }


def write(folder: Path, photo_HW3: NDArray[np.uint8], answers: dict[str, Answer]) -> None:
    """maps.npz and bytes.json of these answers."""
    arrays: dict[str, NDArray[Any]] = {"photo": photo_HW3}
    facts: dict[str, Any] = {"machine": machine(), "models": {}}
    for name, said in answers.items():
        arrays[f"{name}/depth"] = said.depth
        for stream, values in said.streams._asdict().items():
            arrays[f"{name}/{stream}"] = values
        facts["models"][name] = {"sha256": sha256(said.depth), **said.facts}
    ensure_folder(folder)
    with atomic_path(folder / "maps.npz") as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)
    with atomic_path(folder / "bytes.json") as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def read(folder: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays of maps.npz, and bytes.json."""
    with np.load(folder / "maps.npz", allow_pickle=False) as file:
        arrays = dict(file)
    return arrays, json.loads((folder / "bytes.json").read_text(encoding="utf-8"))


def compared(name: str, said: Answer, stored: Path) -> tuple[bool, str]:
    """Whether a map has the stored bytes, and a line that says so, or what is different."""
    arrays, facts = read(stored)
    then, depth = facts["models"][name], arrays[f"{name}/depth"]
    if sha256(said.depth) == then["sha256"] and said.depth.shape == depth.shape:
        return True, f"{name}: identical"
    if said.depth.shape != depth.shape:
        return False, f"{name}: DIFFERENT: shape {said.depth.shape}, stored {depth.shape}"
    off = difference(said.depth, depth)
    line = (
        f"{name}: DIFFERENT: {off.within:.2%} of pixels within {NEAR:g} of the range, "
        f"median {off.median:.1e}, largest {off.largest:.1e}"
    )
    changed = [key for key, value in said.facts.items() if value != then[key]]
    return False, f"{line}; other {', '.join(changed)}" if changed else line


def other_circumstances(stored: Path) -> Iterable[str]:
    """Lines on what differs between this machine and the one of the stored bytes."""
    then = read(stored)[1]["machine"]
    for key, value in machine().items():
        if value != then.get(key):
            yield f"{key}: {value}, stored with {then.get(key)}: bytes may differ for that alone"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--stored", type=Path, default=STORED)
    options = parser.parse_args(arguments)
    set_threads(1)
    models = (*PHOTO_MODELS, *CLIP_MODELS)
    if options.check:
        photo_HW3 = read(options.stored)[0]["photo"]
        same = True
        for name in models:
            is_same, line = compared(name, answer(name, photo_HW3), options.stored)
            same &= is_same
            print(line)
        print("".join(f"{line}\n" for line in other_circumstances(options.stored)), end="")
        return 0 if same else 1
    is_new = not (options.stored / "maps.npz").exists()
    photo_HW3 = small_photo() if is_new else read(options.stored)[0]["photo"]
    write(options.stored, photo_HW3, {name: answer(name, photo_HW3) for name in models})
    print(f"{options.stored}: {(options.stored / 'maps.npz').stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
