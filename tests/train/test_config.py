import pytest

from nearfar.errors import ConfigError
from nearfar.train.config import DataConfig, LogConfig, TrainConfig


@pytest.mark.parametrize(
    ("config", "values", "key"),
    [
        (TrainConfig, {"steps": 0}, "train.steps"),
        (TrainConfig, {"steps": 1, "learning_rate": 0.0}, "train.learning_rate"),
        (TrainConfig, {"steps": 1, "learning_rate": float("nan")}, "train.learning_rate"),
        (TrainConfig, {"steps": 1, "schedule": "cosin"}, "train.schedule"),
        (TrainConfig, {"steps": 1, "dtype": "fp16"}, "train.dtype"),
        (TrainConfig, {"steps": 1, "ema_decay": 1.0}, "train.ema_decay"),
        (TrainConfig, {"steps": 1, "final_fraction": 2.0}, "train.final_fraction"),
        (DataConfig, {"reuse": 0.0}, "data.reuse"),
        (DataConfig, {"crop": (0, 8)}, "data.size"),
        (DataConfig, {"source": "folder"}, "data.path"),
        (LogConfig, {"keep": 0}, "log.keep"),
    ],
)
def test_impossible_values_are_refused_with_their_key(config, values, key):
    with pytest.raises(ConfigError) as caught:
        config(**values)
    assert caught.value.where == key
