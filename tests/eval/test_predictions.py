from dataclasses import replace

import numpy as np
import pytest

from nearfar.errors import ConfigError
from nearfar.eval.predictions import BaselineEstimator, EstimateSettings, ModelEstimator

LOG = {"affine_log1p": "none", "metric": "log1p"}
METRES = {"metric": "none"}


def estimator(model, accepts, **settings):
    return ModelEstimator(
        model, accepts=accepts, protocol="p", settings=EstimateSettings(**settings)
    )


def test_a_model_is_asked_for_its_own_map_where_that_is_accepted(make_model, rgb):
    own = estimator(make_model(), LOG).estimate(rgb)
    assert own.family == "affine_log1p" and own.map_HW.shape == rgb.shape[:2]
    metres = estimator(make_model(), METRES)
    assert metres.estimate(rgb).family == "metric"
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


def test_families_without_a_way_are_refused(make_model, rgb):
    with pytest.raises(ConfigError, match="affine_log1p"):
        estimator(make_model(), {"affine_disparity": "none"})
    without = estimator(make_model(reference_name=None), METRES)
    with pytest.raises(ConfigError, match="no metric reference"):
        without.estimate(rgb)


def test_baselines_are_log_maps(rgb):
    flat = BaselineEstimator("flat", accepts=LOG, protocol="p").estimate(rgb)
    ramp = BaselineEstimator("row-ramp", accepts=LOG, protocol="p").estimate(rgb)
    assert flat.family == ramp.family == "affine_log1p"
    assert np.ptp(flat.map_HW) == 0 and (np.diff(ramp.map_HW[:, 0]) < 0).all()
    with pytest.raises(ConfigError, match="accepted are metric"):
        BaselineEstimator("flat", accepts=METRES, protocol="p")
