from dataclasses import FrozenInstanceError, replace

import pytest

from nearfar.errors import ConfigError
from nearfar.models.var_depth.config import VarDepthConfig, require_request, require_stages
from nearfar.models.var_depth.presets import COMPAT, MICRO, PRESETS, TINY
from nearfar.tokenizers.presets import MICRO as FOUR_SCALES


def test_config_is_frozen_and_checked():
    config = VarDepthConfig()
    assert (config.width, config.depth, config.tokenizer.token_count) == (1920, 30, 2240)
    with pytest.raises(FrozenInstanceError):
        config.width = 3
    with pytest.raises(ConfigError, match="VarDepthConfig.depth"):
        VarDepthConfig(depth=-1)


@pytest.mark.parametrize(
    ("base", "change", "words"),
    [
        (MICRO, {"width": 0}, "width"),
        (MICRO, {"heads": 3}, "Rotary"),
        (MICRO, {"ffn": "relu"}, "swiglu"),
        (MICRO, {"curve": "cubic"}, "curve"),
        (MICRO, {"ladder_width": 20}, "16"),
        (MICRO, {"prefix_tokens": -1}, "negative"),
        (MICRO, {"semantics_width": 3}, "semantics_width"),
        (MICRO, {"prefix_mode": "static"}, "adapter"),
        (TINY, {"photo": "tokenizer", "semantics_width": 0}, "depth-only"),
        (COMPAT, {"spatial": "ladder"}, "released"),
        (COMPAT, {"has_null": True}, "released"),
    ],
)
def test_what_does_not_go_together_is_refused(base, change, words):
    with pytest.raises(ConfigError, match=words):
        replace(base, **change)


def test_every_preset_has_ten_stages():
    for config in PRESETS.values():
        require_stages(config)
    with pytest.raises(ConfigError, match="4 scales"):
        require_stages(replace(MICRO, tokenizer=FOUR_SCALES))


def test_only_the_number_of_samples_can_be_asked_for():
    require_request(MICRO, steps=1, area=1600, samples=1)
    with pytest.raises(ConfigError, match="no sampling steps"):
        require_request(MICRO, steps=10, area=1600, samples=1)
