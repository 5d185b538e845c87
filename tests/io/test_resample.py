import numpy as np
import pytest

from nearfar.errors import InputError
from nearfar.io.resample import resize_lanczos


def test_keeps_a_flat_photo_and_swaps_sides():
    rgb = np.full((12, 30, 3), 77, np.uint8)
    out = resize_lanczos(rgb, (24, 10))
    assert out.shape == (24, 10, 3) and out.dtype == np.uint8 and (out == 77).all()


def test_is_lanczos_not_bilinear():
    step = np.zeros((4, 40, 3), np.uint8)
    step[:, 20:] = 200
    out = resize_lanczos(step, (4, 80))[0, :, 0].astype(int)
    assert out[:38].max() > 0 and out.max() > 200  # it rings
    assert np.array_equal(resize_lanczos(step, (4, 40)), step)


def test_refuses_what_is_not_a_photo():
    with pytest.raises(InputError, match="8-bit"):
        resize_lanczos(np.zeros((4, 4, 3), np.float32), (2, 2))
