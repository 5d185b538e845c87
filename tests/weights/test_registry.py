"""The table: complete entries, nearest names, cards, places; and no torch to read it."""

import json
import math
import subprocess
import sys

import pytest

from nearfar.errors import ConfigError, WeightsError
from nearfar.family import NOT_STATED
from nearfar.weights import registry
from nearfar.weights.families import NETWORKS
from nearfar.weights.networks import build
from nearfar.weights.safe import sha256_of


def test_every_entry_is_complete():
    for name, entry in registry.ENTRIES.items():
        assert entry.name == name
        assert entry.licence and entry.training_data
        assert entry.encoder in ("", *registry.ENCODER_ENTRIES)
        has_place = entry.embedded or entry.hub_repo or entry.url
        assert has_place or "Google Drive" in entry.note or "No address known" in entry.note
        assert (entry.commercial is None) == (entry.licence == NOT_STATED)
        assert entry.preset in NETWORKS[entry.family].presets


def test_encoders_are_told_from_depth_models():
    ours = {"photo-encoder", "tiny-encoder", "tiny-video-encoder"}
    encoders = ours | {"dav2-vits", "dav2-vitb", "dav2-vitl", "moge2-vitl", "pi3"}
    assert {name for name, entry in registry.ENTRIES.items() if entry.is_encoder} == encoders
    assert registry.ENTRIES["dar-tiny"].encoder == ""  # its own is inside
    assert registry.ENTRIES["depthart-tiny"].encoder == "tiny"


def test_sizes_of_released_transformers_are_those_of_their_parameters():
    for name in ("var-d16", "var-d20", "var-d24", "var-d30", "var-d36", "switti-512"):
        entry = registry.ENTRIES[name]
        network = build(entry.family, NETWORKS[entry.family].presets[entry.preset])
        megabytes = sum(p.numel() for p in network.parameters()) * 4 / 1e6
        assert entry.size_mb == pytest.approx(megabytes, rel=0.01)


def test_licences_as_their_projects_state_them():
    licences = {name: entry.licence for name, entry in registry.ENTRIES.items()}
    assert licences["dav2-vits"] == "Apache-2.0"
    assert licences["dav2-vitb"] == licences["dav2-vitl"] == "CC BY-NC 4.0"
    assert licences["moge2-vitl"] == "MIT"
    assert licences["ppd-dav2"] == licences["ppd-moge2"] == "not stated"
    forbidding = {name for name, entry in registry.ENTRIES.items() if entry.needs_acceptance}
    assert forbidding == {"dav2-vitb", "dav2-vitl", "pi3"}


def test_encoder_entries_are_encoders_of_their_tag():
    for tag, name in registry.ENCODER_ENTRIES.items():
        assert registry.ENTRIES[name].is_encoder and registry.ENTRIES[name].encoder == tag


@pytest.mark.parametrize(
    ("name", "near"),
    [("ppd-tinny", "ppd-tiny"), ("PPD-MoGe2", "ppd-moge2"), ("moge-vitl", "moge2-vitl")],
)
def test_unknown_names_get_the_nearest(name, near):
    with pytest.raises(ConfigError, match=f"Did you mean {near}"):
        registry.find(name)


def test_a_name_like_no_other_gets_the_list():
    with pytest.raises(ConfigError, match="Known: ppd-tiny, ppvd-tiny, depthart-tiny"):
        registry.find("zzzzzz")


def test_released_files_are_known_by_name():
    def found(file, family):
        entry = registry.find_by_file(file, family=family)
        return None if entry is None else entry.name

    assert found("ppd_moge.pth", "ppd") == "ppd-moge2"
    assert found("depth_anything_v2_vitb.pth", "depth_anything_v2") == "dav2-vitb"
    assert found("model.safetensors", "depth_tokenizer") == "switti-vae"
    assert found("model.safetensors", "switti") == "switti-512"
    assert found("model.safetensors", "ppd") is found("anything.pth", "ppd") is None
    assert found("ppd_tiny.safetensors", "ppd") is None  # ours need no guessing


