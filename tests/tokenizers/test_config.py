import pytest

from nearfar.errors import ConfigError
from nearfar.tokenizers.config import VAR_SCALES, VQConfig, require_scales


def test_sizes_follow_from_multipliers_and_scales():
    config = VQConfig()
    assert (config.stride, config.grid, config.image_size) == (16, 16, 256)
    assert config.token_count == 680
    switti = VQConfig(scales=(1, 2, 3, 4, 6, 9, 13, 18, 24, 32))
    assert (switti.image_size, switti.token_count) == (512, 2240)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"codebook": 0}, "VQConfig.codebook: 0 is not a positive integer"),
        ({"groups": 7}, "channels 160 is no multiple of 7"),
        ({"multipliers": ()}, "VQConfig.multipliers"),
        ({"residual": 1.5}, "VQConfig.residual: 1.5"),
        ({"scales": (1, 3, 2)}, "not growing"),
        ({"scales": ()}, "not growing"),
        ({"scales": tuple(range(1, 19))}, "18 scales with four shared"),
        ({"phi_count": -1}, "phi"),
    ],
)
def test_impossible_sizes_are_named(options, words):
    with pytest.raises(ConfigError, match=words):
        VQConfig(**options)


def test_scales_must_end_at_the_grid():
    require_scales(VAR_SCALES, last=16)
    with pytest.raises(ConfigError, match="the last is 16, the features have 12 cells a side"):
        require_scales(VAR_SCALES, last=12)
