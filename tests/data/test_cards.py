import re
from dataclasses import asdict, replace

import pytest

from nearfar.data.benchmarks.cards import NYU
from nearfar.data.catalog import DATASETS
from nearfar.errors import ConfigError


def test_only_a_clear_licence_allows_commercial_use():
    allowed = [replace(NYU, commercial=c).allows_commercial_use for c in (True, False, None)]
    assert allowed == [True, False, False]


def strings_in(value):
    """Every text in a card, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from (key, *strings_in(inner))
    elif isinstance(value, tuple):
        for inner in value:
            yield from strings_in(inner)


def test_cards_speak_to_users():
    """No shorthand of ours in what `nearfar data list` shows."""
    for card in DATASETS.values():
        for text in strings_in(asdict(card)):
            assert not re.search(r"\[[A-Z?]\]", text), (card.name, text)


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"place": "sea"}, "place 'sea'"),
        ({"module": "nearfar.data"}, "module"),
        ({"splits": ()}, "splits"),
        ({"fingerprints": {"test": "b6fd"}}, "test is not a SHA-256"),
    ],
)
def test_a_wrong_card_is_refused(change, finding):
    with pytest.raises(ConfigError, match=finding):
        replace(NYU, **change)
