import numpy as np
import pytest
import torch

from nearfar.errors import ConfigError, ResourceError, WeightsError
from nearfar.pipeline.config import PredictConfig
from nearfar.pipeline.video.config import VideoConfig
from nearfar.result import DepthKind


@pytest.fixture
def stream(fake_video, memory_clip):
    def run(frames, *, start=0, state=None, model=None, cuts=True, **settings):
        config = VideoConfig(predict=PredictConfig(**settings), cuts=cuts)
        model = model or fake_video()
        return list(model.stream(memory_clip(frames).frames(start=start), config, state=state))

    return run


def test_windows_follow_one_another_and_begin_anew_at_a_cut(stream, fake_video, two_scenes):
    model = fake_video()
    items = stream(two_scenes, model=model)
    assert [item.frame.index for item in items] == list(range(25))
    # 17 frames: 6, then 4 4 with key frames, 3 left; after the cut 6 and the last 2
    calls = model._predictor.calls
    assert calls == [(6, False), (4, True), (4, True), (3, True), (6, False), (2, True)]
    assert [i for i, item in enumerate(items) if item.begins_shot] == [17]
    ends = [i + 1 for i, item in enumerate(items) if item.state is not None]
    assert ends == [6, 10, 14, 17, 23, 25]
    model = fake_video()
    stream(two_scenes, model=model, cuts=False)
    assert model._predictor.calls == [(6, False), *[(4, True)] * 4, (3, True)]


@pytest.mark.parametrize("count", [1, 2, 5, 6, 7, 10, 11])
def test_any_number_of_frames(stream, picture_frames, count):
    items = stream(picture_frames(count))
    assert len(items) == count
    assert items[-1].state.frames == count
    assert all(item.result.depth.shape == (48, 64) for item in items)


@pytest.mark.parametrize("metres", [False, True])
def test_a_stream_goes_on_from_every_state(stream, fake_video, two_scenes, metres):
    whole = stream(two_scenes, model=fake_video(metres=metres))
    for state in [item.state for item in whole if item.state is not None]:
        rest = stream(two_scenes, start=state.frames, state=state, model=fake_video(metres=metres))
        assert len(rest) == 25 - state.frames
        for a, b in zip(rest, whole[state.frames :]):
            assert np.array_equal(a.result.depth, b.result.depth, equal_nan=True)
            assert a.begins_shot == b.begins_shot


def test_key_frames_are_handed_on(stream, fake_video, picture_frames):
    """The fake's later windows move with the key frames: without them the numbers differ."""
    frames = picture_frames(10)
    joined = stream(frames, cuts=False)
    alone = stream(frames[6:], cuts=False)
    assert not np.array_equal(joined[6].result.depth, alone[0].result.depth)


def test_metres_are_fixed_by_the_first_window_of_a_shot(stream, fake_video, two_scenes):
    items = stream(two_scenes, model=fake_video(metres=True))
    assert {item.result.kind for item in items} == {DepthKind.METRIC}
    fits = [item.state.metres for item in items if item.state is not None]
    assert fits[0] == fits[1] == fits[3] != fits[4] == fits[5]
    assert fits[0].scale == pytest.approx(2, rel=0.01)
    first = items[0].result
    assert (first.metric_reference, first.fov_x_deg) == ("fake", 60.0)
    assert first.sky[:2].all() and not first.sky[4:].any()
    assert np.isnan(first.depth[first.sky]).all()
    relative = stream(two_scenes, model=fake_video(metres=True), metric=False)
    assert {item.result.kind for item in relative} == {DepthKind.AFFINE_LOG_DEPTH}


def test_upsampling_invents_no_depth(stream, picture_frames):
    items = stream(picture_frames(1, size_hw=(96, 128)), resolution=32)
    assert len(np.unique(items[0].result.depth)) <= 24 * 32


def test_faults_of_the_network_are_one_line(stream, fake_video, picture_frames):
    frames = picture_frames(3)
    model = fake_video()
    good = model._predictor.predict_window

    def nothing(*args, **options):
        found = good(*args, **options)
        return found._replace(depth_Thw=found.depth_Thw * float("nan"))

    model._predictor.predict_window = nothing
    with pytest.raises(WeightsError, match="NaN or infinity at 2304 pixels"):
        stream(frames, model=model)

    def no_memory(*args, **options):
        raise RuntimeError("out of memory")

    model._predictor.predict_window = no_memory
    with pytest.raises(ResourceError, match="fake-video at 32x24 pixels: out of memory"):
        stream(frames, model=model)
    with pytest.raises(ConfigError, match="one map per frame"):
        stream(frames, ensemble_size=2)


def test_a_shot_that_begins_with_sky_gets_its_metres_later(stream, fake_video, picture_frames):
    model = fake_video(metres=True)
    draw, drawn = model._predictor.predict_window, []

    def sky_at_first(*arguments, **options):
        found = draw(*arguments, **options)
        drawn.append(found)
        if len(drawn) > 1:
            return found
        sky = tuple(g._replace(valid_HW=torch.zeros_like(g.valid_HW)) for g in found.metres)
        return found._replace(metres=sky)

    model._predictor.predict_window = sky_at_first
    items = stream(picture_frames(14), model=model, cuts=False)
    assert not any(item.result.valid.any() for item in items[:6])
    assert all(item.result.kind is DepthKind.METRIC for item in items[6:])
    fits = {item.state.metres for item in items[6:] if item.state is not None}
    assert len(fits) == 1 and None not in fits
