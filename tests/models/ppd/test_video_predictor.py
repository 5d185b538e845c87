"""Windows one after the other: shapes, seeds, stitching, short clips, resuming, wrong pairings."""

import copy
from dataclasses import replace

import pytest
import torch

from nearfar.encoders.base import MetricGuess, SemanticsAndMetric
from nearfar.errors import ConfigError
from nearfar.geometry.resize import photo_to_network, resize
from nearfar.models.base import KeyFrames
from nearfar.models.ppd.video_predictor import PPDVideoPredictor
from nearfar.result import DepthKind


class FakeClipEncoder:
    """Semantics = mean color of each coarse token; remembers the windows that it saw."""

    name, width, stride = "fake", 48, 16

    def __init__(self):
        self.windows = []

    def clip_semantics(self, frames):
        self.windows.append(frames[0].clone())
        tokens = torch.nn.functional.avg_pool2d(frames[0], 16).flatten(2).transpose(1, 2)
        return tokens.repeat(1, 1, 16)[None]


class FakeMetricEncoder(FakeClipEncoder):
    """The same with metres: frame t is t metres away."""

    def clip_both(self, frames):
        _, t, _, h, w = frames.shape
        depth = torch.arange(t).float()[:, None, None].expand(t, h, w)
        return SemanticsAndMetric(
            self.clip_semantics(frames), MetricGuess(depth, depth > 0, torch.full((t,), 61.0))
        )


def clip(frames, height=80, width=100):
    return torch.rand(frames, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def make(golden_video_network):
    def build(encoder=None, **options):
        network = copy.deepcopy(golden_video_network)
        return PPDVideoPredictor(network, encoder or FakeClipEncoder(), **options)

    return build


def stream(predictor, frames, *, stop_at=None):
    """The clip's depth as the pipeline makes it, and the references of each window."""
    area, references, done = predictor.default_area, None, 0
    small = torch.stack([predictor.prepare(frame, area=area) for frame in frames])
    depths, kept = [], []
    while done < len(small) and len(kept) != stop_at:
        count = predictor.window if references is None else predictor.stride
        new = small[done : done + count]
        found = predictor.predict_window(
            new, references=references, steps=1, generator=torch.Generator().manual_seed(7)
        )
        depths.append(found.depth_Thw)
        references, done = found.key_frames, done + len(new)
        kept.append(references)
    return torch.cat(depths), kept


@pytest.mark.parametrize("length", [1, 2, 3, 15, 16, 17])
def test_any_length_has_a_map_for_each_frame(make, length):
    predictor = make()
    depth, kept = stream(predictor, clip(length))
    assert depth.shape == (length, 64, 96) and depth.dtype == torch.float32
    assert torch.isfinite(depth).all()
    assert len(predictor.encoder.windows) == len(kept) == (1 if length <= 16 else 2)
    assert all(len(window) == 16 for window in predictor.encoder.windows)


def test_second_window_continues_the_first(make):
    predictor = make()
    frames = clip(18)
    depth, kept = stream(predictor, frames)
    first, second = predictor.encoder.windows
    assert torch.equal(second[:3], first[[0, 8, 15]])
    assert torch.equal(kept[0].depth_Thw, depth[[0, 8, 15]])
    assert torch.equal(kept[1].depth_Thw[0], depth[0])
    stored = KeyFrames(*(tensor.clone() for tensor in kept[0]))
    small = torch.stack([predictor.prepare(f, area=64 * 96) for f in frames[16:]])
    again = predictor.predict_window(
        small, references=stored, steps=1, generator=torch.Generator().manual_seed(7)
    )
    assert torch.equal(again.depth_Thw, depth[16:])
    assert again.kind is DepthKind.AFFINE_LOG_DEPTH and (again.scale, again.shift) != (1, 0)


def test_noise_depends_on_the_generator_alone(make):
    predictor = make()
    small = torch.stack([predictor.prepare(f, area=64 * 96) for f in clip(16)])

    def depth(frames, seed):
        return predictor.predict_window(
            frames, references=None, steps=1, generator=torch.Generator().manual_seed(seed)
        ).depth_Thw

    assert torch.equal(depth(small, 1), depth(small, 1))
    assert not torch.allclose(depth(small, 1), depth(small, 2))


def test_frames_share_their_noise_where_the_network_says_so(make, monkeypatch):
    predictor = make()
    starts = []

    def no_steps(network, image, semantics, noise, timesteps):
        starts.append(noise)
        return noise

    monkeypatch.setattr("nearfar.models.ppd.video_predictor.sample_depth", no_steps)
    still = predictor.prepare(clip(1)[0], area=64 * 96).expand(16, -1, -1, -1)
    for shared in (False, True):
        predictor.network.config = replace(predictor.network.config, shared_noise=shared)
        predictor.predict_window(
            still, references=None, steps=1, generator=torch.Generator().manual_seed(3)
        )
    own, same = starts
    assert own.shape == same.shape == (16, 1, 64, 96)
    assert torch.equal(same[0], same[15]) and not torch.equal(own[0], own[15])


def test_frames_are_squashed_or_keep_their_shape(make):
    frame = clip(1)[0]
    squashed = make().prepare(frame, area=64 * 96)
    assert torch.equal(squashed, resize(frame, (64, 96), method="bilinear"))
    kept = make(keep_aspect=True)
    assert torch.equal(
        kept.prepare(frame, area=64 * 96), photo_to_network(frame, area=64 * 96, multiple=16)
    )
    tall = clip(3, 150, 60)
    assert stream(kept, tall)[0].shape == (3, 128, 48)
    grey = (frame * 255).round().to(torch.uint8)
    torch.testing.assert_close(make().prepare(grey, area=64 * 96), squashed, atol=2e-3, rtol=0)


def test_metres_of_the_new_frames_come_along(make):
    predictor = make(FakeMetricEncoder())
    small = torch.stack([predictor.prepare(f, area=64 * 96) for f in clip(17)])
    first = predictor.predict_window(
        small[:16], references=None, steps=1, generator=torch.Generator().manual_seed(7)
    )
    last = predictor.predict_window(
        small[16:], references=first.key_frames, steps=1, generator=torch.Generator().manual_seed(7)
    )
    assert [float(m.depth_HW[0, 0]) for m in first.metres] == list(range(16))
    assert [float(m.depth_HW[0, 0]) for m in last.metres] == [3.0]
    assert last.metres[0].fov_x_deg == 61 and last.metres[0].name == "fake"
    assert make().predict_window(
        small[:1], references=None, steps=1, generator=torch.Generator()
    ).metres == ()  # fmt: skip


def test_wrong_encoder_is_refused(make):
    encoder = FakeClipEncoder()
    encoder.width = 50
    with pytest.raises(ConfigError, match="fake gives 50 channels"):
        make(encoder)
