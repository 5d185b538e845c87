"""Impossible sizes are refused with the value in the message."""

import dataclasses
from dataclasses import replace

import pytest

from nearfar.errors import ConfigError
from nearfar.models.ppd.config import PPDConfig
from nearfar.models.ppd.presets import VIDEO, VIDEO_TINY


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


def test_published_layout():
    assert (VIDEO.window, VIDEO.key_frames, VIDEO.stride) == (16, (0, 8, 15), 13)
    assert VIDEO.trained_hw == (512, 512) and VIDEO.positions == "table"
    assert not VIDEO.shared_noise and VIDEO_TINY.shared_noise
    assert VIDEO.temporal_before == (21, 22, 23) and VIDEO.reference_from == 18


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"positions": "learned"}, "positions"),
        ({"temporal_before": (3,)}, "temporal_before"),
        ({"temporal_before": (7, 6)}, "temporal_before"),
        ({"reference_from": 2}, "reference_from"),
        ({"key_frames": (1, 8)}, "key_frames"),
        ({"key_frames": (0, 16)}, "key_frames"),
        ({"window": 3, "key_frames": (0, 1, 2)}, "window"),
        ({"grid_hw": (0, 4)}, "grid"),
        ({"heads": 5}, "heads"),
    ],
)
def test_impossible_sizes_are_refused(change, named):
    with pytest.raises(ConfigError, match=named):
        replace(VIDEO_TINY, **change)


def test_parts_can_be_switched_off():
    bare = replace(VIDEO_TINY, temporal_before=(), reference_from=VIDEO_TINY.depth)
    assert bare.temporal_before == ()
