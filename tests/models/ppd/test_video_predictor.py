"""Windows one after the other: shapes, seeds, stitching, short clips, resuming, wrong pairings."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nearfar.encoders.base import MetricGuess, SemanticsAndMetric
from nearfar.errors import ConfigError
from nearfar.geometry.resize import photo_to_network, resize
from nearfar.models.base import KeyFrames
from nearfar.models.ppd.video_predictor import (
    PPDVideoPredictor,
    fill_window,
    fit_scale_shift,
    stitch,
    window_frames,
)
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


@pytest.mark.parametrize("case", ["align", "rand"])
def test_stitched_windows_equal_golden(golden, case):
    data, keys, parts = golden("video_align"), None, []
    for number in range(3):
        found = stitch(data[f"{case}.win{number}"][:, 0], keys, key_frames=(0, 8, 15))
        parts.append(found.depth_Thw[0 if keys is None else 3 :])
        keys = found.key_depth_Thw
    torch.testing.assert_close(torch.cat(parts), data[f"{case}.out"], atol=2e-6, rtol=0)


def test_fit_equals_golden(golden):
    data = golden("video_align")
    found = fit_scale_shift(data["ss.pred"], data["ss.target"], usable=data["ss.mask"])
    torch.testing.assert_close(
        torch.tensor(found, dtype=torch.float64), data["ss.scale_shift"], atol=1e-6, rtol=0
    )


def test_singular_fits_leave_the_window_alone():
    flat = torch.full((3, 4, 5), 0.7)
    assert fit_scale_shift(flat, torch.rand(flat.shape, generator=torch.Generator())) == (1, 0)
    assert fit_scale_shift(flat[:0], flat[:0]) == (1, 0)


def test_sums_are_exact_where_float32_is_not():
    generator = torch.Generator().manual_seed(0)
    depth = 300 + 0.01 * torch.rand(3, 64, 64, generator=generator)
    scale, shift = fit_scale_shift(depth, 2 * depth.double() - 1)
    assert abs(scale - 2) < 1e-4 and abs(shift + 1) < 0.03
    low = depth.flatten()
    low_determinant = (low * low).sum() * low.numel() - low.sum() ** 2
    assert abs(low_determinant / (low.double().var() * low.numel() ** 2) - 1) > 0.5


def test_first_frame_stays_the_anchor():
    generator = torch.Generator().manual_seed(0)
    scene = torch.rand(16, 6, 8, generator=generator)
    first = stitch(scene, None, key_frames=(0, 8, 15))
    assert (first.scale, first.shift) == (1, 0)
    second = torch.cat([scene[[0, 8, 15]], torch.rand(13, 6, 8, generator=generator)])
    found = stitch(0.5 * second + 3, first.key_depth_Thw, key_frames=(0, 8, 15))
    assert abs(found.scale - 2) < 1e-4 and abs(found.shift + 6) < 1e-3
    torch.testing.assert_close(found.depth_Thw, second, atol=1e-5, rtol=0)
    assert torch.equal(found.key_depth_Thw[0], scene[0])
    assert torch.equal(found.key_depth_Thw[1], found.depth_Thw[8])


GOLDEN = Path(__file__).parents[2] / "golden" / "ppd" / "video_windows.json"
PUBLISHED = {"window": 16, "key_frames": (0, 8, 15)}


@pytest.mark.parametrize("length", [4, 15, 16, 17, 28, 29, 30, 42, 43, 55])
def test_windows_equal_golden(length):
    golden = json.loads(GOLDEN.read_text())[str(length)]
    assert golden["n_out"] == length
    assert window_frames(length, **PUBLISHED) == golden["windows"]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_clips_on_which_the_release_fails(length):
    (only,) = window_frames(length, **PUBLISHED)
    assert only == [*range(length), *[length - 1] * (16 - length)]
    with pytest.raises(ConfigError, match="0 frames"):
        window_frames(0, **PUBLISHED)


@pytest.mark.parametrize("length", [1, 5, 16, 17, 43])
def test_filled_windows_are_the_listed_frames(length):
    clip = torch.arange(length).float()[:, None, None, None].expand(-1, 3, 2, 2)
    references, done = None, 0
    for listed in window_frames(length, **PUBLISHED):
        count = 16 if references is None else 13
        slots = fill_window(clip[done : done + count], references, window=16)
        assert slots[:, 0, 0, 0].tolist() == listed
        references = KeyFrames(slots[[0, 8, 15]], slots[[0, 8, 15], 0])
        done += count


def test_misfits_are_refused():
    clip = torch.zeros(16, 3, 2, 2)
    references = KeyFrames(clip[:3], clip[:3, 0])
    with pytest.raises(ConfigError, match="takes 1 to 13"):
        fill_window(clip, references, window=16)
    with pytest.raises(ConfigError, match="0 new frames"):
        fill_window(clip[:0], None, window=16)
    with pytest.raises(ConfigError, match="keeps its size"):
        fill_window(torch.zeros(2, 3, 2, 4), references, window=16)
