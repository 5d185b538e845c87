from importlib import metadata

import pytest

from nearfar import extras
from nearfar.errors import MissingExtraError
from nearfar.extras import install_hint, load_extra, packages_of


def test_a_module_that_is_there_is_handed_over():
    assert load_extra("json", package="json").loads("1") == 1


@pytest.fixture
def installed(monkeypatch):
    """The package as if it came with a distribution of another name."""
    requires = [
        "torch>=2.5",
        'scipy>=1.13; extra == "eval"',
        "h5py (>=3.11) ; extra == 'eval'",
        'rerun-sdk; extra == "rerun"',
    ]
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {"nearfar": ["renamed"]})
    monkeypatch.setattr(metadata, "requires", lambda name: requires if name == "renamed" else None)


def test_hints_list_the_packages_of_the_extra_under_any_name(installed):
    assert packages_of("eval") == ["'scipy>=1.13'", "'h5py(>=3.11)'"]
    assert install_hint("rerun", "rerun") == "pip install rerun-sdk"
    with pytest.raises(MissingExtraError, match=r"pip install 'scipy>=1.13' ") as caught:
        load_extra("no_such_module.part", extra="eval")
    assert "nearfar" not in str(caught.value) and "renamed" not in str(caught.value)


def test_without_metadata_the_module_itself_is_named(monkeypatch):
    monkeypatch.setattr(metadata, "packages_distributions", dict)
    with pytest.raises(MissingExtraError, match="pip install no_such_module$"):
        load_extra("no_such_module.part", extra="eval")
    with pytest.raises(MissingExtraError, match="pip install its-name$"):
        load_extra("no_such_module", package="its-name")


def test_every_extra_that_the_source_asks_for_exists():
    asked = {"eval", "heif", "rerun", "train", "backbone", "demo"}
    assert all(extras.packages_of(name) for name in asked)