def test_card_gives_sha_and_errors(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "EMBEDDED_FOLDER", tmp_path)
    assert registry.find("ppd-tiny").sha256 is None  # no card: nothing is claimed
    (tmp_path / "ppd_tiny.safetensors").write_bytes(b"x" * 2_000_000)
    card = {"sha256": "ab" * 32, "validation": {"abs_rel": 0.1}, "default_steps": 3}
    (tmp_path / "ppd_tiny.json").write_text(json.dumps(card))
    entry = registry.find("ppd-tiny")
    assert entry.sha256 == "ab" * 32 and entry.metrics == {"abs_rel": 0.1}
    assert entry.size_mb == 2.0 and entry.steps == 3
    (tmp_path / "ppd_tiny.json").write_text(
        json.dumps({"sha256": "ab" * 32, "recipe": {"data": {"crop": [48, 64]}}})
    )
    assert registry.find("ppd-tiny").area == 48 * 64  # works at the size it was trained at
    assert registry.find("ppd-tiny").uncertainty == {}
    table = {"method": "gain_floor", "gain": 2.0, "floor": 0.1}
    (tmp_path / "ppd_tiny.json").write_text(json.dumps(card | {"uncertainty": table}))
    assert registry.find("ppd-tiny").uncertainty == table
    assert registry.find("ppd-tiny").start is None
    start = {"default_ensemble_start": "first"}
    (tmp_path / "ppd_tiny.json").write_text(json.dumps(card | start))
    assert registry.find("ppd-tiny").start == "first"
    nan = {"sha256": "ab" * 32, "validation": {"abs_rel": math.nan}}
    (tmp_path / "ppd_tiny.json").write_text(json.dumps(nan))
    assert math.isnan(registry.find("ppd-tiny").metrics["abs_rel"])
    absurd = ("Infinity", '"large"', "1e12", "1000000000000", "-5", "true", "[9]", "{}", "1e400")
    areas = [f'{{"sha256": "ab", "default_area": {value}}}' for value in absurd]
    crops = ("[1000000, 1000000]", '["a", "b"]', "[Infinity, 3]", "3", '{"a": 1}', "[[4], [4]]")
    crops = [f'{{"sha256": "ab", "recipe": {{"data": {{"crop": {crop}}}}}}}' for crop in crops]
    others = ['{"sha256": 3}', '{"sha256": "ab", "default_steps": "many"}', "[" * 9000]
    others += ["{}", "not json", "[]", '{"sha256": "ab", "uncertainty": 3}']
    for broken in (*areas, *crops, *others):
        (tmp_path / "ppd_tiny.json").write_text(broken)
        with pytest.raises(WeightsError, match=r"ppd_tiny.json: the card"):
            registry.find("ppd-tiny")


def test_places(tmp_path, monkeypatch, cache):
    monkeypatch.setattr(registry, "EMBEDDED_FOLDER", tmp_path)
    moge, tiny = registry.ENTRIES["ppd-moge2"], registry.ENTRIES["ppd-tiny"]
    assert registry.local_path(moge) is None and registry.local_path(tiny) is None
    (tmp_path / "ppd_tiny.safetensors").touch()
    assert registry.local_path(tiny) == tmp_path / "ppd_tiny.safetensors"
    (cache / "weights").mkdir(parents=True)
    (cache / "weights" / "ppd_moge.pth").touch()
    assert registry.local_path(moge) == cache / "weights" / "ppd_moge.pth"
    (cache / "weights" / "ppd-moge2.safetensors").touch()
    assert registry.local_path(moge) == cache / "weights" / "ppd-moge2.safetensors"


def test_embedded_files_are_what_their_cards_say():
    for name, entry in registry.ENTRIES.items():
        path = registry.EMBEDDED_FOLDER / entry.file
        if entry.embedded and path.exists():
            assert registry.find(name).sha256 == sha256_of(path)


def test_reading_the_table_needs_no_torch():
    modules = "nearfar.weights.registry, nearfar.weights.licences"
    program = f"import sys, {modules}\nprint('torch' in sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
