from importlib import import_module

import mini_c
import pytest

from nearfar.data.catalog import (
    DATASETS,
    checked_options,
    find_dataset,
    list_identity,
    open_dataset,
)
from nearfar.errors import ConfigError, DataError

MINE = ("nyu", "kitti", "eth3d", "scannet", "diode", "sunrgbd")


@pytest.mark.parametrize("name", MINE)
def test_datasets_open_by_name_and_refuse_an_empty_folder(name, tmp_path):
    mini_c.WRITERS[name](tmp_path / "full")
    data = open_dataset(name, tmp_path / "full")
    assert data.sample_ids and data.record(0).sample_id == data.sample_ids[0]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no .*Give the folder"):
        open_dataset(name, tmp_path / "empty")


def test_every_card_names_a_reader_that_exists():
    for name, card in DATASETS.items():
        file, _, function = card.module.partition(":")
        assert callable(getattr(import_module(file), function)), name
        assert card.name == name and card.licence and card.title


def test_fixtures_of_the_cards_are_written_by_the_tests():
    assert {f for name in MINE for f in DATASETS[name].fixture} == set(mini_c.WRITERS)


def test_official_counts_and_fingerprints_are_those_of_the_lists():
    kitti, diode = DATASETS["kitti"], DATASETS["diode"]
    assert kitti.expected_counts["eigen-test"] == 652
    assert kitti.fingerprints["eigen-test"].startswith("f8721a7c3a7b3142")
    assert diode.expected_counts["val"] == 325 + 446
    assert DATASETS["nyu"].fingerprints["test"].startswith("b6fd4f855307bbc0")


def test_unknown_names_are_refused_with_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match=r"Did you mean scannet\?"):
        find_dataset("scanet")
    with pytest.raises(ConfigError, match=r"no split 'val'. Use test, train"):
        open_dataset("nyu", tmp_path, split="val")
    with pytest.raises(ConfigError, match="needs its folder"):
        open_dataset("nyu", None)


def test_options_are_checked_and_completed():
    card = DATASETS["sunrgbd"]
    assert checked_options(card, {"depth": "raw"}) == {"clip": "invalid", "depth": "raw"}
    with pytest.raises(ConfigError, match="clip='8'"):
        checked_options(card, {"clip": "8"})
    with pytest.raises(ConfigError, match=r"no option 'gt'. Known: clip, depth"):
        checked_options(card, {"gt": "raw"})
    assert checked_options(DATASETS["rendered"], {"count": "3"}) == {"count": "3"}


class Numbers:
    """A dataset of NYU's test numbers; `first` stands for a copy with other images."""

    def __init__(self, keys):
        self.keys = self.sample_ids = keys


def test_identity_says_official_or_custom():
    from dataclasses import replace

    from nearfar.data.lists import fingerprint

    keys = ["7", "12", "101"]
    card = replace(DATASETS["nyu"], fingerprints={"test": fingerprint(keys)})
    assert list_identity(card, Numbers(keys)) == (3, fingerprint(keys), "test")
    padded = replace(card, fingerprints={"test": fingerprint(["0007", "0012", "0101"])})
    assert list_identity(padded, Numbers(keys)).official == "test"
    assert list_identity(card, Numbers(["7", "12"])).official is None
