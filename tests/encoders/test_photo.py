import math

import pytest
import torch

from nearfar.encoders.base import JointEncoder
from nearfar.encoders.photo import PRESETS, PhotoEncoder, PhotoEncoderConfig, working_size
from nearfar.errors import ConfigError


@pytest.fixture
def encoder():
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        network = PhotoEncoder(PRESETS["micro"]).eval()
        torch.nn.init.normal_(network.decoder.maps.weight, std=0.1)
    return network.requires_grad_(False)


def photo(height, width, count=1):
    generator = torch.Generator().manual_seed(height * width)
    return torch.rand(count, 3, height, width, generator=generator)


@pytest.mark.parametrize("size", [(64, 96), (96, 64), (48, 144)])
def test_semantics_lie_on_the_coarse_grid_of_the_photo(encoder, size):
    semantics = encoder.semantics(photo(*size, count=2))
    assert semantics.shape == (2, (size[0] // 16) * (size[1] // 16), encoder.width)
    assert semantics.isfinite().all()


def test_level_of_the_depth_moves_metres_and_not_the_semantics(encoder):
    image = photo(64, 64)
    before, semantics = encoder.metric(image).depth_BHW, encoder.semantics(image)[..., -16:]
    encoder.decoder.globals[-1].bias.data[0] += math.log(3.0)
    torch.testing.assert_close(encoder.metric(image).depth_BHW, 3 * before, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(encoder.semantics(image)[..., -16:], semantics, rtol=1e-4, atol=1e-4)


def test_metric_has_the_size_of_the_photo_and_a_believable_camera(encoder):
    guess = encoder.metric(photo(70, 90))
    assert guess.depth_BHW.shape == guess.valid_BHW.shape == (1, 70, 90)
    assert guess.valid_BHW.dtype == torch.bool and (guess.depth_BHW > 0).all()
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


def test_a_photo_and_its_mirror_image_get_the_same_answer_mirrored(encoder):
    image = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(5))
    guess, mirrored = encoder.metric(image), encoder.metric(image.flip(-1))
    torch.testing.assert_close(mirrored.depth_BHW.flip(-1), guess.depth_BHW, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(mirrored.fov_x_deg_B, guess.fov_x_deg_B, rtol=1e-4, atol=1e-4)
    one, other = encoder(image).log_depth_BHW, encoder(image.flip(-1)).log_depth_BHW.flip(-1)
    assert (one - other).abs().max() > 1e-3  # what one pass alone says differs
    assert torch.equal(encoder.look(image).tokens_BLD, encoder(image).tokens_BLD)


def test_a_whole_photo_reaches_every_pixel(encoder):
    # attention over the last grid: a change in one corner moves the depth of the other
    image = photo(64, 64)
    changed = image.clone()
    changed[..., :8, :8] = 1 - changed[..., :8, :8]
    before, after = encoder(image).log_depth_BHW, encoder(changed).log_depth_BHW
    assert (before - after)[0, -1, -1].abs() > 1e-7


@pytest.mark.parametrize(
    ("photo_hw", "wanted"),
    [((480, 640), (192, 256)), ((1000, 3000), (128, 384)), ((3000, 1000), (384, 128)),
     ((64, 64), (224, 224)), ((1080, 1920), (160, 288))],
)  # fmt: skip
def test_working_size_keeps_area_and_aspect(photo_hw, wanted):
    assert working_size(*photo_hw, area=192 * 256) == wanted


def test_shrinking_takes_means_so_that_fine_stripes_vanish(encoder):
    stripes = torch.zeros(1, 3, 640, 640)
    stripes[..., ::2] = 1.0
    small = encoder.to_working_size(stripes)
    assert small.shape[-2:] == (64, 64)
    torch.testing.assert_close(
        small[..., 8:-8, 8:-8], torch.full((1, 3, 48, 48), 0.5), atol=0.02, rtol=0
    )


def test_default_preset_is_small_enough_to_embed():
    with torch.device("meta"):
        count = sum(p.numel() for p in PhotoEncoder(PRESETS["photo"]).parameters())
    assert 2 * count < 12.5e6  # bytes as fp16


def test_impossible_config_names_both_values():
    with pytest.raises(ConfigError, match="128.*5"):
        PhotoEncoderConfig(heads=5)
