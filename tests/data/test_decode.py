import io

import numpy as np
import pytest
from mini_c import depth_mm, encoded, npy, photo
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nearfar.data.decode import (
    exr_of,
    json_of,
    npy_of,
    npz_of,
    numbers_of,
    pfm_of,
    picture_of,
    picture_text_of,
    png16_of,
    rgb_of,
    same_size,
    text_of,
)
from nearfar.errors import DataError


def test_photos_keep_rgb_order_and_drop_alpha():
    np.testing.assert_array_equal(rgb_of(encoded(photo()), "x"), photo())
    alpha = np.dstack([photo(), np.zeros((6, 8), np.uint8)])
    np.testing.assert_array_equal(rgb_of(encoded(alpha), "x"), photo())
    gray = rgb_of(encoded(photo()[..., 0]), "x")
    assert gray.shape == (6, 8, 3) and (gray == 200).all()


def test_photos_are_turned_as_exif_says_unless_told_otherwise():
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # 90 degrees
    Image.fromarray(photo()).save(buffer, "PNG", exif=exif)
    assert rgb_of(buffer.getvalue(), "x").shape == (8, 6, 3)
    assert rgb_of(buffer.getvalue(), "x", upright=False).shape == (6, 8, 3)


def test_png16_gives_the_stored_values():
    values = png16_of(encoded(depth_mm()), "x")
    assert values.dtype == np.uint16
    np.testing.assert_array_equal(values, depth_mm())
    top = np.full((2, 3), 65535, np.uint16)
    np.testing.assert_array_equal(png16_of(encoded(top), "x"), top)
    pgm = b"P5\n8 6\n65535\n" + depth_mm().astype(">u2").tobytes()
    np.testing.assert_array_equal(png16_of(pgm, "x"), depth_mm())


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (encoded(depth_mm().astype(np.uint8)), r"d\.png: holds uint8 \[6, 8\], not 16-bit"),
        (encoded(photo()), r"d\.png: holds uint8 \[6, 8, 3\]"),
        (encoded(depth_mm())[:60], r"d\.png: is damaged or not an image"),
        (b"", r"d\.png: is damaged or not an image"),
    ],
)
def test_depth_of_a_wrong_kind_is_refused(content, finding):
    with pytest.raises(DataError, match=finding):
        png16_of(content, "d.png")


def test_masks_and_labels_are_never_converted():
    labels = np.array([[0, 10], [255, 3]], np.uint8)
    np.testing.assert_array_equal(picture_of(encoded(labels), "x"), labels)
    palette = Image.fromarray(labels, "L").convert("P")
    palette.putdata([5, 6, 7, 8])
    buffer = io.BytesIO()
    palette.save(buffer, "PNG")
    assert picture_of(buffer.getvalue(), "x").ravel().tolist() == [5, 6, 7, 8]
    buffer = io.BytesIO()
    Image.fromarray(labels > 5).save(buffer, "PNG")
    assert picture_of(buffer.getvalue(), "x").tolist() == [[0, 1], [1, 0]]
    rgba = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.testing.assert_array_equal(picture_of(encoded(rgba), "x"), rgba)


def test_text_of_a_png():
    info, buffer = PngInfo(), io.BytesIO()
    info.add_text("near", "1.0")
    Image.fromarray(depth_mm()).save(buffer, "PNG", pnginfo=info)
    assert picture_text_of(buffer.getvalue(), "x")["near"] == "1.0"
    with pytest.raises(DataError, match="x: is damaged"):
        picture_text_of(b"no picture", "x")


def test_numpy_files():
    array = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(npy_of(npy(array), "x"), array)
    buffer = io.BytesIO()
    np.savez(buffer, a=array, b=array + 1)
    arrays = npz_of(buffer.getvalue(), "x", ("b",))
    assert list(arrays) == ["b"] and arrays["b"][0, 0] == 1
    assert sorted(npz_of(buffer.getvalue(), "x")) == ["a", "b"]
    with pytest.raises(DataError, match=r"x: has no array 'c'"):
        npz_of(buffer.getvalue(), "x", ("a", "c"))
    with pytest.raises(DataError, match="an archive of a, b"):
        npy_of(buffer.getvalue(), "x")
    with pytest.raises(DataError, match="objects"):
        npy_of(npy(np.array([{}], object)), "x")
    with pytest.raises(DataError, match="x: is damaged"):
        npy_of(npy(array)[:-5], "x")
    with pytest.raises(DataError, match="x: is damaged"):
        npy_of(npy(array).replace(b"order", b"o'der"), "x")


def test_exr_takes_the_only_channel_whatever_its_name(tmp_path):
    import OpenEXR

    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    for channels in (
        {"odd": values},
        {"Y": values, "A": values + 9},
        {"A": values + 9, "G": values},
    ):
        OpenEXR.File(header, channels).write(str(tmp_path / "x.exr"))
        np.testing.assert_array_equal(exr_of((tmp_path / "x.exr").read_bytes(), "x"), values)
    OpenEXR.File(header, {"A": values, "C": values}).write(str(tmp_path / "x.exr"))
    with pytest.raises(DataError, match=r"x: has no channel Y or Z or G or R, only A, C"):
        exr_of((tmp_path / "x.exr").read_bytes(), "x")
    with pytest.raises(DataError, match=r"d\.exr: is damaged or not an OpenEXR"):
        exr_of(b"garbage", "d.exr")


def test_pfm_is_flipped():
    content = b"Pf\n2 2\n-1.0\n" + np.array([[3, 4], [1, 2]], "<f4").tobytes()
    assert pfm_of(content, "x").tolist() == [[1, 2], [3, 4]]
    with pytest.raises(DataError, match=r"d\.pfm: is a damaged or cut PFM"):
        pfm_of(content[:-2], "d.pfm")


def test_texts_numbers_and_json():
    assert text_of("\ufeffä".encode(), "x") == "ä"
    np.testing.assert_array_equal(numbers_of(b"1, 2\n-inf 4e1", "x", count=4), [1, 2, -np.inf, 40])
    assert json_of(b'{"a": [1]}', "x") == {"a": [1]}
    for wrong, finding in (
        (lambda: text_of(b"\xff", "x"), "x: is not text"),
        (lambda: numbers_of(b"1 2", "x", count=3), "x: has 2 numbers, not 3"),
        (lambda: numbers_of(b"1 two", "x"), "x: is not a list of numbers"),
        (lambda: json_of(b'{\n"a"', "x"), "x:2: is not JSON"),
    ):
        with pytest.raises(DataError, match=finding):
            wrong()


def test_sizes_that_differ_are_named():
    same_size(depth_mm(), photo(), "x")
    with pytest.raises(DataError, match=r"d\.png: depth is \[6, 8\], its photo \[12, 16\]"):
        same_size(depth_mm(), photo(12, 16), "d.png")
