"""Impossible sizes are refused with the value in the message."""

import dataclasses

import pytest

from nearfar.errors import ConfigError
from nearfar.models.ppd.config import PPDConfig


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 5}, "5 is odd"),
        ({"heads": 5}, "1024 / heads 5"),
        ({"width": 0}, "0 is not a positive"),
        ({"patch_size": 8.0}, "8.0 is not a positive"),
        ({"activation": "relu"}, "relu"),
    ],
)
def test_impossible_values(change, message):
    with pytest.raises(ConfigError, match=message):
        PPDConfig(**change)


def test_derived_sizes():
    config = PPDConfig()
    assert (config.coarse_patch, config.head_width) == (16, 64)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.width = 3
