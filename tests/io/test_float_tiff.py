"""TIFF with three float channels."""

import struct

import numpy as np
import pytest

from nearfar.errors import InputError, ResourceError
from nearfar.io.images import read_image

RGB = np.random.default_rng(0).integers(0, 256, (10, 14, 3), dtype=np.uint8)


@pytest.mark.parametrize("bits", [32, 16])
def test_tiff_of_three_float_channels(tmp_path, bits):
    path = tmp_path / "a.tif"
    path.write_bytes(float_tiff(RGB.astype(f"f{bits // 8}"), bits))
    if bits == 32:
        assert np.array_equal(read_image(path).rgb_HW3, RGB)
        with pytest.raises(ResourceError, match="14 x 10"):
            read_image(path, max_pixels=100)
        path.write_bytes(float_tiff(RGB.astype("f4"), bits, predictor=3))
    with pytest.raises(InputError, match="16-bit floats|float predictor"):
        read_image(path)


def float_tiff(values, bits, predictor=1):
    """A little-endian TIFF of one strip."""
    height, width, channels = values.shape
    entries = [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2)),
        *((273, 4, 1, 20), (277, 3, 1, channels), (278, 4, 1, height), (279, 4, 1, values.nbytes)),
        *((317, 3, 1, predictor), (339, 3, 3, 14)),
    ]
    start = 20 + values.nbytes
    head = struct.pack("<2sHI6H", b"II", 42, start, *(3 * [bits]), *(3 * [3]))
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return head + values.tobytes() + struct.pack("<H", len(entries)) + table + bytes(4)
