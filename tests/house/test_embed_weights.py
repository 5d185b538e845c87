"""scripts/embed_weights.py: what a run exported, into the package, or one line why not."""

import dataclasses
import importlib.util
import json

import pytest
import torch
from source_tree import ROOT

from nearfar.errors import WeightsError
from nearfar.weights import registry
from nearfar.weights.safe import sha256_of, write_safetensors

NOTHING = {"default_area": None, "default_steps": None, "note": None}


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("e", ROOT / "scripts" / "embed_weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder that says it is dar-tiny, and an empty package."""
    monkeypatch.setattr(registry, "EMBEDDED_FOLDER", tmp_path / "embedded")
    metadata = {"nearfar_format": "1", "family": "dar", "preset": "tiny_photo", "encoder": ""}
    path = write_safetensors(
        tmp_path / "run" / "weights.safetensors", {"w": torch.ones(4)}, metadata
    )
    card = {"sha256": sha256_of(path), "samples": 8, "seconds": 2.0, "recipe": {"a": "/x/y/z"}}
    path.with_name("card.json").write_text(json.dumps(card))
    return path.parent


def test_every_embedded_entry_can_be_replaced(script):
    assert set(script.NAMES) >= {"ppd_tiny", "depthart_tiny", "var_depth_tiny", "dar_tiny"}
    assert script.NAMES["tiny_encoder"].name == "tiny-encoder"


def test_file_and_card_come_into_the_package(script, run):
    entry = registry.ENTRIES["dar-tiny"]
    script.embed(run, entry, after=[run], more=NOTHING | {"default_area": 6144, "note": "x"})
    target = registry.EMBEDDED_FOLDER / "dar_tiny.safetensors"
    assert target.read_bytes() == (run / "weights.safetensors").read_bytes()
    card = json.loads(target.with_suffix(".json").read_text())
    assert (card["default_area"], card["note"], card["recipe"]["a"]) == (6144, "x", "y/z")
    assert len(card["earlier_stages"]) == 1 and "default_steps" not in card
    found = registry.find("dar-tiny")
    assert (found.sha256, found.area) == (sha256_of(target), 6144)


def test_other_weights_and_stale_cards_are_refused(script, run, monkeypatch):
    for name, words in (("depthart-tiny", "family 'dar', but depthart-tiny"),):
        with pytest.raises(WeightsError, match=words):
            script.embed(run, registry.ENTRIES[name], after=[], more=NOTHING)
    entry = registry.ENTRIES["dar-tiny"]
    with pytest.raises(WeightsError, match="preset 'tiny_photo', but dar-tiny is 'small'"):
        script.embed(run, dataclasses.replace(entry, preset="small"), after=[], more=NOTHING)
    card = json.loads((run / "card.json").read_text())
    (run / "card.json").write_text(json.dumps(card | {"sha256": "0" * 64}))
    with pytest.raises(WeightsError, match="the card's sha256 is not that of the weights"):
        script.embed(run, entry, after=[], more=NOTHING)
    monkeypatch.setattr(script, "LIMIT_MB", 1e-6)
    with pytest.raises(WeightsError, match="an embedded model has 1e-06 at most"):
        script.embed(run, entry, after=[], more=NOTHING)
    assert not registry.EMBEDDED_FOLDER.exists()
