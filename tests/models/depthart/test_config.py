"""Impossible sizes are refused with the value in the message."""

import dataclasses

import pytest

from nearfar.errors import ConfigError
from nearfar.models.depthart.config import DepthARTConfig
from nearfar.models.depthart.presets import TINY, TINY_RGB
from nearfar.tokenizers.presets import TINY_DEPTH


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "0 is not a positive"),
        ({"depth": 2.0}, "2.0 is not a positive"),
        ({"heads": 7}, "width 1024, heads 7"),
        ({"classes": -1}, "classes -1"),
        ({"attention": "cosine"}, "cosine"),
        ({"modulation": "none"}, "none"),
        ({"activation": "relu"}, "relu"),
        ({"prefix": "encoder"}, "0 with encoder"),
        ({"semantics_width": 8}, "8 with tokenizer"),
        ({"tokenizer": TINY_DEPTH}, "takes no photo"),
    ],
)
def test_impossible_values(change, message):
    with pytest.raises(ConfigError, match=message):
        DepthARTConfig(**change)


def test_an_encoder_lets_the_tokenizer_know_depth_only():
    assert TINY.tokenizer == TINY_DEPTH and TINY_DEPTH.image_channels == 1
    assert TINY_RGB.tokenizer.image_channels == 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        TINY.width = 3
