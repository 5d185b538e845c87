"""A video model as an estimator, with a small fake whose later windows depend on earlier ones."""

import importlib.util
import time
from pathlib import Path

import numpy as np
import pytest

from nearfar.errors import ConfigError
from nearfar.eval.judge_clip import ClipEstimator
from nearfar.eval.predictions import EstimateSettings
from nearfar.eval.video_estimator import VideoEstimator

FAKES = Path(__file__).parents[1] / "pipeline" / "video" / "conftest.py"
LOG = {"affine_log1p": "none", "metric": "log1p"}
DISPARITY = {"affine_disparity": "none", "scale": "disparity", "metric": "disparity"}


@pytest.fixture(scope="module")
def windowed():
    spec = importlib.util.spec_from_file_location("fake_video", FAKES)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.windowed


def estimator(model, accepts, **settings):
    return VideoEstimator(
        model, accepts=accepts, protocol="p", settings=EstimateSettings(**settings)
    )


def test_clips_are_seen_by_windows_and_in_order(windowed, picture_frames):
    model = windowed()
    asked = estimator(model, LOG)
    assert isinstance(asked, ClipEstimator)
    model._predictor.calls.clear()
    found = list(asked.estimate_clip(picture_frames(11)))
    assert model._predictor.calls == [(6, False), (4, True), (1, True)]
    assert [f.map_HW.shape for f in found] == [(48, 64)] * 11
    assert {f.value_space for f in found} == {"affine_log1p"}
    alone = asked.estimate(picture_frames(11)[8])
    assert not np.array_equal(alone.map_HW, found[8].map_HW)


def test_seconds_are_those_of_the_model_and_not_of_the_caller(
    windowed, picture_frames, monkeypatch
):
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    model = windowed()
    predict = model._predictor.predict_window

    def slow(*args, **kwargs):
        clock[0] += 2.0
        return predict(*args, **kwargs)

    model._predictor.predict_window = slow
    seconds = []
    for found in estimator(model, LOG).estimate_clip(picture_frames(11)):
        clock[0] += 100.0  # what is done with a frame is not the model's time
        seconds.append(found.seconds)
    assert sum(seconds) == 3 * 2.0 and seconds[0] == 2.0  # three windows


def test_metres_are_asked_for_where_only_they_are_taken(windowed, picture_frames):
    asked = estimator(windowed(metres=True), DISPARITY)
    found = next(asked.estimate_clip(picture_frames(3)))
    assert (asked.value_space, found.value_space) == ("metric", "metric")
    assert found.sky_HW is not None and found.fov_x_deg == 60.0
    assert asked.facts["own_family"] == "affine_log1p"
    assert (asked.facts["name"], asked.facts["per_frame"]) == ("fake-video", False)
    assert asked.gives_uncertainty is False
    without = estimator(windowed(), DISPARITY)
    with pytest.raises(ConfigError, match="gave affine_log1p, expected metric"):
        without.estimate(picture_frames(1)[0])


def test_settings_that_mean_nothing_are_refused(windowed):
    with pytest.raises(ConfigError, match="means nothing to fake-video"):
        estimator(windowed(), LOG, guidance_scale=2.0)
    with pytest.raises(ConfigError, match="one map per frame"):
        estimator(windowed(), LOG, ensemble_size=4)
    with pytest.raises(ConfigError, match="accepted are"):
        estimator(windowed(), {"affine_disparity": "none"})
