import numpy as np
import pytest

from nearfar.errors import ConfigError, InputError
from nearfar.io.depth.metadata import KIND_SUFFIXES
from nearfar.io.depth.pfm import read, read_pfm, write
from nearfar.result import DepthKind


@pytest.mark.parametrize("kind", list(DepthKind))
def test_round_trip_with_the_kind_in_the_name(result_of, tmp_path, kind):
    result = result_of(kind)
    path = tmp_path / f"a{KIND_SUFFIXES[kind]}.pfm"
    write(result, path)
    back = read(path)
    assert back.kind is kind and np.array_equal(back.valid, result.valid)
    np.testing.assert_array_equal(back.depth, result.depth)


def test_name_must_not_lie(result_of, tmp_path):
    with pytest.raises(ConfigError, match="metric"):
        write(result_of("metric"), tmp_path / "photo_affine_depth.pfm")
    with pytest.raises(ConfigError, match="affine_depth"):
        write(result_of("affine_depth"), tmp_path / "photo_depth.pfm")
    assert not list(tmp_path.iterdir())


def test_layout_is_little_endian_bottom_up(tmp_path):
    body = np.array([[3, 4], [1, 2]], "<f4")  # the lower row stands first
    (tmp_path / "a.pfm").write_bytes(b"Pf\n2 2\n-1.0\n" + body.tobytes())
    assert read_pfm(tmp_path / "a.pfm").tolist() == [[1, 2], [3, 4]]
    (tmp_path / "b.pfm").write_bytes(b"Pf 2 2 1\n" + body.astype(">f4").tobytes())
    assert read_pfm(tmp_path / "b.pfm").tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"Pf",
        b"Pf\n2 2\n-1.0\n1234",
        b"PF\n1 1\n-1\n" + b"0" * 12,
        b"Pf\n0 3\n-1\n",
        b"Pf a b c\n",
    ],
)
def test_damaged(tmp_path, content):
    (tmp_path / "a_depth.pfm").write_bytes(content)
    with pytest.raises(InputError, match=r"a_depth\.pfm"):
        read(tmp_path / "a_depth.pfm")


def test_unnamed_kind(tmp_path):
    (tmp_path / "disp0.pfm").write_bytes(b"Pf\n1 1\n-1\n0000")
    with pytest.raises(InputError, match="this name states none"):
        read(tmp_path / "disp0.pfm")
