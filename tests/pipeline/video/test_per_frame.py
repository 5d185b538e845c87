import numpy as np
import pytest

from nearfar.pipeline.config import PredictConfig
from nearfar.pipeline.video.config import PER_FRAME_PART, VideoConfig
from nearfar.pipeline.video.per_frame import PerFrame


@pytest.fixture
def stream(make_model, memory_clip):
    def run(frames, *, start=0, state=None, **settings):
        config = VideoConfig(predict=PredictConfig(**settings))
        model = PerFrame(make_model())
        return list(model.stream(memory_clip(frames).frames(start=start), config, state=state))

    return run


def test_every_frame_is_what_the_image_model_says(stream, make_model, picture_frames):
    frames = picture_frames(3)
    for item, rgb in zip(stream(frames, seed=4), frames):
        alone = make_model().predict(rgb, seed=4)
        assert np.array_equal(item.result.depth, alone.depth, equal_nan=True)
        assert item.result.kind == alone.kind


def test_the_noise_stands_still(stream, picture_frames):
    still = np.stack([picture_frames(1)[0]] * 3)
    maps = [item.result.depth for item in stream(still)]
    assert np.array_equal(maps[0], maps[1], equal_nan=True)
    assert np.array_equal(maps[0], maps[2], equal_nan=True)


def test_cuts_are_marked_and_states_come_with_parts_and_the_end(stream, two_scenes):
    items = stream(two_scenes)
    assert [i for i, item in enumerate(items) if item.begins_shot] == [17]
    ends = [i for i, item in enumerate(items) if item.state is not None]
    assert ends == [PER_FRAME_PART - 1, 2 * PER_FRAME_PART - 1, 24]
    assert [items[i].state.frames for i in ends] == [i + 1 for i in ends]
    assert all(item.result.seconds is None for item in items)


def test_a_stream_goes_on_from_a_state(stream, two_scenes):
    whole = stream(two_scenes)
    state = whole[PER_FRAME_PART - 1].state
    rest = stream(two_scenes, start=state.frames, state=state)
    assert [i.begins_shot for i in rest] == [i.begins_shot for i in whole[state.frames :]]
    for a, b in zip(rest, whole[state.frames :]):
        assert np.array_equal(a.result.depth, b.result.depth, equal_nan=True)


def test_nothing_in_nothing_out(stream, picture_frames):
    assert stream(picture_frames(3), start=3) == []
