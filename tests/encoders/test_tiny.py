import math

import pytest
import torch

from nearfar.encoders.base import JointEncoder
from nearfar.encoders.tiny import PRESETS, TinyEncoder, TinyEncoderConfig
from nearfar.errors import ConfigError


@pytest.fixture
def encoder():
    generator = torch.Generator().manual_seed(0)
    network = TinyEncoder(PRESETS["micro"]).eval()
    for parameter in network.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    return network


def photo(height, width, count=1):
    generator = torch.Generator().manual_seed(height * width)
    return torch.rand(count, 3, height, width, generator=generator)


@pytest.mark.parametrize("size", [(64, 96), (96, 64), (48, 160)])
def test_semantics_lie_on_the_coarse_grid_of_the_photo(encoder, size):
    semantics = encoder.semantics(photo(*size, count=2))
    assert semantics.shape == (2, (size[0] // 8) * (size[1] // 8), encoder.width)
    assert semantics.isfinite().all()


def test_depth_part_of_the_semantics_ignores_metric_scale(encoder):
    image = photo(64, 96)
    before = encoder.semantics(image)[..., -16:]
    encoder.globals[-1].bias.data[0] += math.log(7.0)
    after = encoder.semantics(image)[..., -16:]
    torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-4)


def test_scale_head_multiplies_metres(encoder):
    image = photo(64, 96)
    before = encoder.metric(image).depth_BHW
    encoder.globals[-1].bias.data[0] += math.log(3.0)
    torch.testing.assert_close(encoder.metric(image).depth_BHW, 3 * before, rtol=1e-4, atol=1e-6)


def test_metric_has_the_size_of_the_photo_and_a_believable_camera(encoder):
    guess = encoder.metric(photo(70, 90))
    assert guess.depth_BHW.shape == guess.valid_BHW.shape == (1, 70, 90)
    assert guess.valid_BHW.dtype == torch.bool
    assert (guess.depth_BHW > 0).all()
    assert 0 < guess.fov_x_deg_B.item() < 180


def test_results_do_not_depend_on_the_batch(encoder):
    images = photo(64, 96, count=3)
    together = encoder.semantics(images)
    alone = torch.cat([encoder.semantics(image[None]) for image in images])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_both_says_what_semantics_and_metric_say_in_one_pass(encoder):
    assert isinstance(encoder, JointEncoder)
    image, passes = photo(70, 90, count=2), []
    encoder.register_forward_hook(lambda *_: passes.append(1))
    semantics, guess = encoder.both(image)
    assert len(passes) == 1
    assert torch.equal(semantics, encoder.semantics(image))
    for one, other in zip(guess, encoder.metric(image), strict=True):
        assert torch.equal(one, other)


def test_working_size_keeps_area_and_aspect():
    encoder = TinyEncoder(PRESETS["micro"])
    small = encoder.to_working_size(photo(480, 640))
    assert small.shape[-2:] == (32, 48)
    assert encoder.to_working_size(photo(1200, 40)).shape[-2] % 8 == 0


def test_default_preset_is_small_enough_to_embed():
    with torch.device("meta"):
        count = sum(p.numel() for p in TinyEncoder(PRESETS["tiny"]).parameters())
    assert 3e6 < count < 9e6


def test_impossible_config_names_both_values():
    with pytest.raises(ConfigError, match="192.*5"):
        TinyEncoderConfig(heads=5)
