import subprocess
import sys

import numpy as np
import pytest

import nearfar
from nearfar.errors import InputError
from nearfar.io.readers import read_result
from nearfar.result import DepthKind


@pytest.mark.parametrize("kind", list(DepthKind))
@pytest.mark.parametrize("name", ["png16", "npz", "exr", "pfm"])
def test_what_save_writes_comes_back(result_of, tmp_path, kind, name):
    result = result_of(kind)
    (path,) = result.save(tmp_path, [name], stem="a")
    back = nearfar.read(path)
    assert back.kind is kind and np.array_equal(back.valid, result.valid)
    step = 0.001 if kind is DepthKind.METRIC else 60 / 65534
    tolerance = 0.51 * step if name == "png16" else 0
    np.testing.assert_allclose(
        back.depth, result.depth, atol=tolerance, rtol=1e-6 if tolerance else 0
    )
    assert np.array_equal(np.isnan(back.depth), ~back.valid)


def test_unknown_missing_and_wrong(tmp_path):
    (tmp_path / "a.xyz").touch()
    for name in ("a.xyz", "none.npz", "none", ""):
        with pytest.raises(InputError):
            read_result(tmp_path / name)


def test_reading_and_writing_need_no_torch(tmp_path):
    code = f"""
import sys, numpy as np, nearfar
from nearfar.result import DepthResult
depth = np.ones((4, 5), np.float32)
(path,) = DepthResult(depth=depth, kind="metric", valid=depth > 0).save({str(tmp_path)!r}, ["npz"])
import nearfar.io.images, nearfar.io.inputs, nearfar.io.manifest
assert (nearfar.read(path).depth == 1).all()
assert "torch" not in sys.modules and "OpenEXR" not in sys.modules and "PIL" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
