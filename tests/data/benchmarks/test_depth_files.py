import numpy as np
import pytest
from mini_d1 import FORMATS, exr_bytes, folder_depth, moge_codes, pfm, save, write_formats
from PIL import Image

from nearfar.data.benchmarks.depth_files import stored_depth
from nearfar.errors import DataError


def read(path):
    return stored_depth(path.read_bytes(), path.name, str(path))


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_metres(tmp_path, form):
    write_formats(tmp_path)
    stored = read(tmp_path / f"depths/d.{form}")
    units = stored.units_per_metre or (1000 if form == "png" else 1)
    metres = np.where(stored.known_HW, stored.values_HW, 0) / units
    tolerance = 1e-5 * 4 if form == "moge.png" else 1e-7  # half a step of the code is 1.6e-5
    np.testing.assert_allclose(metres, folder_depth(), rtol=tolerance)
    assert stored.is_integer == (form == "png")
    assert (stored.units_per_metre is not None) == (form == "moge.png")
    assert stored.values_HW.dtype == np.float64


def test_what_formats_say_of_unknown_and_sky(tmp_path):
    save(tmp_path / "m.png", moge_codes(), text={"near": "1", "far": "100"})
    stored = read(tmp_path / "m.png")
    assert stored.sky_HW[2].all() and stored.sky_HW.sum() == 8
    assert not stored.known_HW[[2, 3]].any() and stored.known_HW.sum() == 32
    np.save(tmp_path / "n.npy", np.array([[[np.nan, np.inf, 0, -1]]], np.float16))
    stored = read(tmp_path / "n.npy")
    assert stored.known_HW.tolist() == [[False, False, True, True]] and stored.sky_HW is None


def test_codes_of_sixteen_bits(tmp_path):
    codes = np.array([[0, 1, 65535]], np.uint16)
    Image.fromarray(codes).save(tmp_path / "d.tif")
    np.save(tmp_path / "d.npy", codes)
    save(tmp_path / "d.png", codes)
    (tmp_path / "d.pgm").write_bytes(b"P5 3 1 65535\n" + codes.astype(">u2").tobytes())
    for suffix in ("tif", "npy", "png", "pgm"):
        stored = read(tmp_path / f"d.{suffix}")
        assert stored.is_integer and stored.values_HW.tolist() == [[0, 1, 65535]]
        assert stored.known_HW.tolist() == [[False, True, True]]


def test_pictures_that_nearfar_writes(tmp_path):
    codes = np.array([[0, 1500]], np.uint16)
    save(tmp_path / "d.png", codes, text={"nearfar": "{}", "kind": "metric", "unit": "millimetre"})
    stored = read(tmp_path / "d.png")
    assert stored.values_HW[0, 1] / stored.units_per_metre == 1.5
    text = {"nearfar": "{}", "kind": "affine_depth", "unit": "normalized", "near": "1", "far": "2"}
    save(tmp_path / "d.png", codes, text=text)
    with pytest.raises(DataError, match=r"d\.png: is a normalized map of kind affine_depth"):
        read(tmp_path / "d.png")


def test_archives_take_depth_or_the_first_array(tmp_path):
    np.savez(tmp_path / "d.npz", other=np.zeros(3), depth=np.full((2, 2), 3.0))
    assert read(tmp_path / "d.npz").values_HW.tolist() == [[3, 3], [3, 3]]
    np.savez(tmp_path / "d.npz", z=np.full((2, 2), 4.0), other=np.zeros(3))
    assert read(tmp_path / "d.npz").values_HW.tolist() == [[4, 4], [4, 4]]
    np.savez(tmp_path / "d.npz")
    with pytest.raises(DataError, match=r"d\.npz: is an empty archive"):
        read(tmp_path / "d.npz")


@pytest.mark.parametrize(
    ("name", "content", "finding"),
    [
        ("d.mat", b"x", "unknown depth format '.mat'"),
        ("d", b"x", "unknown depth format"),
        ("d.png", b"\x89PNG\r\n\x1a\n", "is"),
        ("d.npy", b"\x93NUMPY", "is damaged"),
        ("d.npz", b"PK\x03\x04", "is damaged"),
        ("d.exr", exr_bytes(np.ones((2, 2)))[:60], "is"),
        ("d.pfm", pfm(np.ones((2, 2)))[:-1], "is a damaged"),
        ("d.tif", b"II*\x00", "is"),
    ],
)
def test_damaged_files_are_named(name, content, finding):
    with pytest.raises(DataError) as error:
        stored_depth(content, name, f"folder/{name}")
    assert f"folder/{name}: {finding}" in str(error.value)


def test_eight_bits_and_colors_are_refused(tmp_path):
    small = np.ones((2, 2), np.uint8)
    save(tmp_path / "d.png", small)
    Image.fromarray(small).save(tmp_path / "d.tif")
    np.save(tmp_path / "d.npy", small)
    for suffix in ("png", "tif", "npy"):
        with pytest.raises(DataError, match=rf"d\.{suffix}: holds (uint8|8-bit)"):
            read(tmp_path / f"d.{suffix}")
    save(tmp_path / "c.png", np.ones((2, 2, 3), np.uint8))
    np.save(tmp_path / "c.npy", np.ones((2, 2, 3)))
    np.save(tmp_path / "b.npy", np.ones((2, 2), bool))
    for name in ("c.png", "c.npy", "b.npy"):
        with pytest.raises(DataError, match=f"{name[0]}\\."):
            read(tmp_path / name)
