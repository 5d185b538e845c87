"""PredictConfig refuses impossible values and turns a resolution into an area."""

from dataclasses import fields

import pytest

from nearfar.errors import ConfigError
from nearfar.predict_config import FAMILY_OPTIONS, PredictConfig, PredictSettings


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"steps": 0}, "steps: 0"),
        ({"steps": 1001}, "1..1000"),
        ({"ensemble_size": 0}, "ensemble_size: 0"),
        ({"seed": -1}, "seed: -1"),
        ({"resolution": 7}, "0 is native"),
        ({"resolution": -5}, "resolution: -5"),
        ({"fov_x_deg": 0.0}, "fov_x_deg: 0"),
        ({"fov_x_deg": float("nan")}, "nan"),
        ({"guidance_scale": -0.5}, "guidance_scale: -0.5"),
        ({"guidance_scale": float("nan")}, "guidance_scale: nan"),
        ({"stop_at": 0}, "stop_at: 0"),
        ({"ensemble_start": "second"}, "ensemble_start: unknown 'second'"),
    ],
)
def test_impossible_values(values, word):
    with pytest.raises(ConfigError, match=word.replace(".", r"\.")):
        PredictConfig(**values)


def test_keywords_of_predict_are_the_fields():
    config = PredictConfig()
    assert set(PredictSettings.__annotations__) == {field.name for field in fields(config)}
    assert all(getattr(config, name) is None for name in FAMILY_OPTIONS)


def test_network_area():
    assert PredictConfig().network_area((500, 741), 1234) == 1234
    assert PredictConfig(resolution=0).network_area((500, 741), 1234) == 500 * 741
    assert PredictConfig(resolution=320).network_area((480, 640), 1234) == 240 * 320
    assert PredictConfig(resolution=320).network_area((640, 480), 1234) == 240 * 320
    with pytest.raises(ConfigError, match="native"):
        PredictConfig(resolution=0).network_area((10, 20000), 1)
