import hashlib
import io
import logging
import math
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from nearfar.errors import InputError, MissingExtraError, NearfarError, ResourceError
from nearfar.io.images import Photo, read_image, to_photo, write_picture

RGB = np.random.default_rng(0).integers(0, 256, (10, 14, 3), dtype=np.uint8)


def saved(tmp_path, image, name="a.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def test_png_is_read_exactly(tmp_path):
    path = saved(tmp_path, Image.fromarray(RGB))
    photo = read_image(path)
    assert np.array_equal(photo.rgb_HW3, RGB) and photo.rgb_HW3.dtype == np.uint8
    assert photo.path == str(path) and photo.focal_px is None
    assert photo.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    photo.rgb_HW3[0] = 0  # writable, not a view of Pillow's buffer


@pytest.mark.parametrize(
    "name", ["a b.png", "\u00e4\u65e5\u672c.png", "new\nline.png", "%41[*].png"]
)
def test_odd_names(tmp_path, name):
    assert np.array_equal(read_image(saved(tmp_path, Image.fromarray(RGB), name)).rgb_HW3, RGB)


def test_one_pixel_and_grey(tmp_path):
    photo = read_image(saved(tmp_path, Image.new("L", (1, 1), 77)))
    assert photo.rgb_HW3.tolist() == [[[77, 77, 77]]]
    assert read_image(saved(tmp_path, Image.new("1", (2, 1), 1))).rgb_HW3.min() == 255


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_is_scaled(tmp_path, suffix):
    values = np.array([[0, 257, 25700, 65535]], np.uint16)
    path = saved(tmp_path, Image.fromarray(values), f"a.{suffix}")
    assert read_image(path).rgb_HW3[..., 1].tolist() == [[0, 1, 100, 255]]


def test_float_tiff(tmp_path):
    values = np.array([[0, 0.5, 1, np.nan]], np.float32)
    rgb = read_image(saved(tmp_path, Image.fromarray(values), "a.tif")).rgb_HW3
    assert rgb[..., 0].tolist() == [[0, 128, 255, 0]]


def test_palette_and_cmyk(tmp_path):
    palette = Image.fromarray(RGB).quantize(16)
    rgb = read_image(saved(tmp_path, palette)).rgb_HW3
    assert np.array_equal(rgb, np.array(palette.convert("RGB")))
    cmyk = Image.new("CMYK", (3, 2), (0, 255, 255, 0))  # red
    red = read_image(saved(tmp_path, cmyk, "a.jpg")).rgb_HW3
    assert red.shape == (2, 3, 3) and red[0, 0, 0] > 200 and red[0, 0, 1:].max() < 60


def test_transparent_pixels_lie_on_mid_grey(tmp_path):
    image = Image.new("RGBA", (3, 1))
    for x, pixel in enumerate([(255, 0, 0, 255), (255, 0, 0, 0), (255, 1, 0, 128)]):
        image.putpixel((x, 0), pixel)
    rgb = read_image(saved(tmp_path, image)).rgb_HW3[0]
    assert rgb[0].tolist() == [255, 0, 0] and rgb[1].tolist() == [128, 128, 128]
    assert abs(int(rgb[2, 0]) - 192) <= 1 and abs(int(rgb[2, 1]) - 64) <= 1
    grey = Image.new("LA", (2, 1), (10, 0))
    grey.putpixel((1, 0), (40, 255))
    photo = read_image(saved(tmp_path, grey))
    assert photo.rgb_HW3.tolist() == [[[128] * 3, [40] * 3]]
    assert photo.opaque_HW.tolist() == [[False, True]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([9, 9, 9, 200, 0, 0])
    palette.putpixel((1, 0), 1)
    rgb = read_image(saved(tmp_path, palette, "p.png", transparency=0)).rgb_HW3
    assert rgb.tolist() == [[[128] * 3, [200, 0, 0]]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = {
        1: RGB,
        2: RGB[:, ::-1],
        3: RGB[::-1, ::-1],
        4: RGB[::-1],
        5: RGB.swapaxes(0, 1),
        6: np.rot90(RGB, 1),
        7: RGB[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(RGB, -1),
    }[orientation]
    path = saved(tmp_path, Image.fromarray(np.ascontiguousarray(turned)), exif=exif)
    assert np.array_equal(read_image(path).rgb_HW3, RGB)


def test_exif_focal_length_in_pixels(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 28
    path = saved(tmp_path, Image.fromarray(RGB), "a.jpg", exif=exif)
    expected = 28 * math.hypot(10, 14) / math.hypot(36, 24)
    assert read_image(path).focal_px == pytest.approx(expected)
    exif.get_ifd(0x8769)[0xA405] = 0  # what cameras write when they do not know
    assert read_image(saved(tmp_path, Image.fromarray(RGB), "b.jpg", exif=exif)).focal_px is None


def test_damaged_exif_does_not_lose_the_photo(tmp_path):
    path = saved(
        tmp_path, Image.fromarray(RGB), exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff garbage"
    )
    assert np.array_equal(read_image(path).rgb_HW3, RGB)


def test_animation_gives_its_first_frame_and_a_note(tmp_path, caplog):
    frames = [Image.new("RGB", (4, 3), color) for color in ("red", "lime", "blue")]
    path = saved(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    with caplog.at_level(logging.WARNING):
        assert read_image(path).rgb_HW3[0, 0].tolist() == [255, 0, 0]
    assert "first" in caplog.text


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.gif", "a.bmp"])
def test_cut_short(tmp_path, name):
    big = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = saved(tmp_path, Image.fromarray(big), name).read_bytes()
    cut = tmp_path / f"cut_{name}"
    cut.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError) as caught:
        read_image(cut)
    assert str(caught.value).startswith(str(cut)) and "\n" not in str(caught.value)


def test_text_empty_missing_and_folder(tmp_path):
    (tmp_path / "text.jpg").write_text("this is not a photo")
    (tmp_path / "empty.jpg").touch()
    for name, finding in {
        "text.jpg": "not an image",
        "empty.jpg": "is empty",
        "missing.jpg": "no such file",
        ".": "a folder",
        "nul\0.jpg": "not a valid path",
    }.items():
        with pytest.raises(InputError, match=finding):
            read_image(f"{tmp_path}/{name}")


def test_too_many_pixels_by_the_header_alone(tmp_path):
    path = saved(tmp_path, Image.fromarray(RGB))
    assert read_image(path, max_pixels=140).rgb_HW3.shape == (10, 14, 3)
    with pytest.raises(ResourceError, match=r"14 x 10 pixels.*139.*NEARFAR_MAX_PIXELS"):
        read_image(path, max_pixels=139)
    # a header that promises 20000 x 20000 pixels, with no pixels behind it
    content = bytearray(path.read_bytes())
    content[16:24] = (20000).to_bytes(4, "big") * 2
    import zlib

    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)
    with pytest.raises(ResourceError, match="400000000 pixels"):
        read_image(path)


def test_damaged_bytes_never_escape_as_other_errors(tmp_path):
    """Hundreds of damaged files: a photo or one NearfarError, nothing else."""
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged"
    for suffix, options in {
        "PNG": {},
        "JPEG": {"exif": Image.Exif()},
        "GIF": {},
        "TIFF": {"compression": "tiff_lzw"},
        "WEBP": {},
        "BMP": {},
        "PPM": {},
    }.items():
        buffer = io.BytesIO()
        Image.fromarray(RGB).save(buffer, suffix, **options)
        for _ in range(60):
            content = bytearray(buffer.getvalue())
            for _ in range(int(rng.integers(1, 6))):
                content[int(rng.integers(0, len(content)))] = int(rng.integers(0, 256))
            path.write_bytes(content[: int(rng.integers(1, len(content) + 1))])
            try:
                assert read_image(path, max_pixels=10**6).rgb_HW3.ndim == 3
            except NearfarError as error:
                assert "\n" not in str(error)


def test_heif_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    with pytest.raises(MissingExtraError, match=r"pip install .pillow-heif"):
        read_image(tmp_path / "a.heic")


def test_standard_input(tmp_path, monkeypatch):
    content = saved(tmp_path, Image.fromarray(RGB)).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert np.array_equal(read_image("-").rgb_HW3, RGB)


def test_everything_predict_takes_is_the_same_photo(tmp_path):
    path = saved(tmp_path, Image.fromarray(RGB))
    chw = np.moveaxis(RGB, 2, 0).astype(np.float32) / 255
    given = [
        path,
        str(path),
        Image.fromarray(RGB),
        RGB,
        RGB[:, ::-1][:, ::-1],
        chw,
        chw.astype(np.float64),
        torch.from_numpy(chw),
        torch.from_numpy(chw).requires_grad_(),
        torch.from_numpy(RGB),
        RGB.astype(np.uint16) * 257,
        np.concatenate([RGB, np.full((10, 14, 1), 255, np.uint8)], axis=2),
        read_image(path),
    ]
    for source in given:
        photo = to_photo(source)
        assert np.array_equal(photo.rgb_HW3, RGB) and len(photo.sha256) == 64
        assert photo.rgb_HW3.flags.c_contiguous
    assert to_photo(RGB).sha256 == to_photo(chw).sha256 != to_photo(RGB[:5]).sha256


def test_grey_arrays():
    grey = RGB[..., 0]
    for source in (grey, grey[..., None], grey / 255.0, (grey / 255.0)[None]):
        assert np.array_equal(to_photo(source).rgb_HW3, grey[..., None].repeat(3, 2))


@pytest.mark.parametrize(
    ("source", "finding"),
    [
        (RGB.astype(np.float32), "0..1"),
        (RGB / 255, r"\[3,H,W\]"),
        (np.full((3, 2, 2), np.nan), "0..1"),
        (np.moveaxis(RGB, 2, 0), r"\[H,W,3\]"),
        (RGB[None], "batch of 1.*image.0."),
        (np.zeros((2, 3, 4, 4)), "batch of 2.*list"),
        (np.full((3, 2, 2), -0.5), "normalization"),
        (np.full((3, 2, 2), 200.0), "Divide by 255"),
        (np.full((3, 2, 2), 2000.0), "Divide by 65535"),
        (np.full((3, 2, 2), np.inf), "12 float values are NaN or infinite.*nan_to_num"),
        (RGB.astype(np.int64), "int64"),
        (np.zeros((0, 4, 3), np.uint8), "empty"),
        ([[1, 2]], "list"),
        (None, "NoneType"),
    ],
)
def test_arrays_that_are_no_photo(source, finding):
    with pytest.raises(InputError, match=finding):
        to_photo(source)


def test_limit_holds_for_arrays_and_pictures():
    for source in (RGB, Image.fromarray(RGB), np.zeros((3, 10, 14))):
        with pytest.raises(ResourceError):
            to_photo(source, max_pixels=139)


def test_write_picture(tmp_path):
    write_picture(RGB[:, ::-1], tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png").rgb_HW3, RGB[:, ::-1])
    assert [f.name for f in tmp_path.iterdir()] == ["a.png"]
    assert isinstance(read_image(tmp_path / "a.png"), Photo)


def test_a_large_photo_says_what_it_needs_before_it_is_decoded(tmp_path, caplog):
    path = tmp_path / "large.png"
    Image.new("1", (8000, 5000)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])  # its pixels cannot be decoded
    with pytest.raises(InputError):
        read_image(path)
    assert "large.png: 40 megapixels, depth of it needs about 1.8 GB of memory" in caplog.text
    Image.new("1", (800, 500)).save(path)
    caplog.clear()
    read_image(path)
    assert not caplog.records
