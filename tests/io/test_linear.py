"""Linear light as pictures: EXR, Radiance HDR, the tone curve."""

import numpy as np
import OpenEXR
import pytest

from nearfar.errors import InputError, ResourceError
from nearfar.io.images import read_image
from nearfar.io.linear import srgb_of_light

RGB = np.random.default_rng(0).integers(0, 256, (10, 14, 3), dtype=np.uint8)
LIGHT = np.where(RGB / 255 <= 0.04045, RGB / 255 / 12.92, ((RGB / 255 + 0.055) / 1.055) ** 2.4)


def write_exr(path, channels):
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}
    OpenEXR.File(header, channels).write(str(path))
    return path


def planes(light):
    return {name: light[..., i].astype(np.float32).copy() for i, name in enumerate("RGB")}


def test_exr_within_0_to_1_is_the_srgb_picture(tmp_path):
    path = write_exr(tmp_path / "a.exr", planes(LIGHT))
    assert np.array_equal(read_image(path).rgb_HW3, RGB)
    grey = write_exr(tmp_path / "y.exr", {"Y": planes(LIGHT)["G"]})
    assert np.array_equal(read_image(grey).rgb_HW3, RGB[..., 1:2].repeat(3, 2))
    with pytest.raises(ResourceError, match="14 x 10"):
        read_image(path, max_pixels=100)


def test_exr_alpha_is_premultiplied_and_marks_what_is_seen(tmp_path):
    alpha = np.ones((10, 14), np.float32)
    alpha[:4] = 0
    channels = {**planes(LIGHT * alpha[..., None]), "A": alpha}
    photo = read_image(write_exr(tmp_path / "a.exr", channels))
    assert np.array_equal(photo.opaque_HW, alpha > 0)
    assert np.array_equal(photo.rgb_HW3[4:], RGB[4:]) and (photo.rgb_HW3[:4] == 128).all()


def test_exr_of_depth_is_no_picture(tmp_path):
    path = write_exr(tmp_path / "z.exr", {"Z": np.ones((3, 4), np.float32)})
    with pytest.raises(InputError, match="no colors R, G, B, only channels Z"):
        read_image(path)


def test_scene_light_is_exposed_and_rolled_off(caplog):
    light = np.linspace(1, 1000, 3000, dtype=np.float32).reshape(30, 100, 1).repeat(3, 2)
    rgb = srgb_of_light(light, "a.hdr")
    assert (np.diff(rgb[..., 0].ravel().astype(int)) >= 0).all()  # brighter stays brighter
    assert rgb.max() == 255 and 60 < np.median(rgb) < 220
    assert np.abs(srgb_of_light(light * 1e-6, "dim").astype(int) - rgb).max() <= 1
    assert "a.hdr: light outside 0..1" in caplog.text


def test_light_that_is_not_a_number_is_black_and_infinite_is_white():
    light = np.full((4, 4, 3), 0.5, np.float32)
    light[0, 0], light[0, 1], light[0, 2] = np.nan, -3, np.inf
    assert srgb_of_light(light, "a")[0].mean(-1).tolist() == [0, 0, 255, 188]
    with pytest.raises(InputError, match="no light"):
        srgb_of_light(np.full((4, 4, 3), -1, np.float32), "a")


def test_radiance_hdr(tmp_path):
    path = tmp_path / "a.hdr"
    pixels = bytes([128, 64, 32, 128]) * 12  # mantissas / 256 * 2^(exponent - 128)
    path.write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 3 +X 4\n" + pixels)
    photo = read_image(path)
    assert photo.rgb_HW3.shape == (3, 4, 3)
    assert np.abs(photo.rgb_HW3[0, 0].astype(int) - [188, 137, 99]).max() <= 1
    with pytest.raises(ResourceError):
        read_image(path, max_pixels=11)
    path.write_bytes(b"#?RADIANCE\n\n-Y 3 +X 4\n")
    with pytest.raises(InputError, match="damaged"):
        read_image(path)
