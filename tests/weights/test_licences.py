"""Non-commercial licences are asked once, remembered, and asked again when they change."""

import json
from dataclasses import replace

import pytest

from nearfar.errors import OutputError, WeightsError
from nearfar.weights.licences import accepted_file, accepted_names, parts_of, require_licences
from nearfar.weights.registry import ENTRIES

LARGE = ENTRIES["dav2-vitl"]


def test_free_weights_are_never_asked_for():
    require_licences([ENTRIES["ppd-tiny"], ENTRIES["moge2-vitl"]], accept=False)
    assert not accepted_file().exists()


def test_asked_once():
    with pytest.raises(WeightsError, match=r"dav2-vitl \(CC BY-NC 4.0\).*--accept-license"):
        require_licences([LARGE], accept=False)
    require_licences([LARGE], accept=True)
    require_licences([LARGE], accept=False)
    assert accepted_names()["dav2-vitl"]["licence"] == "CC BY-NC 4.0"
    with pytest.raises(WeightsError, match="dav2-vitb"):
        require_licences([LARGE, ENTRIES["dav2-vitb"]], accept=False)


def test_accepting_keeps_what_was_accepted_before():
    require_licences([LARGE], accept=True)
    require_licences([ENTRIES["dav2-vitb"]], accept=True)
    assert set(accepted_names()) == {"dav2-vitl", "dav2-vitb"}


def test_a_changed_licence_is_asked_again():
    require_licences([LARGE], accept=True)
    with pytest.raises(WeightsError, match="CC BY-NC-ND"):
        require_licences([replace(LARGE, licence="CC BY-NC-ND 4.0")], accept=False)


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"other": {}})])
def test_a_damaged_record_means_not_accepted(content):
    accepted_file().parent.mkdir(parents=True)
    accepted_file().write_text(content)
    with pytest.raises(WeightsError):
        require_licences([LARGE], accept=False)
    require_licences([LARGE], accept=True)
    require_licences([LARGE], accept=False)


def test_a_model_brings_its_encoder():
    assert [e.name for e in parts_of(ENTRIES["ppd-dav2"])] == ["ppd-dav2", "dav2-vitl"]
    assert [e.name for e in parts_of(LARGE)] == ["dav2-vitl"]


def test_an_unwritable_cache_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NEARFAR_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="acceptance not written"):
        require_licences([LARGE], accept=True)
