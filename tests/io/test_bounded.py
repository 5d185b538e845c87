"""NumPy files that claim, or unpack to, more than the bound are refused before memory is taken."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from numpy.lib import format as npy

from nearfar.errors import InputError, NearfarError, ResourceError
from nearfar.io.arrays import read_depth_array
from nearfar.io.bounded import load_numpy
from nearfar.io.depth.npz import read


def header(shape, dtype="<f4"):
    stream = io.BytesIO()
    npy.write_array_header_1_0(stream, {"shape": shape, "fortran_order": False, "descr": dtype})
    return stream.getvalue()


def zipped(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def test_arrays_come_back(tmp_path):
    depth = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.savez(tmp_path / "a.npz", depth=depth, other=np.zeros(3))
    np.save(tmp_path / "a.npy", depth)
    assert load_numpy(tmp_path / "a.npz", "a").keys() == {"depth", "other"}
    only = load_numpy(tmp_path / "a.npz", "a", ["depth"])
    assert only.keys() == {"depth"} and np.array_equal(only["depth"], depth)
    assert np.array_equal(load_numpy(io.BytesIO((tmp_path / "a.npy").read_bytes()), "a")[""], depth)
    assert np.array_equal(read_depth_array(tmp_path / "a.npy"), depth)


@pytest.mark.parametrize("reader", [read, read_depth_array])
def test_claims_beyond_the_bound_are_refused_without_memory(tmp_path, reader):
    zeros = header((50_000, 50_000)) + bytes(1000)
    packed = zipped(tmp_path / "claims.npz", depth=zeros, metadata=zeros)
    plain = tmp_path / "claims.npy"
    plain.write_bytes(zeros)
    tracemalloc.start()
    with pytest.raises(ResourceError, match=r"would take 10.0 GB of memory, the limit is 2.1"):
        reader(packed)
    with pytest.raises(NearfarError):
        reader(plain)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_a_zip_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("nearfar.io.bounded.MAX_ARRAY_BYTES", 1000)
    packed = zipped(tmp_path / "bomb.npz", depth=bytes(100_000))
    with pytest.raises(ResourceError, match="limit is"):
        load_numpy(packed, packed)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        b"\x93NUMPY",
        header((10, 10)),
        header((-3, 5)) + bytes(99),
        header((2,), "|O") + bytes(99),
        header((10**30,)),
    ],
)
def test_damage_is_one_kind_of_error(tmp_path, content):
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    with pytest.raises((InputError, ResourceError)) as caught:
        read_depth_array(path)
    assert "\n" not in str(caught.value)
