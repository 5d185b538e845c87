import io
import zlib

import mini_c
import numpy as np
import pytest
from PIL import Image

from nearfar.data.benchmarks.sens import frame_offsets, read_frame, read_header
from nearfar.data.store import open_store
from nearfar.errors import DataError


@pytest.fixture
def store(tmp_path):
    mini_c.put(tmp_path, {"a.sens": mini_c.sens_bytes(3)})
    return open_store(tmp_path)


def test_header_and_frames(store):
    header = read_header(store, "a.sens")
    assert (header.frames, header.depth_size_hw, header.units_per_metre) == (3, (6, 8), 1000)
    assert header.depth_intrinsics_44[0].tolist() == [5, 0, 4, 0]
    assert header.color_intrinsics_44.tolist() == np.eye(4).tolist()
    offsets = frame_offsets(store, "a.sens", header)
    assert len(offsets) == 3 and offsets[0] == header.start
    frame = read_frame(store, "a.sens", header, offsets[2])
    np.testing.assert_array_equal(frame.depth_HW, mini_c.depth_mm())
    assert frame.pose_44[0, 3] == 2 and Image.open(io.BytesIO(frame.photo)).size == (8, 6)


def test_a_cut_scan_is_named_with_its_frame(tmp_path, store):
    (tmp_path / "a.sens").write_bytes(mini_c.sens_bytes(3)[:-1500])
    header = read_header(store, "a.sens")
    with pytest.raises(DataError, match=r"a\.sens: frame \d: the file ends early"):
        frame_offsets(store, "a.sens", header)
    (tmp_path / "a.sens").write_bytes(mini_c.sens_bytes(3)[:-5])
    offsets = frame_offsets(store, "a.sens", header)
    with pytest.raises(DataError, match=r"a\.sens: byte \d+: the file ends early"):
        read_frame(store, "a.sens", header, offsets[2])


def test_damaged_depth_is_named(tmp_path, store):
    content = mini_c.sens_bytes(1)
    packed = zlib.compress(mini_c.depth_mm().tobytes())
    (tmp_path / "a.sens").write_bytes(content.replace(packed, b"\0" * len(packed)))
    header = read_header(store, "a.sens")
    with pytest.raises(DataError, match="depth is damaged"):
        read_frame(store, "a.sens", header, header.start)


@pytest.mark.parametrize("content", [b"", b"\5" + b"\0" * 400, mini_c.sens_bytes()[:200]])
def test_what_is_no_scan_is_refused(tmp_path, store, content):
    (tmp_path / "a.sens").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.sens: (the file ends|is not a \.sens)"):
        read_header(store, "a.sens")


def test_impossible_numbers_are_refused_before_memory_is_taken(tmp_path, store):
    content = bytearray(mini_c.sens_bytes(1))
    header = read_header(store, "a.sens")
    content[header.start + 80 : header.start + 88] = b"\xff" * 8  # bytes of the photo
    (tmp_path / "a.sens").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.sens: frame 0: photo of"):
        frame_offsets(store, "a.sens", header)
    content[header.start - 8 : header.start] = b"\xff" * 8  # number of frames
    (tmp_path / "a.sens").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.sens: is too small for \d+ frames"):
        read_header(store, "a.sens")
