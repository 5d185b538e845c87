"""Hostile inputs by the thousand: mutated files of every kind that is read, seeded and bounded.

python tests/fuzzing.py --inputs 1000 --seed 0

Each kind of file is read in a process of its own. An input is refused (one line, `NearfarError`) or
read; a traceback, a reader that takes over 20 s, a crash and the peak of memory are counted.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import signal
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

HANG_S = 20.0
START_S = 60.0  # more for the first input of a process, which imports
MEMORY_MB = 1500
_ABSURD = (b"\x00" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\xfe\xff\xff\xff")
_TOKENS = (
    *("Infinity", "-1", "0", "1e999", "NaN", "1000000000000", '"x"', "[]", "{}", "null", "true"),
    *("1.5", "[" * 200, "9" * 5000, '{"a": {"a": 1}}'),
)


class Counts(NamedTuple):
    """What became of the inputs of one kind."""

    kind: str
    outcomes: Counter[str]
    peak_mb: float
    told: list[str]  # one line for each traceback, hang or crash


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with one to four faults: bits, absurd numbers, cuts, doubled or lost parts."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        if not data:
            break
        place, size = int(rng.integers(len(data))), int(rng.integers(1, 64))
        match int(rng.integers(7)):
            case 0:
                data[place] ^= 1 << int(rng.integers(8))
            case 1:
                data[place : place + size] = rng.bytes(size)
            case 2:
                data[place : place + 4] = _ABSURD[int(rng.integers(len(_ABSURD)))]
            case 3:
                del data[place:]
            case 4:
                del data[place : place + size]
            case 5:
                data[place:place] = data[place : place + size]
            case _:  # headers matter most
                data[int(rng.integers(min(len(data), 200)))] = int(rng.integers(256))
    return bytes(data)


def absurd_text(text: str, rng: np.random.Generator) -> str:
    """Text with one or two of its values replaced by absurd ones."""
    for _ in range(int(rng.integers(1, 3))):
        starts = [i + 1 for i, c in enumerate(text[:-1]) if c in ":=,["]
        if not starts:
            break
        start = starts[int(rng.integers(len(starts)))]
        end = next((i for i in range(start, len(text)) if text[i] in ",]}\n"), len(text))
        text = text[:start] + " " + _TOKENS[int(rng.integers(len(_TOKENS)))] + text[end:]
    return text


# --- what is mutated, and what reads it ---------------------------------------------------------


class Kind(NamedTuple):
    """seeds: good files; mutate: a fault in one; read: must refuse it in one line or take it."""

    seeds: list[tuple[str, bytes]]
    mutate: Callable[[bytes, np.random.Generator], bytes]
    read: Callable[[Path], object]


def images(folder: Path) -> Kind:
    from PIL import Image

    from nearfar.io.arrays import read_depth_array
    from nearfar.io.images import read_image

    rng, seeds = np.random.default_rng(0), []
    photo = Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(0, 60000, (48, 64), dtype=np.uint16))
    forms = [("jpg", "JPEG"), ("png", "PNG"), ("tif", "TIFF"), ("webp", "WEBP"), ("bmp", "BMP")]
    for suffix, form in [*forms, ("gif", "GIF"), ("ppm", "PPM")]:
        photo.save(folder / f"a.{suffix}", format=form)
    deep.save(folder / "deep.png")
    photo.save(folder / "packed.tif", format="TIFF", compression="tiff_adobe_deflate")
    seeds = [(p.name, p.read_bytes()) for p in sorted(folder.iterdir())]

    def read(path: Path) -> None:
        read_image(path)
        if path.suffix in (".png", ".tif"):
            read_depth_array(path)

    return Kind(seeds, mutated, read)


def results(folder: Path) -> Kind:
    import nearfar
    from nearfar.result import DepthResult

    depth = np.random.default_rng(0).uniform(1, 5, (24, 32)).astype(np.float32)
    result = DepthResult(
        depth=depth,
        kind="metric",
        valid=depth > 1.1,
        sky=depth > 4.9,
        uncertainty=depth / 10,
        intrinsics=np.eye(3),
        image=np.zeros((24, 32, 3), np.uint8),
        model="x",
        seed=3,
    )
    result.save(folder, ["png16", "npz", "exr", "pfm"])
    seeds = [(p.name, p.read_bytes()) for p in sorted(folder.iterdir())]

    def mutate(content: bytes, rng: np.random.Generator) -> bytes:
        if content[:2] != b"PK" or rng.random() < 0.4:
            return mutated(content, rng)
        return _other_member(content, rng)

    def read(path: Path) -> None:
        found = nearfar.read(path)
        repr(found)
        found.beside_photo()
        found.save(folder / "again", ["npz"])

    return Kind(seeds, mutate, read)


def _other_member(content: bytes, rng: np.random.Generator) -> bytes:
    """The NPZ with one array damaged inside its sound zip, of another type, or its JSON absurd."""
    import io

    with np.load(io.BytesIO(content)) as archive:
        arrays = {name: archive[name] for name in archive.files}
    name = list(arrays)[int(rng.integers(len(arrays)))]
    kinds = ("<f8", "<c8", "<i2", "?", "<U3", "<M8[s]", "S2")
    if rng.random() < 0.5:
        arrays["metadata"] = np.array(absurd_text(str(arrays["metadata"]), rng))
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            other = kinds[int(rng.integers(len(kinds)))]
            arrays[name] = np.zeros(arrays[name].shape[: int(rng.integers(4))], other)
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def weights(folder: Path) -> Kind:
    import torch
    from safetensors.torch import save_file

    from nearfar.models.ppd.config import PPDConfig
    from nearfar.models.ppd.network import PPDNetwork
    from nearfar.weights.networks import build, fill
    from nearfar.weights.published import read_weights
    from nearfar.weights.safe import require_sound

    config = PPDConfig(width=32, depth=2, heads=2, semantics_width=48, patch_size=4)
    with torch.random.fork_rng():
        state = PPDNetwork(config).state_dict()
    said = {"width": 32, "depth": 2, "heads": 2, "semantics_width": 48, "patch_size": 4}
    metadata = {"nearfar_format": "1", "family": "ppd", "encoder": "tiny"}
    metadata["config"] = json.dumps(said)
    save_file(state, folder / "own.safetensors", metadata=metadata)
    save_file({f"dit.{n}": t for n, t in state.items()}, folder / "released.safetensors")
    torch.save({"state_dict": {f"dit.{n}": t for n, t in state.items()}}, folder / "new.pth")
    torch.save(state, folder / "old.pth", _use_new_zipfile_serialization=False)
    seeds = [(p.name, p.read_bytes()) for p in sorted(folder.iterdir())]

    def mutate(content: bytes, rng: np.random.Generator) -> bytes:
        if content[8:9] != b"{" or rng.random() < 0.3:
            return mutated(content, rng)
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        if rng.random() < 0.7 and "__metadata__" in header:
            said = header["__metadata__"]
            said["config"] = absurd_text(said["config"], rng)
            text = json.dumps(header)
        else:
            text = absurd_text(json.dumps(header), rng)
        return len(text).to_bytes(8, "little") + text.encode() + content[8 + length :]

    def read(path: Path) -> None:
        found = read_weights(path)
        require_sound(found.tensors, path)
        fill(build(found.family, found.config), found.tensors)

    return Kind(seeds, mutate, read)


def cards(folder: Path) -> Kind:
    from nearfar.weights.registry import EMBEDDED_FOLDER, ENTRIES, fill_from_card

    seeds = [(p.name, p.read_bytes()) for p in sorted(EMBEDDED_FOLDER.glob("*.json"))]
    wanted = ('"sha256"', '"default_', '"crop"', '"size"', '"licence"', '"uncertainty"', '"recipe"')

    def mutate(content: bytes, rng: np.random.Generator) -> bytes:
        if rng.random() < 0.3:
            return mutated(content, rng)
        text = content.decode()
        places = [text.index(word) for word in wanted if word in text]
        place = places[int(rng.integers(len(places)))]
        end = place + 60
        return (text[:place] + absurd_text(text[place:end], rng) + text[end:]).encode()

    return Kind(seeds, mutate, lambda path: fill_from_card(ENTRIES["ppd-tiny"], path))


def recipes(folder: Path) -> Kind:
    from nearfar.train.recipe import load_recipe, recipe_hash

    names = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))
    seeds = [(p.name, p.read_bytes()) for p in names]

    def mutate(content: bytes, rng: np.random.Generator) -> bytes:
        if rng.random() < 0.3:
            return mutated(content, rng)
        absurd = ("nan", "inf", "-1", "0", '"x"', "[]", "{}", "1e300", "true", "9" * 30, "[[[]]]")
        lines = content.decode().splitlines()
        places = [i for i, line in enumerate(lines) if "=" in line]
        place = places[int(rng.integers(len(places)))]
        key = lines[place].split("=")[0]
        lines[place] = f"{key}= {absurd[int(rng.integers(len(absurd)))]}"
        return "\n".join(lines).encode()

    return Kind(seeds, mutate, lambda path: recipe_hash(load_recipe(path)))


def archives(folder: Path) -> Kind:
    from nearfar.data.store import open_store

    files = {"a/1.txt": b"one" * 100, "a/b/2.bin": bytes(range(256)) * 40, "3.txt": b""}
    for name, method in [("stored.zip", zipfile.ZIP_STORED), ("packed.zip", zipfile.ZIP_DEFLATED)]:
        with zipfile.ZipFile(folder / name, "w", method) as archive:
            for inside, content in files.items():
                archive.writestr(inside, content)
    for name, mode in [("plain.tar", "w"), ("packed.tar.gz", "w:gz")]:
        with tempfile.TemporaryDirectory() as made, tarfile.open(folder / name, mode) as tar:
            for inside, content in files.items():
                (Path(made) / "x").write_bytes(content)
                tar.add(Path(made) / "x", inside)
    seeds = [(p.name, p.read_bytes()) for p in sorted(folder.iterdir())]

    def read(path: Path) -> None:
        store = open_store(path)
        for name in store.names():
            store.read(name)
            with store.open(name) as file:
                file.read(1 << 20)

    return Kind(seeds, mutated, read)


def videos(folder: Path) -> Kind:
    import av

    from nearfar.io.video.source import open_clip

    for name in ("a.mp4", "a.mkv", "a.avi"):
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream("mpeg4", rate=24)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for number in range(8):
                picture = np.full((48, 64, 3), 20 * number, np.uint8)
                for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
    seeds = [(p.name, p.read_bytes()) for p in sorted(folder.iterdir())]

    def read(path: Path) -> None:
        for _ in open_clip(path).frames():
            pass

    return Kind(seeds, mutated, read)


KINDS: dict[str, Callable[[Path], Kind]] = {
    "images": images,
    "results": results,
    "weights": weights,
    "cards": cards,
    "recipes": recipes,
    "archives": archives,
    "videos": videos,
}


# --- the run ------------------------------------------------------------------------------------


def fuzz(kind: str, *, inputs: int, seed: int) -> Counts:
    """Counts of one kind; input i of a seed is the same whatever came before it."""
    outcomes: Counter[str] = Counter()
    told: list[str] = []
    peak_mb = 0.0
    with tempfile.TemporaryDirectory() as folder:
        done = 0
        while done < inputs:
            process, answers = _start(kind, Path(folder), done, inputs, seed)
            line = ""
            while done < inputs:
                ready, _, _ = select.select([answers], [], [], HANG_S + (0 if line else START_S))
                line = answers.readline() if ready else ""
                if not line:
                    outcome = "crash" if ready else "hang"
                    outcomes[outcome] += 1
                    told.append(f"{kind} {seed}:{done} {outcome}")
                    done += 1
                    break
                answer = json.loads(line)
                outcomes[answer["outcome"]] += 1
                peak_mb = max(peak_mb, answer["peak_mb"])
                if answer["outcome"] == "traceback":
                    told.append(f"{kind} {seed}:{done} {answer['told']}")
                done += 1
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            answers.close()
    return Counts(kind, outcomes, peak_mb, told)


def _start(kind: str, folder: Path, first: int, inputs: int, seed: int):
    """A process that reads the inputs from `first` on, and what it says of each, one line each."""
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        return process, os.fdopen(reading)
    os.close(reading)
    code = 1
    try:
        with os.fdopen(writing, "w", buffering=1) as answers:
            _work(kind, folder, range(first, inputs), seed, answers)
        code = 0
    finally:
        os._exit(code)


def _work(kind: str, folder: Path, numbers: range, seed: int, answers) -> None:
    from nearfar.errors import NearfarError

    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    (folder / f"good{numbers.start}").mkdir()
    (folder / "bad").mkdir(exist_ok=True)
    made = KINDS[kind](folder / f"good{numbers.start}")
    for number in numbers:
        rng = np.random.default_rng([seed, number])
        name, content = made.seeds[number % len(made.seeds)]
        path = folder / "bad" / name
        path.write_bytes(made.mutate(content, rng))
        outcome, told = "read", ""
        try:
            made.read(path)
        except NearfarError as error:
            outcome = "refused" if "\n" not in str(error) else "traceback"
        except BaseException as error:  # what a user would see as a traceback, panics too
            outcome = "traceback"
            place = traceback.extract_tb(error.__traceback__)[-1]
            told = f"{type(error).__name__}: {str(error)[:150]} ({place.filename}:{place.lineno})"
        path.unlink(missing_ok=True)
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        answers.write(json.dumps({"outcome": outcome, "told": told, "peak_mb": peak_mb}) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--inputs", type=int, default=1000, help="in all, spread over the kinds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    options = parser.parse_args()
    start, bad, all_inputs, peak = time.time(), 0, 0, 0.0
    share, more = divmod(options.inputs, len(options.kinds))
    print(
        f"{'kind':10}{'inputs':>8}{'read':>8}{'refused':>9}{'tracebacks':>12}{'hangs':>7}{'MB':>7}"
    )
    for place, kind in enumerate(options.kinds):
        counts = fuzz(kind, inputs=share + (place < more), seed=options.seed)
        found = counts.outcomes
        failed = found["traceback"] + found["crash"]
        print(
            f"{kind:10}{found.total():8}{found['read']:8}{found['refused']:9}{failed:12}"
            f"{found['hang']:7}{counts.peak_mb:7.0f}",
            flush=True,
        )
        for line in counts.told:
            print(f"  {line}")
        bad += failed + found["hang"] + (counts.peak_mb > MEMORY_MB)
        all_inputs, peak = all_inputs + found.total(), max(peak, counts.peak_mb)
    print(f"{all_inputs} inputs, {bad} faults, peak {peak:.0f} MB, {time.time() - start:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
