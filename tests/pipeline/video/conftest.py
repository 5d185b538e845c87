"""A video model without weights, and clips from memory. Also loaded by killed subprocesses."""

import dataclasses
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest


@dataclasses.dataclass
class FakeVideo:
    """Depth from rows, brightness, noise by slot, and what the windows before gave out.

    Every error in the passing on of key frames or noise changes the numbers.
    """

    window: int = 6
    stride: int = 4
    default_steps: int = 3
    default_area: int = 24 * 32
    metres: bool = False
    calls: list = dataclasses.field(default_factory=list)

    def prepare(self, image_3HW, *, area):
        import torch

        height, width = image_3HW.shape[1:]
        shrink = (area / (height * width)) ** 0.5
        size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
        image = image_3HW.float() / (255 if image_3HW.dtype == torch.uint8 else 1)
        return torch.nn.functional.interpolate(image[None], size=size, mode="area")[0]

    def predict_window(self, frames_T3hw, *, references, steps, generator):
        import torch

        from nearfar.models.base import KeyFrames, MetricReference, WindowDepth
        from nearfar.result import DepthKind

        count, _, height, width = frames_T3hw.shape
        assert 1 <= count <= (self.window if references is None else self.stride)
        self.calls.append((count, references is not None))
        noise = torch.randn(self.window, height, width, generator=generator)[-count:]
        rows = torch.linspace(0.6, 0.1, height)[None, :, None]
        depth = rows + 0.3 * frames_T3hw.mean(dim=1) + 0.002 * noise
        if references is not None:
            depth = depth + 0.02 * (references.depth_Thw.mean() - references.frames_T3hw.mean())
        places = [0, count // 2, count - 1]
        key_frames = KeyFrames(frames_T3hw[places].clone(), depth[places].clone())
        guesses = ()
        if self.metres:
            everywhere = torch.ones(height, width, dtype=torch.bool)
            everywhere[0] = False  # sky
            guesses = tuple(
                MetricReference(torch.expm1(2 * d + 0.3), everywhere, 60.0, "fake") for d in depth
            )
        return WindowDepth(depth, DepthKind.AFFINE_LOG_DEPTH, key_frames, 1.0, 0.0, guesses)


def windowed(**options):
    """A `Windowed` over a `FakeVideo`."""
    from nearfar.pipeline.video.windows import Windowed

    predictor = FakeVideo(**options)
    entry = SimpleNamespace(name="fake-video", licence="none")
    return Windowed(predictor, SimpleNamespace(entry=entry, sha256="0" * 64, predictor=predictor))


class MemoryClip:
    """Frames [T,H,W,3] as a clip; `broken_at` raises there, `report` notes are passed in."""

    def __init__(self, frames, *, rate=12, broken_at=None, fault=None):
        from nearfar.io.video.clip import ClipInfo

        self._frames, self._broken_at, self._fault = frames, broken_at, fault
        self.info = ClipInfo(
            source="memory.mp4",
            size_hw=frames[0].shape[:2],
            rate=Fraction(rate),
            time_base=Fraction(1, rate),
            frames=len(frames),
            has_audio=False,
            identity=f"{len(frames)}",
        )

    def frames(self, *, start=0, report=None):
        from nearfar.io.video.clip import ClipFrame

        for index, rgb in enumerate(self._frames):
            if index == self._broken_at and self._fault is not None:
                raise self._fault
            if index >= start:
                yield ClipFrame(index=index, time=index / self.info.rate, rgb_HW3=rgb)


@pytest.fixture
def fake_video():
    return windowed


@pytest.fixture
def memory_clip():
    return MemoryClip


@pytest.fixture
def two_scenes(picture_frames):
    """17 frames of one scene, then 8 of another."""
    return np.concatenate([picture_frames(17), 255 - picture_frames(8, seed=5)[:, ::-1]])


def job_of(folder, *formats, **more):
    """A job for these formats; options of ClipJob, and range, predict, max_frames."""
    from nearfar.pipeline.config import PredictConfig
    from nearfar.pipeline.video.config import VideoConfig, parse_range
    from nearfar.pipeline.video.outputs import Outputs
    from nearfar.pipeline.video.run import ClipJob

    outputs = Outputs(
        folder=folder,
        stem="clip",
        formats=formats or ("vis", "ffv1"),
        choice=parse_range(more.pop("range", "clip")),
    )
    config = VideoConfig(
        predict=PredictConfig(**more.pop("predict", {})),
        max_frames=more.pop("max_frames", None),
        cuts=more.pop("cuts", True),
    )
    return ClipJob(outputs=outputs, config=config, **more)


@pytest.fixture
def make_job(tmp_path):
    def make(*formats, folder=None, **more):
        return job_of(folder or tmp_path / "out", *formats, **more)

    return make
