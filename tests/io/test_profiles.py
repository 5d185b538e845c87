"""ICC profiles: a photo in another color space is the same picture in sRGB."""

import struct

import numpy as np
from PIL import Image, ImageCms

from nearfar.io.images import read_image, to_photo

RGB = np.random.default_rng(0).integers(0, 256, (10, 14, 3), dtype=np.uint8)


def saved(tmp_path, image, name="a.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def test_the_color_profile_is_applied_whatever_the_mode(tmp_path):
    """A file in linear light with its profile is the sRGB picture it stands for."""
    light = np.where(RGB / 255 <= 0.04045, RGB / 255 / 12.92, ((RGB / 255 + 0.055) / 1.055) ** 2.4)
    linear = np.rint(light * 255).astype(np.uint8)
    shown = np.rint(srgb_curve(linear / 255) * 255)
    profile = gamma_profile(1.0)
    alpha = np.full((10, 14, 1), 255, np.uint8)
    for name, image in {
        "rgb.png": Image.fromarray(linear),
        "rgba.png": Image.fromarray(np.concatenate([linear, alpha], axis=2)),
        "rgb.tif": Image.fromarray(linear),
    }.items():
        for photo in (
            read_image(saved(tmp_path, image, name, icc_profile=profile)),
            to_photo(Image.open(tmp_path / name)),
        ):
            assert np.abs(photo.rgb_HW3 - shown).max() <= 2, name


def test_srgb_pixels_stay_exact_and_broken_profiles_do_not_lose_the_photo(tmp_path, caplog):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = saved(tmp_path, Image.fromarray(RGB), icc_profile=srgb)
    assert np.array_equal(read_image(path).rgb_HW3, RGB) and not caplog.records
    for profile in (b"nothing", gamma_profile(1.0)[:200]):
        path = saved(tmp_path, Image.fromarray(RGB), icc_profile=profile)
        assert np.array_equal(read_image(path).rgb_HW3, RGB)
        assert "color profile cannot be used" in caplog.text
    grey = Image.fromarray(RGB[..., 0])  # a profile of three colors beside one channel
    read_image(saved(tmp_path, grey, "g.png", icc_profile=srgb))
    assert "color profile for RGB does not fit" in caplog.text


def srgb_curve(light):
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def gamma_profile(gamma):
    """An ICC profile of the sRGB primaries (adapted to D50) with a pure power as its curve."""

    def fixed(*values):
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    colors = {b"r": (0.4361, 0.2225, 0.0139), b"g": (0.3851, 0.7169, 0.0971)}
    colors[b"b"] = (0.1431, 0.0606, 0.7142)
    tags = {b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249)}
    for name, xyz in colors.items():
        tags[name + b"XYZ"] = b"XYZ \0\0\0\0" + fixed(*xyz)
        tags[name + b"TRC"] = b"curv\0\0\0\0" + struct.pack(">IH2x", 1, round(gamma * 256))
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content
    head = struct.pack(
        ">I4sI4s4s4s", start + len(body), b"none", 0x02400000, b"mntr", b"RGB ", b"XYZ "
    )
    head += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)
    return head + bytes(128 - len(head)) + table + body
