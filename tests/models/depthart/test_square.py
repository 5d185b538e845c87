"""Squashing to the tokenizer's square; depth as in the golden normalization."""

import numpy as np
import torch
from PIL import Image

from nearfar.encoders.photo import PRESETS as PHOTO_ENCODERS
from nearfar.encoders.photo import PhotoEncoder
from nearfar.encoders.tiny import PRESETS as TINY_ENCODERS
from nearfar.encoders.tiny import TinyEncoder
from nearfar.models.depthart.presets import DEPTHART, MICRO, TINY, TINY_PHOTO
from nearfar.models.depthart.square import photo_side, squash_depth, squash_photo


def test_photos_shrink_by_area_and_grow_by_bicubic():
    ramp = torch.linspace(0, 1, 32).expand(1, 3, 64, 32)
    small = squash_photo(ramp, MICRO)
    assert small.shape == (1, 3, 16, 16)
    torch.testing.assert_close(small, ramp.view(1, 3, 64, 16, 2).mean(-1)[:, :, ::4])
    large = squash_photo(ramp[..., :4, :4], MICRO)
    assert large.shape == (1, 3, 16, 16) and large.min() >= 0 and large.max() <= 1


def test_photos_of_the_published_network_shrink_by_pillows_bicubic():
    photo = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    image = torch.from_numpy(photo).permute(2, 0, 1)[None] / 255
    theirs = np.asarray(Image.fromarray(photo).resize((256, 256), Image.Resampling.BICUBIC))
    apart = 255 * squash_photo(image, DEPTHART)[0].permute(1, 2, 0) - torch.tensor(theirs)
    assert apart.abs().mean() < 0.4


def test_an_encoder_sees_a_token_a_cell_whatever_its_stride():
    encoder = PhotoEncoder(PHOTO_ENCODERS["micro"])
    assert squash_photo(torch.zeros(1, 3, 192, 256), TINY_PHOTO, encoder).shape[-2:] == (192, 192)
    assert squash_photo(torch.zeros(1, 3, 192, 256), TINY_PHOTO).shape[-2:] == (96, 96)
    tiny = TinyEncoder(TINY_ENCODERS["micro"])
    assert photo_side(TINY, tiny) == photo_side(TINY, None) == 96


def test_depth_equals_golden_where_all_is_known(networks, golden):
    network, io = networks["depthart"], golden("depthart")
    depth = io["in.depth"][:, 0]
    known = torch.ones_like(depth, dtype=torch.bool)
    image = squash_depth(depth, valid_BHW=known, sky_BHW=~known, config=network.config)
    assert network.config.curve == DEPTHART.curve == "linear_q98"
    assert torch.equal(squash_photo(io["in.image01"], network.config), io["in.image01"])
    expected = io["out.depth_normalised"].expand(-1, 3, -1, -1)
    torch.testing.assert_close(image, expected, atol=1e-6, rtol=0)
    f = network.tokenizer.features(image)
    torch.testing.assert_close(f, io["out.f_depth"], atol=1e-5, rtol=0)


def test_sky_and_unknown_pixels_are_the_far_end_and_do_not_count():
    depth = torch.linspace(1, 5, 96 * 96).view(1, 96, 96).clone()
    valid, sky = torch.ones(1, 96, 96, dtype=torch.bool), torch.zeros(1, 96, 96, dtype=torch.bool)
    whole = squash_depth(depth, valid_BHW=valid, sky_BHW=sky, config=TINY)
    sky[:, :10], valid[:, 10:20] = True, False
    depth[:, :20] = 0
    holed = squash_depth(depth, valid_BHW=valid, sky_BHW=sky, config=TINY)
    assert (holed[:, :, :20] == 1).all() and holed[:, :, 20:].min() == -1
    assert whole[:, :, :20].max() < 0
