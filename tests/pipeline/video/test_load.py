from types import SimpleNamespace

import pytest

from nearfar.errors import ConfigError
from nearfar.pipeline.predict import Model
from nearfar.pipeline.video.load import clip_model, load_either, load_video
from nearfar.pipeline.video.per_frame import PerFrame
from nearfar.pipeline.video.windows import Windowed
from nearfar.weights.load import LoadedModel


def test_an_image_model_needs_per_frame():
    model = load_video("ppd-tiny", device="cpu", dtype="fp32", per_frame=True)
    assert isinstance(model, PerFrame)
    assert (model.name, model.per_frame) == ("ppd-tiny", True)
    with pytest.raises(ConfigError, match="one frame at a time. Add --per-frame"):
        load_video("ppd-tiny", device="cpu")


def test_a_video_model_is_used_by_windows(fake_video):
    entry = SimpleNamespace(name="fake-video", licence="none")
    loaded = LoadedModel(fake_video()._predictor, entry, "0")
    assert isinstance(clip_model(loaded, per_frame=False), Windowed)
    with pytest.raises(ConfigError, match="is a video model. Leave it out"):
        clip_model(loaded, per_frame=True)


def test_either_gives_the_model_that_fits():
    assert isinstance(load_either("ppd-tiny", device="cpu", dtype="fp32"), Model)
