"""A model without weights, for everything above the networks: fast, seeded, easy to check.

`make_model(...)` gives a `nearfar.pipeline.predict.Model` whose depth follows image rows and
brightness. Nothing is patched: `Model` takes a `LoadedModel`, and this is one.
"""

import dataclasses
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest


@dataclasses.dataclass
class FakePredictor:
    """Rows and brightness as affine log depth; every hypothesis has its own scale, shift, noise."""

    options: frozenset = frozenset()
    default_steps: int = 4
    default_area: int = 48 * 64
    noise: float = 0.01
    reference_name: str | None = "fake"
    fails: BaseException | None = None
    fill: float | None = None
    calls: list = dataclasses.field(default_factory=list)

    def predict(self, image_3HW, config, *, area, generators):
        import torch

        from nearfar.models.base import Hypotheses, MetricReference
        from nearfar.result import DepthKind

        self.calls.append({"steps": config.steps, "area": area, "count": len(generators)})
        if self.fails is not None:
            raise self.fails
        height, width = image_3HW.shape[1:]
        shrink = (area / (height * width)) ** 0.5
        size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
        small = torch.nn.functional.interpolate(image_3HW[None], size=size, mode="area")[0]
        rows = torch.linspace(1, 0, size[0])[:, None].expand(size)
        clean = 0.7 * rows - 0.3 * small.mean(dim=0)
        maps = []
        for generator in generators:
            scale, shift = 0.8 + 0.4 * torch.rand(2, generator=generator)
            noise = self.noise * torch.randn(size, generator=generator)
            maps.append(scale * (clean + noise) + shift - 1)
        depth = torch.stack(maps)
        if self.fill is not None:
            depth = torch.full_like(depth, self.fill)
        reference = None
        if self.reference_name is not None:
            is_blue = (small[2] > 0.9) & (small[0] < 0.1)
            metres = torch.expm1(2 * (clean + 0.5))
            reference = MetricReference(metres, ~is_blue, 60.0, self.reference_name)
        return Hypotheses(depth, DepthKind.AFFINE_LOG_DEPTH, small.permute(1, 2, 0), reference)


@pytest.fixture
def make_model():
    """A factory of models with a `FakePredictor`; its options are the fake's fields."""
    from nearfar.pipeline.predict import Model
    from nearfar.weights.load import LoadedModel
    from nearfar.weights.registry import find

    def make(**options):
        entry = dataclasses.replace(find("ppd-tiny"), name="fake", licence="none", uncertainty={})
        return Model(LoadedModel(FakePredictor(**options), entry, "0" * 64))

    return make


@pytest.fixture
def rgb():
    """A photo [60,90,3] uint8: smooth colors with a box in the middle."""
    y, x = np.mgrid[0:60, 0:90]
    picture = np.stack([2 * x, 3 * y, x + y], axis=2).astype(np.uint8)
    picture[20:40, 30:60] = (250, 240, 230)
    return picture


def moving_picture(count, *, size_hw=(48, 64), seed=0):
    """Frames [T,H,W,3] uint8 of a smooth random texture that moves to the left, one pixel each."""
    height, width = size_hw
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0 : width + count].astype(float)
    planes = []
    for level in rng.uniform(60, 180, 3):
        waves = [
            40 * np.sin(x * a + y * b + c) for a, b, c in rng.uniform(-0.2, 0.2, (3, 3)) * [1, 1, 9]
        ]
        planes.append(level + sum(waves))
    wide = np.clip(np.stack(planes, axis=2), 0, 255).astype(np.uint8)
    return np.stack([wide[:, i : i + width] for i in range(count)])


@pytest.fixture
def make_clip(tmp_path):
    """A factory of video files: H.264 in MP4 unless said otherwise; returns the path."""

    def make(name="clip.mp4", frames=None, *, rate=12, times=None, sound=None, **more):
        import av

        frames = moving_picture(12) if frames is None else frames
        path = tmp_path / name
        with av.open(str(path), "w", format=more.get("container")) as file:
            stream = file.add_stream(
                more.get("codec", "libx264"), rate=rate, options=more.get("options", {"crf": "4"})
            )
            height, width = frames[0].shape[:2]
            stream.width, stream.height = width, height
            stream.pix_fmt = more.get("pixels", "yuv420p")
            stream.codec_context.time_base = Fraction(1, rate)
            if "rotation" in more:
                stream.set_display_rotation(more["rotation"])
            if "pixel_ratio" in more:
                stream.codec_context.sample_aspect_ratio = more["pixel_ratio"]
            heard = file.add_stream(sound, rate=16000, layout="mono") if sound else None
            for number, picture in enumerate(frames):
                form = more.get("source", "rgb24")
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=form)
                frame.pts = number if times is None else times[number]
                frame.time_base = Fraction(1, rate)
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
            if heard is not None:
                wave = (8000 * np.sin(np.arange(16000 * len(frames) // rate) / 10)).astype(np.int16)
                for start in range(0, len(wave), 1024):
                    tone = av.AudioFrame.from_ndarray(
                        wave[None, start : start + 1024], format="s16", layout="mono"
                    )
                    tone.sample_rate, tone.pts = 16000, start
                    tone.time_base = Fraction(1, 16000)
                    file.mux(heard.encode(tone))
                file.mux(heard.encode(None))
        return path

    return make


@pytest.fixture
def picture_frames():
    """`moving_picture`, for tests that want to know the frames."""
    return moving_picture


@pytest.fixture
def killed_often(tmp_path):
    """kill_moments.py on a verb: how often it was killed, having ended in the same files always."""

    def run(verb, *, stride):
        script = Path(__file__).with_name("kill_moments.py")
        done = subprocess.run(
            [sys.executable, script, verb, tmp_path, str(stride)],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        return int(done.stdout.split()[-1])

    return run
