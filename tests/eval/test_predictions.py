"""A video model as an estimator, with a small fake whose later windows depend on earlier ones."""

import importlib.util
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nearfar.errors import ConfigError
from nearfar.eval.predictions import (
    BaselineEstimator,
    ClipEstimator,
    EstimateSettings,
    GivenMaps,
    ModelEstimator,
    VideoEstimator,
)

LOG = {"affine_log1p": "none", "metric": "log1p"}
METRES = {"metric": "none"}


def estimator(model, accepts, **settings):
    return ModelEstimator(
        model, accepts=accepts, protocol="p", settings=EstimateSettings(**settings)
    )


def test_a_model_is_asked_for_its_own_map_where_that_is_accepted(make_model, rgb):
    own = estimator(make_model(), LOG).estimate(rgb)
    assert own.value_space == "affine_log1p" and own.map_HW.shape == rgb.shape[:2]
    metres = estimator(make_model(), METRES)
    assert metres.estimate(rgb).value_space == "metric"
    facts = metres.facts
    assert (facts["family"], facts["own_family"]) == ("metric", "affine_log1p")


def test_settings_reach_the_model(make_model, rgb):
    model = make_model()
    one = estimator(model, LOG, steps=3, ensemble_size=2, seed=5, resolution=64)
    found = one.estimate(rgb)
    assert model._predictor.calls[-1]["steps"] == 3 and model._predictor.calls[-1]["count"] == 2
    assert one.gives_uncertainty and found.uncertainty_HW is not None
    again = estimator(make_model(), LOG, steps=3, ensemble_size=2, seed=5, resolution=64)
    np.testing.assert_array_equal(found.map_HW, again.estimate(rgb).map_HW)


class Stoppable:
    """A predictor without sampling steps that can be guided and stopped."""

    default_steps, default_area = 1, 48 * 64

    def __init__(self, inner):
        self.inner, self.asked = inner, []

    def predict(self, image, config, **rest):
        if config.steps != 1:
            raise ConfigError("steps", f"{config.steps}, but it has none")
        self.asked.append((config.guidance_scale, config.stop_at, config.ensemble_start))
        return self.inner.predict(image, config, **rest)


def test_what_a_family_lacks_is_refused_by_the_probe(make_model, rgb):
    for name, value in (("guidance_scale", 2.0), ("stop_at", 2), ("ensemble_start", "first")):
        with pytest.raises(ConfigError, match=f"{name}: fake"):
            estimator(make_model(), LOG, **{name: value})
    model = make_model()
    stoppable = model._predictor = Stoppable(model._predictor)
    model._options = frozenset({"guidance_scale", "stop_at", "ensemble_start"})
    with pytest.raises(ConfigError, match="steps: 4, but it has none"):
        estimator(model, LOG, steps=4)
    estimator(model, LOG, guidance_scale=2.0, stop_at=3, ensemble_start="first").estimate(rgb)
    assert stoppable.asked == [(2.0, 3, "first")] * 2


def test_a_spread_of_one_hypothesis_is_scored(make_model, rgb):
    model = make_model()
    plain = model.predict

    def with_spread(image, **options):
        result = plain(image, **options)
        return replace(result, uncertainty=np.full_like(result.depth, 0.1))

    model.predict = with_spread
    one = estimator(model, LOG)
    assert one.gives_uncertainty and one.estimate(rgb).uncertainty_HW is not None
    assert not estimator(make_model(), LOG).gives_uncertainty
    assert one.facts["networks"] == {}


def test_sky_is_told(make_model, rgb):
    photo = rgb.copy()
    photo[:10] = (0, 0, 255)
    found = estimator(make_model(), LOG).estimate(photo)
    assert found.sky_HW[:8].all() and np.isnan(found.map_HW[:8]).all()


def test_value_spaces_without_a_way_are_refused(make_model, rgb):
    with pytest.raises(ConfigError, match="affine_log1p"):
        estimator(make_model(), {"affine_disparity": "none"})
    without = estimator(make_model(reference_name=None), METRES)
    with pytest.raises(ConfigError, match="No metric reference"):
        without.estimate(rgb)


def test_baselines_are_log_maps(rgb):
    flat = BaselineEstimator("flat", accepts=LOG, protocol="p").estimate(rgb)
    ramp = BaselineEstimator("row-ramp", accepts=LOG, protocol="p").estimate(rgb)
    assert flat.value_space == ramp.value_space == "affine_log1p"
    assert np.ptp(flat.map_HW) == 0 and (np.diff(ramp.map_HW[:, 0]) < 0).all()
    with pytest.raises(ConfigError, match="accepted are metric"):
        BaselineEstimator("flat", accepts=METRES, protocol="p")


FAKES = Path(__file__).parents[1] / "pipeline" / "video" / "conftest.py"
DISPARITY = {"affine_disparity": "none", "scale": "disparity", "metric": "disparity"}


@pytest.fixture(scope="module")
def windowed():
    spec = importlib.util.spec_from_file_location("fake_video", FAKES)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.windowed


def clip_estimator(model, accepts, **settings):
    return VideoEstimator(
        model, accepts=accepts, protocol="p", settings=EstimateSettings(**settings)
    )


def test_clips_are_seen_by_windows_and_in_order(windowed, picture_frames):
    model = windowed()
    asked = clip_estimator(model, LOG)
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
    for found in clip_estimator(model, LOG).estimate_clip(picture_frames(11)):
        clock[0] += 100.0  # what is done with a frame is not the model's time
        seconds.append(found.seconds)
    assert sum(seconds) == 3 * 2.0 and seconds[0] == 2.0  # three windows


def test_metres_are_asked_for_where_only_they_are_taken(windowed, picture_frames):
    asked = clip_estimator(windowed(metres=True), DISPARITY)
    found = next(asked.estimate_clip(picture_frames(3)))
    assert (asked.value_space, found.value_space) == ("metric", "metric")
    assert found.sky_HW is not None and found.fov_x_deg == 60.0
    assert asked.facts["own_family"] == "affine_log1p"
    assert (asked.facts["name"], asked.facts["per_frame"]) == ("fake-video", False)
    assert asked.gives_uncertainty is False
    without = clip_estimator(windowed(), DISPARITY)
    with pytest.raises(ConfigError, match="gave affine_log1p, expected metric"):
        without.estimate(picture_frames(1)[0])


def test_settings_that_mean_nothing_are_refused(windowed):
    with pytest.raises(ConfigError, match="means nothing to fake-video"):
        clip_estimator(windowed(), LOG, guidance_scale=2.0)
    with pytest.raises(ConfigError, match="one map per frame"):
        clip_estimator(windowed(), LOG, ensemble_size=4)
    with pytest.raises(ConfigError, match="accepted are"):
        clip_estimator(windowed(), {"affine_disparity": "none"})


def test_given_maps_are_told_in_order():
    maps = np.arange(24.0).reshape(2, 3, 4)
    given = GivenMaps(maps, value_space="affine_log1p")
    photos = [np.zeros((3, 4, 3), np.uint8)] * 2
    found = list(given.estimate_clip(photos))
    assert [np.array_equal(e.map_HW, m) for e, m in zip(found, maps)] == [True, True]
    assert {e.value_space for e in found} == {"affine_log1p"} and not given.gives_uncertainty
    assert np.array_equal(given.estimate(photos[0]).map_HW, maps[0]) and given.facts == {}
