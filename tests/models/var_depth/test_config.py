from dataclasses import FrozenInstanceError

import pytest

from nearfar.errors import ConfigError
from nearfar.models.var_depth.config import VarDepthConfig


def test_config_is_frozen_and_checked():
    config = VarDepthConfig()
    assert (config.width, config.depth, config.tokenizer.token_count) == (1920, 30, 2240)
    with pytest.raises(FrozenInstanceError):
        config.width = 3
    with pytest.raises(ConfigError, match="VarDepthConfig.depth"):
        VarDepthConfig(depth=-1)
