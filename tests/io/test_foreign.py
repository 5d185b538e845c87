"""Files that are no photo are refused by their name, with what to do instead."""

import numpy as np
import pytest
from PIL import Image

from nearfar.errors import InputError
from nearfar.io.images import read_image

RGB = np.random.default_rng(0).integers(0, 256, (10, 14, 3), dtype=np.uint8)


def test_camera_raw_and_other_files_are_refused_by_name(tmp_path):
    for name, content, words in [
        ("a.cr2", b"II*\0\x10\0\0\0CR\x02\0" + bytes(99), "camera RAW file.*Develop it"),
        ("a", b"FUJIFILMCCD-RAW 0201" + bytes(99), "camera RAW file"),
        ("a.jxl", b"\xff\x0a" + bytes(40), "JPEG XL"),
        ("a.pdf", b"%PDF-1.4\n", "PDF document"),
        ("a.svg", b'<?xml version="1.0"?><svg/>', "SVG drawing"),
        ("a.png", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS.*git lfs pull"),
        ("a.jpg", b"<!DOCTYPE html><html>403</html>", "web page"),
        ("a.mp4", b"\0\0\0\x18ftypmp42" + bytes(40), "is a video.*Use nearfar video"),
        ("a.npy", b"\x93NUMPY\1\0", "NumPy array"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=words):
            read_image(tmp_path / name)


def test_the_preview_of_a_raw_file_is_not_taken_for_the_photo(tmp_path):
    for name, tags in {
        "a.nef": {},
        "a.tif": {254: 1, 330: 8},
        "b.tif": {50706: b"\1\4\0\0"},
    }.items():
        image = Image.fromarray(RGB)
        image.save(tmp_path / name, format="TIFF", tiffinfo=tags)
        with pytest.raises(InputError, match="camera RAW file"):
            read_image(tmp_path / name)
