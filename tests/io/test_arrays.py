import numpy as np
import pytest
from PIL import Image

from nearfar.errors import InputError
from nearfar.io.arrays import read_depth_array

CODES = np.random.default_rng(0).integers(0, 65536, (5, 7), dtype=np.uint16)
METRES = CODES.astype(np.float32) / 7


def test_values_as_stored(result_of, tmp_path):
    Image.fromarray(CODES).save(tmp_path / "a.png")
    Image.fromarray(CODES).save(tmp_path / "a.tif")
    np.save(tmp_path / "a.npy", CODES)
    np.savez(tmp_path / "a.npz", depth=CODES, other=CODES[:2])
    for suffix in ("png", "tif", "npy", "npz"):
        array = read_depth_array(tmp_path / f"a.{suffix}")
        assert array.dtype == np.float32 and np.array_equal(array, CODES), suffix


def test_float_files(result_of, tmp_path):
    Image.fromarray(METRES).save(tmp_path / "a.tiff")
    np.savez(tmp_path / "a.npz", anything=METRES)
    np.save(tmp_path / "a.npy", METRES[None].astype(np.float64))
    for suffix in ("tiff", "npz", "npy"):
        assert np.array_equal(read_depth_array(tmp_path / f"a.{suffix}"), METRES), suffix
    result = result_of()
    for name in ("exr", "pfm", "npz"):
        (path,) = result.save(tmp_path, [name], stem="b")
        array = read_depth_array(path)
        np.testing.assert_array_equal(array[result.valid], result.depth[result.valid])


def test_eight_bit_grey(tmp_path):
    Image.fromarray((CODES >> 8).astype(np.uint8)).save(tmp_path / "a.png")
    assert np.array_equal(read_depth_array(tmp_path / "a.png"), CODES >> 8)


def test_what_is_no_depth_map(tmp_path):
    Image.new("RGB", (3, 3)).save(tmp_path / "color.png")
    Image.new("P", (3, 3)).save(tmp_path / "palette.png")
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object))
    np.save(tmp_path / "cube.npy", np.ones((2, 3, 4)))
    np.savez(tmp_path / "two.npz", a=CODES, b=CODES)
    (tmp_path / "text.png").write_text("no")
    (tmp_path / "text.npy").write_text("no")
    (tmp_path / "text.npz").write_bytes(b"PK\3\4 no")
    (tmp_path / "text.exr").write_text("no")
    (tmp_path / "a.jpg").touch()
    for name in (
        *("color.png", "palette.png", "object.npy", "cube.npy", "two.npz", "text.png"),
        *("text.npy", "text.npz", "text.exr", "a.jpg", "none.png", "none.npy", "none.exr"),
        "none.pfm",
    ):
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            read_depth_array(tmp_path / name)
