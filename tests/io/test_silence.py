"""What C libraries write to standard error while they decode does not reach the user."""

import io
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from nearfar.errors import InputError
from nearfar.io.arrays import read_depth_array
from nearfar.io.images import read_image
from nearfar.io.readers import read_result
from nearfar.io.silence import decoders_silenced
from nearfar.result import DepthResult


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


def test_a_damaged_exr_gives_one_error_and_no_lines(tmp_path, capfd):
    depth = np.random.default_rng(0).uniform(1, 5, (64, 64)).astype(np.float32)
    DepthResult(depth=depth, kind="metric", valid=depth > 0).save(tmp_path, ["exr"])
    path = tmp_path / "depth_depth.exr"
    content = bytearray(path.read_bytes())
    half = len(content) // 2  # beyond its header
    content[half::7] = bytes(len(content[half::7]))
    path.write_bytes(content)
    with pytest.raises(InputError):
        read_result(path)
    found = capfd.readouterr()
    assert found.out == found.err == ""


def test_what_we_say_of_a_photo_is_heard(tmp_path):
    """While its decoder is silent; in a process whose lines pass through the real descriptor."""
    frames = [Image.new("RGB", (40, 30), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    code = (
        "import logging, sys; logging.basicConfig()\n"
        "from nearfar.io.images import read_image; read_image(sys.argv[1])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a.gif"], capture_output=True, text=True
    )
    assert "animated, the first of its frames is used" in ran.stderr


def test_lines_of_others_are_kept(capfd):
    with decoders_silenced():
        os.write(2, b"hidden")
    os.write(2, b"seen")
    print("too")

    def visit():
        with decoders_silenced():
            os.write(2, b", of a thread")

    thread = threading.Thread(target=visit)
    thread.start()
    thread.join()
    found = capfd.readouterr()
    assert (found.out, found.err) == ("too\n", "seen, of a thread")
