"""A script that kills a piece of work at every moment that matters, and finishes it by --resume.

python kill_moments.py predict|video|train FOLDER STRIDE

A moment is just before or just after a file is moved, linked, removed, made or forced to the disk,
or a folder is made. Prints how many kills there were; any file that differs from those of a run
that nobody killed, and anything left over, is an error. The work runs in forks of this process.
"""

import os
import signal
import sys
import time
import traceback
from functools import partial
from pathlib import Path

import numpy as np

_HERE = Path(__file__).parent
_MOMENTS = ("replace", "link", "unlink", "fsync", "mkdir", "rmdir")


def arm(moment):
    """Let this process die at its `moment`-th moment."""
    count = 0

    def tick():
        nonlocal count
        count += 1
        if count == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def deadly(call):
        def inner(*args, **options):
            tick()
            result = call(*args, **options)
            tick()
            return result

        return inner

    for name in _MOMENTS:
        setattr(os, name, deadly(getattr(os, name)))


def ran(work, *, moment=None):
    """Run the work in a child; True if it was killed, an error if it failed by itself."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if moment is not None:
                arm(moment)
            code = work() or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    assert status == 0, f"moment {moment}: exit status {status}"
    return False


def predict(folder):
    """Two photos in three formats."""
    from conftest import FakePredictor
    from PIL import Image

    photos = folder / "photos"
    (photos / "sub").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.png", "sub/b.png"):
        Image.fromarray(rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)).save(photos / name)
    return partial(_command, FakePredictor, "predict", photos, "--save", "png16,vis,npz")


def video(folder):
    """Fifteen frames, which are two parts, as a video and as frames."""
    from conftest import FakePredictor, moving_picture
    from PIL import Image

    clip = folder / "frames"
    clip.mkdir(parents=True)
    for number, picture in enumerate(moving_picture(15, size_hw=(24, 32))):
        Image.fromarray(picture).save(clip / f"{number}.png")
    return partial(_command, FakePredictor, "video", clip, "--save", "ffv1,exr")


def _command(predictor, verb, source, *more):
    import dataclasses

    from nearfar.cli import Services, run
    from nearfar.pipeline.predict import Model
    from nearfar.pipeline.video.per_frame import PerFrame
    from nearfar.weights.load import LoadedModel
    from nearfar.weights.registry import find

    out = more[-1]
    entry = dataclasses.replace(find("ppd-tiny"), name="fake", licence="none", uncertainty={})
    model = Model(LoadedModel(predictor(), entry, "0" * 64))
    loaded = PerFrame(model) if verb == "video" else model
    words = [verb, source, *more[:-1], "-q", "--resume", "-o", out]
    return run([str(word) for word in words], services=Services(load=lambda *a, **k: loaded))


def train(folder):
    """Four steps with a checkpoint after each second, and weights."""
    from micro_run import micro_recipe, run

    def work(out):
        log = {"export": True, "keep": 1}
        run(micro_recipe(out, train={"steps": 4}, log=log), resume=True)

    return work


def content(folder):
    """Every file by its name: its bytes, of weights the tensors; not what tells dates."""
    import torch
    from safetensors.numpy import load_file

    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            found[name] = "folder"
        elif path.suffix == ".pt":
            saved = torch.load(path, weights_only=True)
            found[name] = {part: str(saved[part]) for part in ("network", "average", "optimizer")}
        elif path.suffix == ".safetensors":
            found[name] = {key: value.tobytes() for key, value in load_file(path).items()}
        elif path.suffix == ".jsonl" or path.name in ("frames_video.json", "card.json"):
            found[name] = "dates"
        else:
            found[name] = path.read_bytes()
    return found


def main(kind, folder, stride):
    sys.path[:0] = [str(_HERE), str(_HERE / "train")]
    folder, stride = Path(folder), int(stride)
    import torch

    import nearfar.cli  # noqa: F401 (before the forks, once)

    torch.set_num_threads(1)
    if kind != "train":
        time.perf_counter = lambda: 0.0  # results say how long they took
    work = {"predict": predict, "video": video, "train": train}[kind](folder / "in")
    assert not ran(partial(work, folder / "whole"))
    whole = content(folder / "whole")
    kills = 0
    while ran(partial(work, out := folder / f"at{1 + kills * stride}"), moment=1 + kills * stride):
        assert not ran(partial(work, out))
        found = content(out)
        differ = [name for name in {*found, *whole} if found.get(name) != whole.get(name)]
        assert not differ, f"{out.name}: {differ}"
        kills += 1
    print(kills)


if __name__ == "__main__":
    main(*sys.argv[1:])
