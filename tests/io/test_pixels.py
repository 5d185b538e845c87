"""Pixel values of floats and 16 bits as 8-bit RGB."""

import numpy as np
import pytest
from PIL import Image

from nearfar.errors import InputError
from nearfar.io.images import read_image

RGB = np.random.default_rng(0).integers(0, 256, (10, 14, 3), dtype=np.uint8)


def saved(tmp_path, image, name="a.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


@pytest.mark.parametrize("scale", [1, 255, 65535])
def test_float_tiff_of_any_usual_range_is_the_same_picture(tmp_path, scale):
    values = (RGB[..., 0].astype(np.float32) / 255 * scale).astype(np.float32)
    rgb = read_image(saved(tmp_path, Image.fromarray(values), "a.tif")).rgb_HW3
    assert np.array_equal(rgb[..., 0], RGB[..., 0])


@pytest.mark.parametrize("low_high", [(0, 3.2), (-1, 1), (0, 900), (0, 1e9)])
def test_float_tiff_of_another_range_is_refused_with_the_remedy(tmp_path, low_high):
    values = np.linspace(*low_high, 12, dtype=np.float32).reshape(3, 4)
    with pytest.raises(InputError, match="Scale them to 0..1"):
        read_image(saved(tmp_path, Image.fromarray(values), "a.tif"))


def test_dark_sixteen_bit_values_get_a_note(tmp_path, caplog):
    read_image(saved(tmp_path, Image.fromarray(np.full((2, 2), 4000, np.uint16))))
    assert "16-bit values reach only 4000 of 65535" in caplog.text
