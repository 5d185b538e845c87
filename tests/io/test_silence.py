"""What C libraries write to standard error while they decode does not reach the user."""

import io
import os
import threading

import numpy as np
import pytest
from PIL import Image

from nearfar.errors import InputError
from nearfar.io.arrays import read_depth_array
from nearfar.io.images import read_image
from nearfar.io.silence import decoders_silenced


def damaged_tiff():
    stream = io.BytesIO()
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(picture).save(stream, format="TIFF", compression="tiff_adobe_deflate")
    content = bytearray(stream.getvalue())
    content[200:600] = bytes(400)
    return bytes(content)


@pytest.mark.parametrize("reader", [read_image, read_depth_array])
@pytest.mark.parametrize(
    ("name", "content"), [("a.tif", damaged_tiff()), ("a.exr", b"v/1\x01" * 9)]
)
def test_a_damaged_file_gives_one_error_and_no_lines(tmp_path, capfd, reader, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError):
        reader(tmp_path / name)
    assert capfd.readouterr().err == ""


def test_afterwards_lines_are_seen_again_whatever_the_threads_did(capfd):
    def visit():
        for _ in range(50):
            with decoders_silenced():
                os.write(2, b"hidden")

    threads = [threading.Thread(target=visit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(2, b"seen")
    assert capfd.readouterr().err == "seen"
