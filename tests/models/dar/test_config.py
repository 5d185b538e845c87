"""A configuration checks itself."""

import pytest

from nearfar.errors import ConfigError
from nearfar.models.dar.config import DARConfig


def test_defaults_are_sound_and_faults_are_found_at_once():
    assert DARConfig().vit is not None
    with pytest.raises(ConfigError, match=r"DARConfig\.near"):
        DARConfig(near=2.0, far=1.0)
