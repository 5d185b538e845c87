"""The public names of sonde: guarded, sorted, lazy."""

import subprocess
import sys

import pytest

import sonde

PUBLIC = ["DepthKind", "DepthResult", "SondeError", "__version__", "load", "read"]


def test_public_names_are_exactly_these():
    assert sonde.__all__ == PUBLIC == sorted(PUBLIC)
    assert dir(sonde) == PUBLIC


def test_every_public_name_resolves_to_its_home():
    from sonde.errors import SondeError
    from sonde.io.readers import read_result
    from sonde.pipeline.load import load
    from sonde.result import DepthKind, DepthResult

    assert sonde.DepthKind is DepthKind
    assert sonde.DepthResult is DepthResult
    assert sonde.SondeError is SondeError
    assert sonde.load is load
    assert sonde.read is read_result


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'depth_anything'"):
        sonde.depth_anything  # noqa: B018


def test_import_loads_neither_torch_nor_numpy():
    code = "import sys, sonde; print(sorted({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_version_is_that_of_the_distribution():
    from importlib.metadata import version

    assert version("sonde") == sonde.__version__
