"""Focal lengths of EXIF: what agrees is used, what is absurd is told and left out."""

import io
import math

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import IFDRational

from nearfar.geometry.camera import fov_from_focal
from nearfar.io.exif import focal_px_of, orientation_of, turned

SIZE = (400, 600)
DENSITY = 600 / 22.3  # pixels per mm of an APS-C sensor
PLANE = {0xA20E: IFDRational(round(DENSITY * 25.4 * 1000), 1000), 0xA210: 2, 0xA002: 600}


def focal(tags, size_hw=SIZE):
    exif = Image.Exif()
    exif.get_ifd(0x8769).update(tags)
    return focal_px_of(exif, size_hw, "a.jpg")


def test_millimetres_and_focal_plane_resolution():
    found = focal({0x920A: 100.0, **PLANE})
    expected = 2 * math.degrees(math.atan(22.3 / 2 / 100))
    assert fov_from_focal(found, SIZE) == pytest.approx(expected, abs=0.01)
    centimetres = {0x920A: 100.0, 0xA20E: DENSITY * 10, 0xA210: 3}
    assert focal(centimetres) == pytest.approx(found, rel=1e-3)
    # made smaller afterwards, turned upright: the same field of view
    assert focal({0x920A: 100.0, **PLANE, 0xA003: 400}, (150, 100)) == pytest.approx(found / 4)


def test_two_statements_that_agree():
    tags = {0x920A: 100.0, 0xA405: 161, **PLANE}
    assert fov_from_focal(focal(tags), SIZE) == pytest.approx(12.74, abs=0.05)


@pytest.mark.parametrize("value", [1, 9999, 65535])
def test_absurd_values_are_ignored_with_a_note(value, caplog):
    assert focal({0xA405: value}) is None
    assert f"a.jpg: EXIF states a focal length like {value} mm on film: ignored" in caplog.text
    assert focal({0xA405: value, 0x920A: 100.0, **PLANE}) == pytest.approx(100 * DENSITY, rel=1e-4)


@pytest.mark.parametrize("tags", [{}, {0xA405: 0}, {0x920A: 50.0}, {0xA405: "?"}, {0x920A: 0}])
def test_nothing_said_is_nothing_noted(tags, caplog):
    assert focal(tags) is None and not caplog.records


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({0xA405: 80, 0x920A: 100.0, **PLANE}, "degrees"),  # they disagree
        ({0xA405: 28, 0x920A: 500.0}, "of 500 mm like 28 mm"),
        ({0xA405: 28, 0xA002: 600, 0xA003: 200}, "another shape"),  # cropped since
        ({0x920A: 100.0, **PLANE, 0xA20E: 3.0}, "sensor"),
    ],
)
def test_what_disagrees_is_ignored_with_a_note(tags, words, caplog):
    assert focal(tags) is None
    assert words in caplog.text


@pytest.mark.parametrize("orientation", range(1, 9))
def test_arrays_are_turned_as_pillow_turns_the_photo(orientation):
    stored, exif, file = np.arange(12, dtype=np.uint8).reshape(3, 4), Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(file, "PNG", exif=exif)
    assert orientation_of(file.getvalue()) == orientation
    shown = np.asarray(ImageOps.exif_transpose(Image.open(file)))
    assert np.array_equal(turned(stored, orientation), shown)


def test_no_orientation_is_upright():
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 9
    Image.new("L", (2, 2)).save(file, "PNG", exif=exif)
    assert orientation_of(file.getvalue()) == orientation_of(b"no photo") == 1
