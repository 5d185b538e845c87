"""The public names of nearfar: guarded, sorted, lazy."""

import subprocess
import sys

import pytest

import nearfar

PUBLIC = ["DepthKind", "DepthResult", "NearfarError", "__version__", "load", "read"]


def test_public_names_are_exactly_these():
    assert nearfar.__all__ == PUBLIC == sorted(PUBLIC)
    assert dir(nearfar) == PUBLIC


def test_every_public_name_resolves_to_its_home():
    from nearfar.errors import NearfarError
    from nearfar.io.readers import read_result
    from nearfar.pipeline.load import load
    from nearfar.result import DepthKind, DepthResult

    assert nearfar.DepthKind is DepthKind
    assert nearfar.DepthResult is DepthResult
    assert nearfar.NearfarError is NearfarError
    assert nearfar.load is load
    assert nearfar.read is read_result


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'depth_anything'"):
        nearfar.depth_anything  # noqa: B018


def test_import_loads_neither_torch_nor_numpy():
    code = "import sys, nearfar; print(sorted({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_version_is_that_of_the_distribution():
    from importlib.metadata import version

    assert version("nearfar") == nearfar.__version__
