import base64
import io

import numpy as np
import pytest
from PIL import Image

from nearfar.io.encode import data_url, picture_bytes

RGB = np.random.default_rng(0).integers(0, 256, (10, 14, 3), dtype=np.uint8)


@pytest.mark.parametrize("picture", [RGB, RGB[..., 0], RGB[:, ::-1]])
def test_png_bytes_are_exact(picture):
    assert np.array_equal(
        np.array(Image.open(io.BytesIO(picture_bytes(picture, form="PNG")))), picture
    )


def test_url_holds_the_picture():
    head, _, text = data_url(np.full((8, 8, 3), 90, np.uint8), form="JPEG").partition(",")
    assert head == "data:image/jpeg;base64"
    decoded = np.array(Image.open(io.BytesIO(base64.b64decode(text))))
    assert decoded.shape == (8, 8, 3) and abs(int(decoded.mean()) - 90) <= 2
